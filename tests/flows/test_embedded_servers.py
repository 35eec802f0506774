"""The embedded PostgreSQL and Redis by themselves: deep homes, crashes, and files a crash leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
import redis
from kombu import Connection

from portal.stack.postgres import SOCKET, EmbeddedPostgres
from portal.stack.processes import ProcessProblem
from portal.stack.redis import EmbeddedRedis
from portal.stack.sockets import MAX_SOCKET_PATH


@pytest.fixture
def postgres(server_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(server_path / "postgres", server_path / "postgres.log")
    yield server
    server.stop()


def value(server: EmbeddedPostgres, statement: str) -> object:
    with server.connect() as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else None


async def test_it_is_reached_by_every_driver_from_a_home_too_deep_for_a_socket(server_path: Path) -> None:
    deep = server_path / ("deep" * 25) / "postgres"
    assert len(os.fsencode(deep / SOCKET)) > MAX_SOCKET_PATH
    server = EmbeddedPostgres(deep, server_path / "postgres.log")
    server.start()
    try:
        assert value(server, "SELECT 1") == 1
        connection = await asyncpg.connect(server.url())
        assert await connection.fetchval("SELECT current_user") == "tollgate"
        await connection.close()
        assert server.socket_folder.stat().st_mode & 0o077 == 0
    finally:
        server.stop()
        server.socket_folder.rmdir()


def test_it_is_durable_and_no_superuser_s_playground(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert value(postgres, "SHOW fsync") == "on"
    assert value(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_it_keeps_what_was_committed_before_a_crash(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    postgres.kill()
    assert not postgres.running
    postgres.start()
    assert value(postgres, "SELECT n FROM kept") == 42


def test_it_starts_over_a_pid_file_that_names_some_other_process(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.data / "postmaster.pid").write_text(f"{os.getppid()}\n{postgres.data}\n0\n5432\n")
    postgres.start()
    assert value(postgres, "SELECT 1") == 1


def test_it_takes_over_from_a_server_that_a_killed_run_left(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    other = EmbeddedPostgres(postgres.data, postgres.log)
    other.start()
    assert not postgres.running
    assert value(other, "SELECT 1") == 1
    other.stop()


def test_it_starts_again_after_an_interrupted_initdb(postgres: EmbeddedPostgres) -> None:
    postgres.data.mkdir()
    (postgres.data / "half").write_text("made")
    postgres.start()
    assert value(postgres, "SELECT 1") == 1


def test_it_says_what_the_log_says_when_it_cannot_start(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    postgres.settings = {**postgres.settings, "max_connections": "many"}
    with pytest.raises(ProcessProblem, match="max_connections"):
        postgres.start()
    with pytest.raises(psycopg.OperationalError):
        postgres.connect()


def test_redis_keeps_its_address_refuses_strangers_and_never_evicts(server_path: Path) -> None:
    server = EmbeddedRedis(server_path / "redis", server_path / "redis.log")
    server.start()
    url = server.url()
    server.kill()
    server.start()
    try:
        assert server.url() == url
        with redis.Redis.from_url(url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with Connection(url) as broker:
            broker.ensure_connection(max_retries=1)
    finally:
        server.stop()
