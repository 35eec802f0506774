"""A tenant's spring with everything that moves money: calls, charges, tax, a credit note, late usage, two invoices."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

from billing import charges, closing, credit_notes, exchange
from billing.charges import Wanted
from billing.exchange import Rate
from billing.invoice_events import Said
from billing.meters import Usage
from billing.models import TaxRate
from billing.periods import month
from portal.models import Tenant
from portal.tenancy import as_operator
from tests.billing.world import USD, World

SELLER = {
    "name": "Seller SARL", "country": "FR", "vat_id": "FR40303265045", "address": "1 rue\n75001 Paris", "tax_id": "",
    "register_id": "", "email": "", "iban": "", "bic": "",
}  # fmt: skip
CHARGES = (
    Wanted("other", "support", "Support", 3 * USD + 1), Wanted("minimum", "m", "Up to the minimum", 7 * USD),
    Wanted("free", "f", "Free tokens", -1_234_567_891), Wanted("tier", "t", "Tiers", -USD // 3),
)  # fmt: skip


def lived(mode: str = "postpaid", currency: str = "USD") -> World:
    """March, invoiced and credited in part; a call of March that comes late, on April's invoice; a call of May.

    Run it with SELLER in the settings.
    """
    world = World(mode=mode, credit=500 * USD)
    _settle_in(world, currency)
    for number in range(6):
        world.use(
            Usage(input=random.randrange(10**7), cache_read=number, output=random.randrange(10**6), reasoning=77),
            key=world.keys[number % 2],
        )
        world.clock += timedelta(days=3, hours=5)
    world.post()
    late = world.clock - timedelta(days=1)
    with as_operator():
        for wanted in CHARGES:
            charges.bring_to(
                tenant=world.tenant, period=month("2027-03", "Europe/Paris"), wanted=wanted, now=world.clock
            )
        world.clock = datetime(2027, 4, 2, 12, tzinfo=UTC)
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        lines = list(invoice.lines.order_by("position"))
        amounts = {lines[0].pk: lines[0].amount // 3, lines[-1].pk: lines[-1].amount}
        credit_notes.issue(invoice=invoice, amounts=amounts, said=Said(reason="too slow", actor=""), now=world.clock)
    world.use(Usage(output=777), at=late)
    world.use(Usage(input=4_000_001))
    world.post()
    with as_operator():
        closing.close(tenant=world.tenant, month="2027-04", now=datetime(2027, 5, 2, tzinfo=UTC), finalise=True)
    world.clock = datetime(2027, 5, 3, 9, tzinfo=UTC)
    world.use(Usage(input=5))
    return world


def _settle_in(world: World, currency: str) -> None:
    """A country with a rate of tax, and rates of the currency."""
    with as_operator():
        Tenant.objects.filter(pk=world.tenant.pk).update(currency=currency, country="FR")
        world.tenant.refresh_from_db()
        TaxRate.objects.get_or_create(
            country="FR", category="S", effective_from=date(2020, 1, 1), defaults={"rate": 2000}
        )
        if currency != "USD":
            for day in (world.clock.date(), date(2027, 4, 20)):
                exchange.keep(Rate(currency, 10_000, 10_861, day, "ECB"), now=world.clock)
