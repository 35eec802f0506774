"""``manage.py issue_key`` and ``revoke_key``."""

from __future__ import annotations

import json

import pytest
from django.core.management.base import CommandError

from billing.models import Budget
from portal import key_format
from portal.models import ApiKey, Quota, Tenant
from portal.tenancy import as_operator, set_active
from proxy.models import Model
from tests.billing.world import World
from tests.proxy.commands import run


@pytest.fixture
def tenant(db: None) -> Tenant:
    tenant = World().tenant
    with as_operator():
        Model.objects.create(name="swift", context_window=1000, max_output_tokens=100)
    return tenant


def test_it_prints_id_and_key(tenant: Tenant) -> None:
    made = json.loads(run("issue_key", "--tenant", tenant.slug, "--json"))

    assert set(made) == {"id", "key"}
    assert key_format.well_formed(made["key"].encode())
    assert made["key"][6:18] == made["id"]


def test_it_sets_every_limit(tenant: Tenant) -> None:
    arguments = "--name CI --models swift --rpm 60 --tpm 1000 --concurrency 3 --budget 5.00 --window day"
    expiry = ["--expires", "2099-12-31T23:59:59+01:00"]
    made = json.loads(run("issue_key", "--tenant", tenant.slug, *arguments.split(), *expiry, "--json"))

    with as_operator():
        key = ApiKey.objects.get(public_id=made["id"])
        quota = Quota.objects.get(api_key=key)
        budget = Budget.objects.get(scope="api_key", scope_id=key.pk)
    assert (key.name, key.allowed_models) == ("CI", ["swift"])
    assert (quota.requests_per_minute, quota.tokens_per_minute, quota.concurrency) == (60, 1000, 3)
    assert (int(budget.limit), budget.window) == (5 * 10**12, "day")
    assert key.expires_at is not None
    assert key.expires_at.isoformat() == "2099-12-31T22:59:59+00:00"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--project", "nope"], "There is no project “nope”"),
        (["--models", "swift,slow"], "There is no model “slow”"),
        (["--models", ","], "There is no model"),
        (["--rpm", "0"], "requests_per_minute"),
        (["--concurrency", "-1"], "concurrency"),
        (["--budget", "5,00"], "--budget"),
        (["--budget", "-5"], "--budget"),
        (["--window", "day"], "--window belongs to --budget"),
        (["--expires", "2020-01-01"], "past"),
        (["--expires", "soon"], "is not a time"),
        (["--name", "x\ny"], "printable"),
    ],
)
def test_it_refuses_in_words(tenant: Tenant, arguments: list[str], said: str) -> None:
    with as_operator():
        before = ApiKey.objects.count()
    with pytest.raises(CommandError, match=said):
        run("issue_key", "--tenant", tenant.slug, *arguments)
    with as_operator():
        assert ApiKey.objects.count() == before


def test_it_refuses_tenants_that_cannot_call(tenant: Tenant) -> None:
    with pytest.raises(CommandError, match="There is no tenant"):
        run("issue_key", "--tenant", "nope")
    with as_operator():
        set_active(tenant=tenant, is_active=False, actor=None, now=World.__init__.__globals__["START"])
    with pytest.raises(CommandError, match="disabled"):
        run("issue_key", "--tenant", tenant.slug)


def test_it_revokes_by_id_and_by_what_is_shown(tenant: Tenant) -> None:
    made = json.loads(run("issue_key", "--tenant", tenant.slug, "--json"))

    assert json.loads(run("revoke_key", made["id"], "--json"))["changed"] is True
    assert "before" in run("revoke_key", f"sk-tg-{made['id']}")
    with pytest.raises(CommandError, match="no key"):
        run("revoke_key", "nope")
