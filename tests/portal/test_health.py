"""The health check that needs no server."""

from __future__ import annotations

from django.test import Client


def test_alive_needs_no_database() -> None:
    # Without the db fixture, touching the database fails the test.
    answer = Client(SERVER_NAME="localhost").get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
