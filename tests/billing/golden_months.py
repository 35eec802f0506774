"""Fixed months, from calls and charges to the documents and the ledger they must come to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path

from pypdf import PdfReader

from billing import charges, closing, credit_notes, evidence, exchange, invoice_pdf, terms
from billing.charges import Wanted
from billing.contract_sums import USD as BY_AMOUNT
from billing.contract_sums import Contract, FreeTerms, TierTerms
from billing.documents import electronic
from billing.exchange import Rate
from billing.invoice_events import Said
from billing.meters import COUNTERS, Usage
from billing.models import Invoice, LedgerEntry
from billing.periods import month_of
from billing.tiers import Tiers
from portal.models import ApiKey, Tenant
from portal.tenancy import as_operator
from tests.billing.world import USD, World

STORED = Path(__file__).with_name("golden")
MODEL = "swift-1"
HASH = re.compile(r"\s*\b[0-9a-f]{64}\b")
MARCH, LATER = "2027-03", timedelta(days=22)
SELLER = {
    "name": "Tollgate GmbH", "address": "Hafenstraße 1\n20457 Hamburg", "country": "DE", "vat_id": "DE136695976",
    "tax_id": "", "register_id": "HRB 4711", "email": "ar@toll.test", "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
}  # fmt: skip
NOBODY = {"name": "Tollgate", "address": "", "tax_id": "", "email": "", "country": "", "vat_id": ""}
PLAIN = (Usage(input=1_234_567, cache_read=250_000, output=98_765), Usage(input=10), Usage(output=7, reasoning=333_333))
HEAVY = tuple(Usage(input=40_000_000 + step, cache_read=9_999_999, output=3_000_001 * step) for step in range(1, 6))


@dataclass(frozen=True)
class Month:
    """What happens: who pays whom, calls in their order, charges, and what is made of it."""

    seller: dict[str, str]
    tenant: dict[str, str]
    calls: tuple[Usage, ...]
    charges: tuple[Wanted, ...] = ()
    contract: Contract | None = None
    rate: tuple[str, int, int] | None = None
    credit: Callable[[Invoice], dict[int, int] | None] | None = None


def _half_of_first(invoice: Invoice) -> dict[int, int]:
    first = invoice.lines.order_by("position")[0]
    return {first.pk: first.amount // 2}


MONTHS = {
    "plain_usd": Month(NOBODY, {"name": "Ada Labs", "address": "1 Main St\nSpringfield"}, PLAIN),
    "german_vat_and_tiers": Month(
        SELLER,
        {
            "name": "Müller & Söhne GmbH", "address": "Marktplatz 7\n80331 München", "country": "DE",
            "vat_id": "DE129273398", "language": "de", "currency": "EUR", "billing_email": "ap@mueller.test",
        },
        HEAVY,
        (
            Wanted("tier", "swift-1", "Staffel: 20 % ab 100 Mio. Tokens", -7 * USD - 123_456_789),
            Wanted("other", "support", "Support Gold", 250 * USD),
        ),
        rate=("EUR", 86_957, 100_000),
    ),
    "reverse_charge_and_credit_note": Month(
        SELLER,
        {
            "name": "Société Générée", "address": "12 rue des Fleurs\n75002 Paris", "country": "FR",
            "vat_id": "FR40303265045", "language": "fr", "currency": "EUR", "billing_email": "compta@sg.test",
        },
        HEAVY[:2],
        rate=("EUR", 86_957, 100_000),
        credit=_half_of_first,
    ),
    "turkish_credit_note": Month(
        SELLER,
        {
            "name": "Ağaç İşleri A.Ş.", "address": "Çiçek Sok. 5\nİstanbul", "country": "TR", "language": "tr",
            "currency": "TRY", "billing_email": "muhasebe@agac.test",
        },
        HEAVY[:1],
        rate=("TRY", 4_183_501, 100_000),
        credit=lambda _invoice: None,
    ),
    "german_contract": Month(
        SELLER,
        {
            "name": "Kontor Nord AG", "address": "Speicher 3\n20457 Hamburg", "country": "DE", "vat_id": "DE129273398",
            "language": "de", "currency": "EUR", "billing_email": "buero@kontor.test",
        },
        HEAVY,
        contract=Contract(
            minimum=75 * USD,
            free_amount=5 * USD,
            tiers=(
                TierTerms("swift-*", "input", "tokens", Tiers("volume", (0, 100_000_000), (150_000, 110_000))),
                TierTerms("*", "", BY_AMOUNT, Tiers("graduated", (0, 10 * USD), (0, 750))),
            ),
            free_tokens=(FreeTerms("swift-*", "output", 2_000_000),),
        ),
        rate=("EUR", 86_957, 100_000),
    ),
}  # fmt: skip


def play(month: Month) -> dict[str, bytes]:
    """Live a month; what comes out, by name of file. Ids that differ from run to run are blotted out of texts."""
    world = World()
    with as_operator():
        Tenant.objects.filter(pk=world.tenant.pk).update(slug="golden", **month.tenant)
        ApiKey.objects.filter(pk=world.keys[0].pk).update(public_id="GoldenKey001", name="Production")
        world.tenant.refresh_from_db()
        world.keys[0].refresh_from_db()
        if month.rate:
            exchange.keep(Rate(*month.rate, world.clock.date(), "ECB"), now=world.clock)
    world.model, world.clock = MODEL, world.clock + timedelta(hours=1)
    world.price = world.publish({"input": 150_000, "cache_read": 75_000, "output": 600_000, "reasoning": 900_000})
    if month.contract:
        with as_operator():
            start = month_of(world.clock, world.tenant.timezone).start
            terms.agree(
                tenant=world.tenant, contract=month.contract, effective_from=start, effective_to=None, now=world.clock
            )
    for usage in month.calls:
        world.use(usage)
        world.clock += timedelta(hours=7)
    with as_operator():
        for wanted in month.charges:
            period = month_of(world.clock, world.tenant.timezone)
            charges.bring_to(tenant=world.tenant, period=period, wanted=wanted, now=world.clock)
        world.clock += LATER
        invoice = closing.close(tenant=world.tenant, month=MARCH, now=world.clock, finalise=True)
        found = _written(invoice, "invoice")
        if month.credit:
            said = Said("Ada", "Yanlış model" if invoice.language == "tr" else "Mauvais modèle facturé")
            note = credit_notes.issue(invoice=invoice, amounts=month.credit(invoice), said=said, now=world.clock)
            found |= _written(note, "credit_note")
        return found | {"ledger.txt": _ledger(world).encode()}


def _written(invoice: Invoice, name: str) -> dict[str, bytes]:
    assert invoice.number, invoice.parked_reason
    pdf = invoice_pdf.render(invoice)
    reader = PdfReader(BytesIO(pdf))
    text = "\n-- page --\n".join(page.extract_text() for page in reader.pages)
    found = {f"{name}.pdf": pdf, f"{name}.txt": _blotted(text).encode()}
    attached = reader.attachments
    if "factur-x.xml" in attached:
        found[f"{name}.factur-x.xml"] = _blotted(attached["factur-x.xml"][0].decode()).encode()
        found[f"{name}.ubl.xml"] = _blotted(electronic.universal(invoice).decode()).encode()
    if invoice.kind == Invoice.Kind.INVOICE:
        sealed = evidence.said(evidence.by_number(invoice.number))  # type: ignore[arg-type]
        sums = [f"{key} {sealed['counts'][key]}" for key in (*COUNTERS, "events", "adjustments", "charges")]
        found[f"{name}.evidence.txt"] = "\n".join([f"picodollars {sealed['exact']}", *sums, ""]).encode()
    return found


def _blotted(text: str) -> str:
    lines = (line.rstrip() for line in HASH.sub(" (sha-256)", text).splitlines())
    text = "\n".join(line for line in lines if line) + "\n"
    return re.sub(r"((?:[Vv]ersion|sürüm) )\d+", r"\1(id)", text)


def _ledger(world: World) -> str:
    """Every entry of the tenant's transfers, and the balances they come to."""
    entries = LedgerEntry.objects.filter(transfer__tenant=world.tenant).select_related("transfer", "account")
    rows = sorted(
        f"{entry.transfer.kind:12} {entry.account.kind:12} {entry.currency} {int(entry.amount):>24}"
        for entry in entries
    )
    balances: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        balances[entry.account.kind, entry.currency] += int(entry.amount)
    sums = [f"= {kind:23} {currency} {amount:>24}" for (kind, currency), amount in sorted(balances.items())]
    return "\n".join([*rows, *sums, ""])
