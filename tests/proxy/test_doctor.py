"""``manage.py doctor``: it is content with what is in order, and says what to do about what is not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import redis
from django.core.management import call_command
from django.db import connection

from portal.environment import ROOT
from portal.tenancy import as_operator
from proxy.doctor import row_security, surroundings
from proxy.doctor.finding import Finding
from proxy.models import Upstream
from proxy.upstreams import set_credential
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db


def words(check: Callable[[], object], *, good: bool) -> list[str]:
    with as_operator():
        return [finding.words for finding in check() if isinstance(finding, Finding) and finding.good is good]  # type: ignore[attr-defined]


def as_owner(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute(statement)
        cursor.execute("SET LOCAL ROLE tollgate_portal")


def test_it_finds_nothing_but_that_test_servers_may_lose_commits(sandbox: SandboxProcess, settings: object) -> None:
    settings.SANDBOX_URL = sandbox.url  # type: ignore[attr-defined]
    printed = io.StringIO()
    with as_operator():
        Upstream.objects.create(name="sandbox", base_url=sandbox.url + "/v1")
        with pytest.raises(SystemExit) as ended:
            call_command("doctor", stdout=printed)

    lines = printed.getvalue().splitlines()
    wrong = [line for line in lines if not line.startswith("ok  ")]
    assert ended.value.code == 1
    assert [line.split(":")[0] for line in wrong] == ["WRONG  PostgreSQL"]
    assert "is off, so a crash loses usage" in wrong[0]
    assert any(line.startswith("ok  upstream sandbox: It answered") for line in lines)


def test_it_finds_a_table_without_row_level_security() -> None:
    as_owner("ALTER TABLE portal_project NO FORCE ROW LEVEL SECURITY")
    as_owner("DROP POLICY portal_rows ON portal_quota")

    found = words(row_security.tables, good=False)

    assert any(line.startswith("portal_project:") for line in found)
    assert any(line.startswith("portal_quota:") for line in found)


def test_it_finds_rows_the_portal_should_not_see() -> None:
    with as_operator():
        from tests.billing.world import World

        World()
    as_owner("CREATE POLICY leak ON portal_project TO tollgate_portal USING (true)")

    assert any("sees rows of portal_project" in line for line in words(row_security.tables, good=False))


def test_it_finds_a_partition_that_can_be_reached_past_the_policies() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
        name = f"billing_usageevent_{cursor.fetchone()[0]}"
    as_owner(f"GRANT SELECT ON {name} TO tollgate_portal")

    assert any(line.startswith(f"{name}:") for line in words(row_security.tables, good=False))


def test_it_finds_credentials_of_another_master_key(settings: object) -> None:
    with as_operator():
        upstream = Upstream.objects.create(name="far", base_url="https://far.invalid/v1")
        set_credential(upstream=upstream, secret="sk-0123456789ab")
    settings.MASTER_KEY = "another master key of enough length"  # type: ignore[attr-defined]

    assert any("enter it again" in line for line in words(surroundings.stored_credentials, good=False))


def test_it_finds_weak_secrets(settings: object) -> None:
    settings.KEY_PEPPER = settings.MASTER_KEY = "short"  # type: ignore[attr-defined]

    found = words(surroundings.secrets, good=False)

    assert any("at least 32" in line for line in found)
    assert any("the same" in line for line in found)


def test_it_finds_an_evicting_redis(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    before = client.config_get("maxmemory-policy")["maxmemory-policy"]
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert any("noeviction" in line for line in words(surroundings.redis_server, good=False))
    finally:
        client.config_set("maxmemory-policy", str(before))
        client.close()


def test_it_says_so_when_nothing_runs() -> None:
    variables = {
        **os.environ,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    variables.pop("TOLLGATE_ROLE", None)
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "WRONG  PostgreSQL cannot be reached" in done.stdout
    assert "WRONG  Redis cannot be reached" in done.stdout
    assert "Traceback" not in done.stderr
