"""Keys: what is stored, what limits them, how they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from django.conf import settings
from django.utils.timezone import now

from billing.models import Budget
from portal import api_keys, key_format, quotas
from portal.api_keys import KeyLimits, KeyProblem
from portal.models import ApiKey, AuditEntry, Quota
from portal.tenancy import as_tenant
from tests.portal.cast import Cast

USD = 10**12


def issue(cast: Cast, limits: KeyLimits = api_keys.NO_LIMITS, name: str = "") -> api_keys.IssuedKey:
    return api_keys.issue(project=cast.acme.project, name=name, limits=limits, actor=cast.alice, now=now())


def test_it_keeps_a_digest_and_not_the_key(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        issued = issue(cast)
        row = ApiKey.objects.values().get(pk=issued.key.pk)

    secret = issued.text[len(key_format.PREFIX) + 12 :]
    assert key_format.well_formed(issued.text.encode())
    assert bytes(row["digest"]) == key_format.digest(issued.text.encode(), settings.KEY_PEPPER.encode())
    assert all(secret not in str(value) for value in row.values())
    assert issued.text not in repr(issued)


def test_it_sets_the_limits_with_the_key(cast: Cast) -> None:
    limits = KeyLimits(models=("a/b",), requests_per_minute=10, concurrency=2, budget=5 * USD, window="day")
    with as_tenant(cast.acme.tenant.pk):
        key = issue(cast, limits).key
        quota = Quota.objects.get(api_key=key)
        budget = Budget.objects.get(scope="api_key", scope_id=key.pk)

    assert key.allowed_models == ["a/b"]
    assert (quota.requests_per_minute, quota.tokens_per_minute, quota.concurrency) == (10, None, 2)
    assert (budget.window, int(budget.limit)) == ("day", 5 * USD)


@pytest.mark.parametrize(
    "limits",
    [
        KeyLimits(models=()),
        KeyLimits(models=("bad name",)),
        KeyLimits(models=("x\r\ny",)),
        KeyLimits(budget=-1),
        KeyLimits(budget=1, window="year"),
    ],
)
def test_it_refuses_limits_that_cannot_be(cast: Cast, limits: KeyLimits) -> None:
    with as_tenant(cast.acme.tenant.pk), pytest.raises(KeyProblem):
        issue(cast, limits)


def test_it_refuses_an_expiry_in_the_past(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk), pytest.raises(KeyProblem, match="past"):
        issue(cast, KeyLimits(expires_at=now() - timedelta(seconds=1)))


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-14))])
def test_it_refuses_an_expiry_that_no_calendar_holds(cast: Cast, zone: tzinfo) -> None:
    far = datetime(9999, 12, 31, 23, 59, tzinfo=zone)
    with as_tenant(cast.acme.tenant.pk), pytest.raises(KeyProblem, match="2200"):
        issue(cast, KeyLimits(expires_at=far))


def test_it_refuses_a_closed_project(cast: Cast) -> None:
    cast.acme.project.is_active = False
    with as_tenant(cast.acme.tenant.pk), pytest.raises(KeyProblem, match="closed"):
        issue(cast)


def test_it_revokes_once(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        key = issue(cast).key
        assert api_keys.revoke(key=key, actor=cast.alice, now=now())
        first = key.revoked_at
        assert not api_keys.revoke(key=key, actor=cast.alice, now=now() + timedelta(hours=1))
        assert key.revoked_at == first
        assert AuditEntry.objects.filter(action="api_key.revoke", subject=key.public_id).count() == 1


def test_streams_can_be_cut_after_revoking(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        key = issue(cast).key
        api_keys.revoke(key=key, actor=None, now=now())
        api_keys.revoke(key=key, actor=None, now=now(), cut_streams=True)
    assert key.cut_streams


def test_a_rotated_key_shares_the_limits_of_the_first(cast: Cast) -> None:
    moment = now()
    with as_tenant(cast.acme.tenant.pk):
        first = issue(cast, KeyLimits(budget=USD, requests_per_minute=5)).key
        second = api_keys.rotate(key=first, actor=cast.alice, overlap=timedelta(hours=1), now=moment).key
        third = api_keys.rotate(key=second, actor=cast.alice, overlap=timedelta(0), now=moment).key
        budgets = Budget.objects.filter(scope="api_key").count()

    assert first.expires_at == moment + timedelta(hours=1)
    assert second.expires_at == moment
    assert third.expires_at is None
    assert api_keys.limits_holder(second) == api_keys.limits_holder(third) == first.pk
    assert budgets == 1


def test_it_does_not_rotate_what_has_ended(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        key = issue(cast).key
        api_keys.revoke(key=key, actor=None, now=now())
        with pytest.raises(KeyProblem):
            api_keys.rotate(key=key, actor=None, overlap=timedelta(0), now=now())


def test_a_quota_of_nothing_is_no_quota(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        tenant = cast.acme.tenant
        quotas.set_quota(tenant=tenant, requests_per_minute=1, tokens_per_minute=None, concurrency=None)
        quotas.set_quota(tenant=tenant, requests_per_minute=None, tokens_per_minute=None, concurrency=None)
        assert not Quota.objects.filter(tenant=tenant, project=None, api_key=None).exists()


@pytest.mark.parametrize("rate", [0, -1, 2**31])
def test_it_refuses_rates_that_cannot_be(cast: Cast, rate: int) -> None:
    with as_tenant(cast.acme.tenant.pk), pytest.raises(quotas.QuotaProblem):
        quotas.set_quota(tenant=cast.acme.tenant, requests_per_minute=rate, tokens_per_minute=None, concurrency=None)
