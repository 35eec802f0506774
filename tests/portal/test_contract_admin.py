"""Operators agree contracts after seeing what months come to under them, replace, withdraw and end them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing import closing, periods
from billing.meters import Usage
from billing.models import Charge, FreeTokens, Terms, TierRule
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from tests.billing.world import USD, World
from tests.portal.cast import signed_in

PREFIXES = ("tiers", "free_tokens")


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def shop(db: None) -> World:
    """A tenant that used 2,000 tokens this month, for 0.0003 USD."""
    world = World(zone="UTC")
    world.clock = now()
    with as_operator():
        world.use(Usage(input=2_000))
        world.post()
    return world


def values(
    shop: World, *, tiers: Sequence[dict[str, str]] = (), free: Sequence[dict[str, str]] = (), **changed: str
) -> Any:
    start = periods.month_of(now(), "UTC").start
    found: dict[str, str] = {
        "tenant": str(shop.tenant.pk), "effective_from_0": f"{start:%Y-%m-%d}", "effective_from_1": "00:00:00",
        "effective_to_0": "", "effective_to_1": "", "minimum_usd": "", "free_usd": "", "note": "C-7", **changed,
    }  # fmt: skip
    for prefix, rows in zip(PREFIXES, (tiers, free), strict=True):
        found |= {f"{prefix}-TOTAL_FORMS": str(len(rows)), f"{prefix}-INITIAL_FORMS": "0"}
        for place, row in enumerate(rows):
            found |= {f"{prefix}-{place}-{name}": value for name, value in row.items()}
    return found


TIERS = {"pattern": "*", "token_class": "input", "mode": "graduated", "unit": "tokens", "tiers": "0: 0.15\n1k: 0.10"}
FREE = {"pattern": "swift-*", "token_class": "", "amount": "500"}
ADD = "admin:billing_terms_add"


def acts() -> list[str]:
    with as_operator():
        return list(AuditEntry.objects.filter(actor__is_staff=True).order_by("pk").values_list("action", flat=True))


def agreed(staff: Client, typed: dict[str, str]) -> Terms:
    answer = staff.post(reverse(ADD), {**typed, "_confirmed": "1"})
    assert answer.status_code == 302, answer.content.decode()
    with as_operator():
        return Terms.objects.latest("id")


def test_it_is_shown_what_months_come_to_and_nothing_is_agreed_until_it_is_confirmed(
    staff: Client, shop: World
) -> None:
    typed = values(shop, tiers=[TIERS], free=[FREE], minimum_usd="25")
    answer = staff.post(reverse(ADD), typed)
    page = " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())
    assert answer.status_code == 200
    assert "Graduated price of all models (Input tokens): 2,000 tokens, up to tier 2" in page
    assert "At list price $0.0003" in page
    assert "Nothing is agreed yet" in page
    with as_operator():
        assert not Terms.objects.exists()
        assert not Charge.objects.exists()
    assert acts() == []

    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.content.decode()))
    terms = agreed(staff, {**hidden, **typed})
    with as_operator():
        assert int(terms.minimum) == 25 * USD
        assert (TierRule.objects.get().prices, FreeTokens.objects.get().tokens) == ([150_000, 100_000], 500)
    assert acts() == ["terms.agree"]
    assert "C-7" in staff.get(reverse("admin:billing_terms_changelist")).content.decode()
    form = staff.get(reverse("admin:billing_terms_change", args=[terms.pk])).content.decode()
    assert "0: 0.15\n1,000: 0.10" in form


@pytest.mark.parametrize(
    ("tiers", "changed", "words"),
    [({**TIERS, "tiers": "0 0.15"}, {}, "a colon"), ({**TIERS, "tiers": "5: 1"}, {}, "begin with 0"),
     (None, {}, "say nothing"), (TIERS, {"effective_from_1": "00:07:00"}, "quarter of an hour"),
     (TIERS, {"effective_from_0": "2020-01-01"}, "month that ended last"), (TIERS, {"minimum_usd": "x"}, "amount")],
)  # fmt: skip
def test_what_cannot_be_agreed_comes_back_with_words(
    staff: Client, shop: World, tiers: dict[str, str] | None, changed: dict[str, Any], words: str
) -> None:
    answer = staff.post(reverse(ADD), values(shop, tiers=[tiers] if tiers else [], **changed))
    assert words in answer.content.decode()
    with as_operator():
        assert not Terms.objects.exists()


def test_volume_prices_that_fall_are_warned_of(staff: Client, shop: World) -> None:
    answer = staff.post(reverse(ADD), values(shop, tiers=[{**TIERS, "mode": "volume"}]))
    assert "grows from 1,000 tokens to a little more" in answer.content.decode()


def test_terms_are_replaced_and_withdrawn_while_no_month_is_closed(staff: Client, shop: World) -> None:
    first = agreed(staff, values(shop, tiers=[TIERS]))
    change = reverse("admin:billing_terms_change", args=[first.pk])
    typed = {**values(shop, free=[FREE]), "_confirmed": "1"}
    assert staff.post(change, typed).status_code == 302
    with as_operator():
        second = Terms.objects.get()
        assert second.pk != first.pk
        assert (second.tiers.count(), second.free_tokens.count()) == (0, 1)
    delete = reverse("admin:billing_terms_delete", args=[second.pk])
    assert staff.post(delete, {"post": "yes"}).status_code == 302
    with as_operator():
        assert not Terms.objects.exists()
    assert acts() == ["terms.agree", "terms.revise", "terms.withdraw"]


def test_terms_of_a_closed_month_can_only_be_ended(staff: Client, shop: World) -> None:
    typed = values(shop, tiers=[TIERS])
    terms = agreed(staff, typed)
    month = periods.month_of(now(), "UTC")
    assert month.end
    with as_operator():
        closing.close(tenant=shop.tenant, month=month.label, now=month.end + timedelta(hours=7), finalise=True)
    change = reverse("admin:billing_terms_change", args=[terms.pk])
    page = staff.get(change).content.decode()
    assert "are closed and invoiced" in page
    assert 'name="minimum_usd"' not in page
    assert staff.get(reverse("admin:billing_terms_delete", args=[terms.pk])).status_code == 403
    rows = {key: value for key, value in typed.items() if "FORMS" in key}
    for day, status in ((month.start + timedelta(days=3), 422), (month.end, 302)):
        answer = staff.post(change, {**rows, "effective_to_0": f"{day:%Y-%m-%d}", "effective_to_1": "00:00:00"})
        assert answer.status_code == status
    with as_operator():
        assert Terms.objects.get().effective_to == month.end
    assert acts()[-1] == "terms.end"
