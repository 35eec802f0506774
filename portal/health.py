"""``/healthz``: the process runs. ``/readyz``: it can serve, because its servers answer."""

from __future__ import annotations

import redis
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

TIMEOUT_S = 2


@require_safe
@never_cache
@transaction.non_atomic_requests
def alive(request: HttpRequest) -> JsonResponse:
    """200 without looking at anything else."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
@transaction.non_atomic_requests
def ready(request: HttpRequest) -> JsonResponse:
    """200 if PostgreSQL and Redis answer, else 503 and which does not. Says nothing about why: logs do."""
    parts = {"database": _database(), "redis": _redis()}
    status = 200 if all(parts.values()) else 503
    words = {name: "ok" if fine else "unreachable" for name, fine in parts.items()}
    return JsonResponse({"status": "ok" if status == 200 else "unavailable", **words}, status=status)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        return False
    return True


def _redis() -> bool:
    client = redis.Redis.from_url(
        settings.REDIS_URL or "redis://127.0.0.1:6379/0",
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
