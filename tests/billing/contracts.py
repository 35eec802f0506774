"""What tests of contracts share: agreeing, closing, and what was charged."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from billing import books, closing, terms
from billing.contract_sums import Contract, TierTerms
from billing.models import Charge, Invoice, InvoiceLine, Terms
from billing.tiers import Tiers
from tests.billing.world import World

PARIS = ZoneInfo("Europe/Paris")
MARCH = datetime(2027, 3, 1, tzinfo=PARIS)
CLOSED = datetime(2027, 4, 1, 7, tzinfo=PARIS)
MILLION = 1_000_000
GRADUATED = TierTerms("*", "input", "tokens", Tiers("graduated", (0, 1_000), (150_000, 100_000)))


def agree(world: World, contract: Contract, start: datetime = MARCH, until: datetime | None = None) -> Terms:
    return terms.agree(
        tenant=world.tenant, contract=contract, effective_from=start, effective_to=until, now=world.clock
    )


def close(world: World, month: str = "2027-03", at: datetime = CLOSED) -> Invoice:
    invoice = closing.close(tenant=world.tenant, month=month, now=at, finalise=True)
    assert (invoice.parked_reason, invoice.number is None) == ("", False)
    return invoice


def charged(world: World, label: str = "2027-03") -> dict[tuple[str, str], int]:
    """The sums of charges of a month by kind and the end of their subject."""
    found: dict[tuple[str, str], int] = {}
    for charge in Charge.objects.filter(tenant_id=world.tenant.id, period_label=label):
        key = (charge.kind, charge.subject.partition(".")[2])
        found[key] = found.get(key, 0) + int(charge.exact)
    return {key: exact for key, exact in found.items() if exact}


def balanced(world: World) -> bool:
    report = books.check(tenant_id=world.tenant.id)
    assert report.differences == ()
    return report.balanced


def lines(invoice: Invoice) -> list[InvoiceLine]:
    return list(invoice.lines.filter(charge__isnull=False).order_by("position"))
