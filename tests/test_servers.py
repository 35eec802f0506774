"""The test session's own ground: databases that are migrated, separate, and used as the portal's role."""

from __future__ import annotations

import psycopg
import pytest
import redis
from django.contrib.auth import get_user_model
from django.db import connection


@pytest.mark.django_db
def test_it_runs_tests_as_the_portal_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == ("tollgate_portal", False, False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_it_renews_the_database_after_a_test_that_commits(turn: int) -> None:
    users = get_user_model().objects
    assert users.count() == 0
    users.create_user(email="somebody@example.com", password="a long password")
    assert users.count() == 1


def test_it_gives_a_database_to_code_that_connects_by_itself(database_url: str) -> None:
    with psycopg.connect(database_url) as own:
        assert own.execute("SELECT count(*) > 10 FROM django_migrations").fetchone() == (True,)
        superuser = own.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert superuser == (False,)


def test_it_gives_a_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
