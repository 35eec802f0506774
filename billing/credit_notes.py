"""Credit notes: what corrects a finalised invoice, wholly or in part, in a series of their own.

A credit note is a row of Invoice of kind ``credit_note`` that ``corrects`` another; its lines each correct one line.
Amounts are positive, as printed. Never more is credited than was invoiced: of the whole, of each line and of each tax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from billing import exchange, invoice_events, invoice_posting, invoice_series, invoices, taxes
from billing.invoice_events import Said
from billing.invoice_series import Issue
from billing.invoices import InvoiceProblem
from billing.models import Invoice, InvoiceEvent, InvoiceLine, InvoiceTax
from billing.money import format_minor
from billing.taxes import Group
from billing.webhooks import messages

CORRECTABLE = (Invoice.Status.FINALISED, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE)


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a line after its credit notes: minor units and picodollars, signed like the line."""

    line: InvoiceLine
    amount: int
    exact: int


@transaction.atomic
def issue(*, invoice: Invoice, amounts: Mapping[int, int] | None, said: Said, now: datetime) -> Invoice:
    """Credit parts of lines, or with None everything that is left. Returns the credit note, numbered.

    ``amounts`` are net minor units by line id, signed like the line. Tax and exact amounts go along; the ledger gets
    the reverse, and the wallet or credit line its room back. An invoice still to be paid of which nothing is left is
    void. The number is taken last, before its message. Raises InvoiceProblem in plain words.
    """
    reason = _checked_reason(said.reason)
    invoices.lock(invoice.tenant_id)
    invoice = invoices.reread(invoice)
    if invoice.kind != Invoice.Kind.INVOICE or invoice.status not in CORRECTABLE:
        raise InvoiceProblem(f"Only a finalised invoice is corrected; this is {invoice.status}.")
    parts = _everything(invoice) if amounts is None else _parts(invoice, amounts)
    note = _draft(invoice, reason, now)
    _fill(note, invoice, parts)
    prepaid = invoice.snapshot["mode"] == "prepaid"
    invoice_posting.post_credit_note(note=note, prepaid=prepaid, now=now)
    if invoice.status == Invoice.Status.FINALISED and note.total == left_total(invoice):
        Invoice.objects.filter(pk=invoice.pk).update(status=Invoice.Status.VOID)
        invoice_events.note(invoice=invoice, kind=InvoiceEvent.Kind.VOID, said=said, now=now)
    snapshot = _snapshot(invoice, note)
    status = Invoice.Status.FINALISED
    invoice_series.number(invoice=note, issue=Issue(status, due_on=None, snapshot=snapshot), now=now)
    final = Invoice.objects.select_related("tenant").get(pk=note.pk)
    messages.invoice_finalised(invoice=final, now=now)
    return final


def left_of(invoice: Invoice) -> list[Left]:
    """What is left of each line of an invoice, in order."""
    credited = InvoiceLine.objects.filter(corrects__invoice=invoice).exclude(invoice__status=Invoice.Status.DRAFT)
    sums = {
        row["corrects"]: (row["amounts"], int(row["exacts"]))
        for row in credited.values("corrects").annotate(amounts=Sum("amount"), exacts=Sum("exact"))
    }
    found = []
    for line in InvoiceLine.objects.filter(invoice=invoice).order_by("position"):
        amount, exact = sums.get(line.pk, (0, 0))
        found.append(Left(line, line.amount - amount, int(line.exact) - exact))
    return found


def left_total(invoice: Invoice) -> int:
    """What is left of an invoice's total after its credit notes, in minor units: never negative."""
    return invoice.total - sum(note.total for note in numbered(invoice))


def numbered(invoice: Invoice) -> list[Invoice]:
    """The credit notes of an invoice, the first first."""
    notes = Invoice.objects.filter(corrects=invoice).exclude(status=Invoice.Status.DRAFT)
    return list(notes.order_by("id"))


def _checked_reason(reason: str) -> str:
    reason = " ".join(reason.split())
    if not 3 <= len(reason) <= 200:
        raise InvoiceProblem("Say why in 3 to 200 characters: it is printed on the credit note.")
    return reason


def _everything(invoice: Invoice) -> list[Left]:
    """All that is left, also what was rounded to nothing."""
    parts = [left for left in left_of(invoice) if left.amount or left.exact]
    if not parts:
        raise InvoiceProblem(f"{invoice.number} is credited wholly already.")
    return parts


def _parts(invoice: Invoice, amounts: Mapping[int, int]) -> list[Left]:
    left = {each.line.pk: each for each in left_of(invoice)}
    parts = []
    for line_id, amount in amounts.items():
        if line_id not in left:
            raise InvoiceProblem(f"{invoice.number} has no such line.")
        if amount:
            parts.append(_part(left[line_id], amount, invoice.currency))
    if not parts:
        raise InvoiceProblem("Enter an amount for at least one line.")
    return sorted(parts, key=lambda part: part.line.position)


