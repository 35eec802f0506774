"""``/healthz``: the process serves. ``/readyz``, whether it may take calls, is the gateway's (proxy/asgi.py)."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
@transaction.non_atomic_requests
def alive(request: HttpRequest) -> JsonResponse:
    """200 without looking at anything else."""
    return JsonResponse({"status": "ok"})
