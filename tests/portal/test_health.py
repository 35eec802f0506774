"""Health checks: alive without any server, ready with all of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client


def test_alive_needs_no_database() -> None:
    # Without the db fixture, touching the database fails the test.
    answer = Client(SERVER_NAME="localhost").get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_names_what_is_there() -> None:
    answer = Client(SERVER_NAME="localhost").get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "ok", "redis": "ok"})


@pytest.mark.django_db
def test_ready_names_what_is_not(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = Client(SERVER_NAME="localhost").get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "ok", "redis": "unreachable"}
