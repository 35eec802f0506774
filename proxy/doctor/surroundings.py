"""Checks of what is around the database: secrets, clocks, Redis, upstreams, versions."""

from __future__ import annotations

import platform
import stat
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError

from portal import environment
from proxy import credentials, upstream_check
from proxy.doctor.database import one
from proxy.doctor.finding import Finding, ok, wrong
from proxy.models import Credential, Upstream
from proxy.upstreams import secret_in

MOST_SKEW_S = 1.0
TIMEOUT_S = 3
PACKAGES = ("django", "granian", "httptools", "asyncpg", "psycopg", "redis", "celery", "cryptography", "typst")


def secrets() -> Iterator[Finding]:
    """Long enough, different, readable by nobody else, and the ones things were sealed with."""
    values = {name: getattr(settings, name) for name in ("SECRET_KEY", "KEY_PEPPER", "MASTER_KEY")}
    short = [name for name, value in values.items() if len(value) < 32]
    if short:
        yield wrong(f"{', '.join(short)}: use at least 32 characters.")
    if len(set(values.values())) < len(values):
        yield wrong("two of the secrets are the same: give each purpose its own.")
    if not short and len(set(values.values())) == len(values):
        yield ok("the three secrets are long and different")
    path = environment.home() / "secrets.json"
    if path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield wrong(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")
        else:
            yield ok(f"{path} is readable by its owner alone (mode {mode:04o})")


def stored_credentials() -> Iterator[Finding]:
    """Every stored credential opens with this master key."""
    bad = 0
    rows = Credential.objects.filter(is_active=True).select_related("upstream").order_by("upstream__name", "pk")
    for row in rows:
        try:
            secret_in(row)
        except credentials.CredentialProblem:
            bad += 1
            yield wrong(
                f"upstream {row.upstream.name}: its API key {row.name} was sealed with another master key: "
                "enter it again."
            )
    if not bad:
        yield ok(f"{len(rows)} upstream credentials open with the master key")


def clocks() -> Iterator[Finding]:
    """This machine, PostgreSQL and Redis agree on the time: periods and windows hang on it."""
    began = time.time()
    try:
        database = float(one("SELECT extract(epoch FROM clock_timestamp())")[0])
        yield _clock("PostgreSQL", database - (began + time.time()) / 2)
    except DatabaseError:
        yield wrong("the clock of PostgreSQL cannot be read.")
    client = _redis()
    try:
        began = time.time()
        seconds, micros = client.time()
        yield _clock("Redis", seconds + micros / 1e6 - (began + time.time()) / 2)
    except redis.RedisError:
        yield wrong("the clock of Redis cannot be read.")
    finally:
        client.close()


def redis_server() -> Iterator[Finding]:
    """It answers, and keeps what it is given."""
    client = _redis()
    try:
        info: Any = client.info("server")
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "unknown")
        yield ok(f"Redis {info.get('redis_version', '?')} answers")
        if policy == "noeviction":
            yield ok("Redis evicts nothing (maxmemory-policy noeviction)")
        else:
            yield wrong(
                f"Redis evicts keys under pressure (maxmemory-policy {policy}), jobs and rate limits among them: "
                "set maxmemory-policy noeviction."
            )
    except redis.ResponseError:
        yield ok("Redis answers, and does not let its configuration be read: see to maxmemory-policy noeviction")
    except redis.RedisError as error:
        yield wrong(f"Redis cannot be reached ({type(error).__name__}): start it (make up), or correct REDIS_URL.")
    finally:
        client.close()


def upstreams() -> Iterator[Finding]:
    """Every active upstream can be reached, with each of its active credentials."""
    rows = list(Upstream.objects.filter(is_active=True).order_by("name"))
    if not rows:
        yield wrong("there is no upstream: add one in the admin, or with manage.py apply.")
    for row in rows:
        for name, answer in upstream_check.check_all(row):
            yield Finding(answer.good, f"upstream {name}: {answer.words}")


def versions() -> Iterator[Finding]:
    """Python and the packages that matter."""
    yield ok(f"Python {platform.python_version()}")
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield wrong(f"the package {name} is not installed: run make up, or uv sync.")
    yield ok(", ".join(found))


def _clock(whose: str, skew: float) -> Finding:
    if abs(skew) > MOST_SKEW_S:
        return wrong(f"the clock of {whose} is {skew:+.1f} s off this machine's: synchronise both (chrony, NTP).")
    return ok(f"the clock of {whose} is {abs(skew) * 1000:.0f} ms off this machine's")


def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL or "redis://127.0.0.1:6379/0",
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
    )
