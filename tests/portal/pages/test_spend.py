"""Spend by month: what was used is invoiced or open, and the month's documents are less what was given back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import override_settings
from django.urls import reverse
from django.utils.timezone import now

from billing import spend
from billing.models import Invoice, LedgerEntry
from portal import tenancy
from portal.models import Role
from portal.tenancy import as_operator, as_tenant
from tests.billing.lived_month import SELLER, lived
from tests.portal.cast import person, signed_in

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_it_adds_up_to_the_ledger_and_the_documents(currency: str) -> None:
    with override_settings(SELLER=SELLER):
        world = lived(currency=currency)
        world.post()
    with as_tenant(world.tenant.pk):
        months = spend.by_month(
            tenant_id=world.tenant.pk, zone="Europe/Paris", now=datetime(2027, 5, 5, tzinfo=UTC), months=3
        )
    assert [month.label for month in months] == ["2027-03", "2027-04", "2027-05"]
    with as_operator():
        earned = LedgerEntry.objects.filter(tenant_id=world.tenant.pk, account__kind="revenue").exclude(
            transfer__kind="credit_note"
        )
        assert sum(month.used for month in months) == -sum(int(entry.amount) for entry in earned)
        march = Invoice.objects.filter(tenant_id=world.tenant.pk, period_label="2027-03", number__isnull=False)
        signed = sum(one.total * (-1 if one.kind == "credit_note" else 1) for one in march)
    assert months[0].billed == months[0].owed == {currency: signed}
    assert (months[0].open, months[1].open) == (0, 0)
    assert months[2].open == months[2].used == 5 * 150_000


def test_the_page_and_the_api_say_the_same() -> None:
    with override_settings(SELLER=SELLER):
        world = lived()
    user = person(f"owner@{world.tenant.slug}.test")
    with as_operator():
        tenancy.add_member(tenant=world.tenant, user=user, role=Role.OWNER, actor=None, now=now())
    client = signed_in(user)
    said = client.get(reverse("api:spend"), {"tenant": world.tenant.slug}).json()
    assert len(said) == 12
    assert all(Decimal(row["used"]) == Decimal(row["invoiced"]) + Decimal(row["open"]) for row in said)
    page = client.get(reverse("spend", args=[world.tenant.slug])).content.decode()
    assert said[-1]["month"] in page
