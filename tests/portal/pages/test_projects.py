"""Projects, their names and budgets; limits of the organisation; its settings."""

from __future__ import annotations

import pytest

from billing.models import Allowance, Budget, Wallet
from portal import tenancy
from portal.models import Project, Quota, Role, Tenant
from tests.billing.world import as_role
from tests.portal.pages.cast import DOLLAR, Cast


def test_it_makes_a_project_with_a_free_slug(cast: Cast) -> None:
    for _ in range(2):
        cast.client().post(cast.url("projects/"), {"name": "Customer support"})
    with tenancy.as_operator():
        slugs = set(Project.objects.filter(tenant=cast.acme).values_list("slug", flat=True))
    assert slugs == {"default", "customer-support", "customer-support-2"}


def test_it_renames_a_project_and_keeps_its_slug(cast: Cast) -> None:
    url = cast.url("projects/default/name/")
    cast.client().post(url, {"rename-name": "Chat", "slug": "evil", "tenant": "other"})
    with tenancy.as_operator():
        assert Project.objects.get(tenant=cast.acme).name == "Chat"
        assert Project.objects.get(tenant=cast.acme).slug == "default"
    assert cast.client().post(url, {"rename-name": " "}).status_code == 422


def test_it_sets_a_projects_budget(cast: Cast) -> None:
    cast.call()
    answer = cast.client(Role.FINANCE).post(cast.url("projects/default/"), {"month": "30"}, follow=True)
    page = answer.content.decode()
    assert "Saved" in page
    assert "$30.00" in page
    with tenancy.as_operator():
        assert Budget.objects.get(tenant=cast.acme, scope="project").limit == 30 * DOLLAR


def test_it_does_not_let_developers_make_projects_or_limits(cast: Cast) -> None:
    developer = cast.client(Role.DEVELOPER)
    assert developer.post(cast.url("projects/"), {"name": "Mine"}).status_code == 403
    assert developer.post(cast.url("projects/default/"), {"month": "1"}).status_code == 403
    assert developer.post(cast.url("limits/change/"), {"month": "1"}).status_code == 403


def test_it_sets_limits_of_the_organisation(cast: Cast) -> None:
    typed = {"month": "50", "day": "", "lifetime": "", "requests_per_minute": "300", "scope_id": "1", "tenant": "2"}
    page = cast.client().post(cast.url("limits/change/"), typed, follow=True).content.decode()
    assert 'of <span class="money">$50.00</span>' in page
    assert "300" in page
    with tenancy.as_operator():
        assert Quota.objects.get(tenant=cast.acme).requests_per_minute == 300
        assert Budget.objects.get(scope="tenant").scope_id == cast.acme.pk


@pytest.mark.parametrize(
    "typed", [{"month": "lots"}, {"requests_per_minute": "-3"}, {"day": "1,5"}, {"month": "9" * 25}]
)
def test_it_says_what_is_wrong_with_a_limit(cast: Cast, typed: dict[str, str]) -> None:
    answer = cast.client().post(cast.url("limits/change/"), typed)
    assert answer.status_code == 422
    assert 'class="errors"' in answer.content.decode()


def test_it_says_when_there_is_no_limit(cast: Cast) -> None:
    assert "No rate is limited" in cast.client().get(cast.url("limits/")).content.decode()


def test_it_changes_settings_and_nothing_else(cast: Cast) -> None:
    typed = {"name": "Acme AG", "timezone": "Asia/Tokyo", "address": "Street 1\nCity", "slug": "evil", "is_active": ""}
    typed |= {"language": "de", "country": "de"}
    answer = cast.client().post(cast.url("settings/"), typed, follow=True)
    assert "Saved" in answer.content.decode()
    with tenancy.as_operator():
        tenant = Tenant.objects.get(pk=cast.acme.pk)
    assert (tenant.name, tenant.timezone, tenant.slug, tenant.is_active) == ("Acme AG", "Asia/Tokyo", "acme", True)
    assert (tenant.address, tenant.language, tenant.country) == ("Street 1\nCity", "de", "DE")


def test_a_credit_line_is_filled_by_what_is_not_paid_yet(cast: Cast) -> None:
    with as_role("none"):
        wallet = Wallet.objects.get(tenant=cast.acme)
        line = 100 * DOLLAR
        Wallet.objects.filter(pk=wallet.pk).update(mode=Wallet.Mode.POSTPAID, credit_limit=line)
        row = Allowance.objects.filter(tenant=cast.acme, kind=Allowance.Kind.WALLET)
        row.update(limit=line + 900 * DOLLAR, spent=930 * DOLLAR)
    page = cast.client().get(cast.url("limits/")).content.decode()
    assert "$30.00 spent and $0.00 held of $100.00" in page
    assert "$70.00" in page