def _part(left: Left, amount: int, currency: str) -> Left:
    """A part of what is left of a line with its share of the exact amount, rounded half up; the last has the rest."""
    if (amount < 0) != (left.amount < 0) or abs(amount) > abs(left.amount):
        most = format_minor(left.amount, currency)
        raise InvoiceProblem(f"Of line {left.line.position} {most} {currency} are left to be credited.")
    if amount == left.amount:
        return Left(left.line, amount, left.exact)
    exact = (2 * abs(left.exact * amount) + abs(left.amount)) // (2 * abs(left.amount))
    return Left(left.line, amount, -exact if left.exact < 0 else exact)


def _draft(invoice: Invoice, reason: str, now: datetime) -> Invoice:
    kept = (
        "tenant_id", "period_label", "period_start_at", "period_end_at", "timezone", "anchor_day", "currency",
        "rate_numerator", "rate_denominator", "rate_on", "rate_source", "language",
    )  # fmt: skip
    return Invoice.objects.create(
        kind=Invoice.Kind.CREDIT_NOTE, corrects=invoice, reason=reason, created_at=now,
        **{name: getattr(invoice, name) for name in kept},
    )  # fmt: skip


def _fill(note: Invoice, invoice: Invoice, parts: list[Left]) -> None:
    """Lines, taxes and totals of a credit note."""
    InvoiceLine.objects.bulk_create(_line(note, place, part) for place, part in enumerate(parts, 1))
    groups = _groups(invoice, parts)
    InvoiceTax.objects.bulk_create(
        InvoiceTax(
            invoice=note, tenant_id=note.tenant_id, category=each.category, rate=each.rate, base=each.base,
            amount=each.amount,
        )
        for each in groups
    )  # fmt: skip
    note.exact = sum(part.exact for part in parts)
    note.subtotal = sum(part.amount for part in parts)
    note.tax = sum(each.amount for each in groups)
    note.total = note.subtotal + note.tax
    if note.total < 0:
        raise InvoiceProblem("These lines together would not give back, but take.")
    note.usd_total = _usd_total(note, invoice)
    note.save(update_fields=["exact", "subtotal", "tax", "total", "usd_total"])


def _usd_total(note: Invoice, invoice: Invoice) -> int:
    """What all credit notes come to in USD, less those before: together they are never above the invoice."""
    before = numbered(invoice)
    credited = note.total + sum(each.total for each in before)
    return exchange.rate_of(invoice).to_usd(credited) - sum(int(each.usd_total) for each in before)


def _line(note: Invoice, place: int, part: Left) -> InvoiceLine:
    """A line that corrects another: the whole of it keeps its quantity, a part is one piece."""
    line = part.line
    whole = part.amount == line.amount and part.exact == int(line.exact)
    return InvoiceLine(
        invoice=note, tenant_id=note.tenant_id, position=place, period_label=line.period_label, model=line.model,
        token_class=line.token_class, price_id=line.price_id, charge_id=line.charge_id, description=line.description,
        quantity=line.quantity if whole else 1, unit_price=line.unit_price if whole else 0, exact=part.exact,
        amount=part.amount, tax_category=line.tax_category, tax_rate=line.tax_rate, corrects=line,
    )  # fmt: skip


def _groups(invoice: Invoice, parts: list[Left]) -> list[Group]:
    """The tax of the parts by category and rate: that on all that is credited, less that of the notes before."""
    lines = [_Part(part.amount, part.line.tax_category, part.line.tax_rate) for part in parts]
    found = []
    for group in taxes.groups_of(lines):
        base, amount = _credited(invoice, group)
        tax = taxes.tax_on(base + group.base, group.rate) - amount
        found.append(Group(group.category, group.rate, group.base, tax))
    return found


@dataclass(slots=True)
class _Part:
    """A part of a line as taxes see it."""

    amount: int
    tax_category: str
    tax_rate: int


def _credited(invoice: Invoice, group: Group) -> tuple[int, int]:
    """Base and tax of a group that credit notes have given back already."""
    notes = InvoiceTax.objects.filter(category=group.category, rate=group.rate, invoice__corrects=invoice)
    gone = notes.exclude(invoice__status=Invoice.Status.DRAFT).aggregate(base=Sum("base"), amount=Sum("amount"))
    return gone["base"] or 0, gone["amount"] or 0


def _snapshot(invoice: Invoice, note: Invoice) -> dict[str, object]:
    """What the invoice said of the parties, with what it corrects and the note's own taxes; no annex."""
    issued = invoice.finalised_at
    return {
        **invoice.snapshot,
        "annex": [],
        "taxes": invoices.taxes_of(note),
        "reason": note.reason,
        "corrects": {"number": invoice.number, "issued_at": issued.isoformat() if issued else ""},
    }
