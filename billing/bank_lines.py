"""Lines of bank statements and whose money they are: shown first, then taken in, each once.

A line names what it pays: the number of an invoice, or ``TOP-UP`` and a tenant's slug. Without that it is matched where
payer and amount fit one unpaid invoice alone. What nobody can tell waits for a person. The only writer of
BankLine.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing import dues, parties, payments
from billing.bank_files import StatementLine
from billing.models import BankLine, Invoice, Payment
from billing.parties import Tenant
from billing.payments import Ask, PaymentProblem

MATCHED, UNMATCHED, DUPLICATE = "matched", "unmatched", "duplicate"
_NAMESPACE = uuid.UUID("6f1f0c1c-6c0b-4c55-9e9a-0d2a3a5b7c11")
"""Digests of lines become the references of their payments in this namespace, so that each is paid in once."""


@dataclass(frozen=True, slots=True)
class Match:
    """A line, what it was found to be, and why, in plain words."""

    line: StatementLine
    state: str
    words: str
    tenant: Tenant | None = None
    invoices: tuple[Invoice, ...] = ()


@dataclass(frozen=True, slots=True)
class Owed:
    """An invoice with what is unpaid of it."""

    invoice: Invoice
    unpaid: int

    @property
    def code(self) -> str:
        """Its number as it is looked for in references: letters and digits alone."""
        return _code(self.invoice.number or "")


def match(lines: Sequence[StatementLine]) -> list[Match]:
    """What each line is; nothing is written. Two lines that pay one invoice are both matched: the second is credit."""
    known = set(BankLine.objects.filter(pk__in=[line.digest for line in lines]).values_list("pk", flat=True))
    owed = _owed({line.currency for line in lines})
    return [
        Match(line, DUPLICATE, "Taken in before.") if line.digest in known else _match(line, owed) for line in lines
    ]


def take_in(*, matches: Sequence[Match], actor: str, now: datetime) -> tuple[int, int]:
    """Record what was matched, keep what was not; returns how many of each. Again it changes nothing."""
    paid = kept = 0
    for each in matches:
        if each.state == DUPLICATE:
            continue
        try:
            done = _take(each, actor, now)
        except PaymentProblem:
            done = _keep(each.line, None, now)
        paid += bool(done and done.payment_id)
        kept += bool(done and not done.payment_id)
    return paid, kept


@transaction.atomic
def assign(*, line: BankLine, tenant: Tenant, chosen: Sequence[Invoice] | None, actor: str, now: datetime) -> Payment:
    """Say whose money a line is that nobody could tell; ``chosen`` as in payments.record. Raises PaymentProblem."""
    line = BankLine.objects.select_for_update().get(pk=line.pk)
    if line.payment_id is not None:
        raise PaymentProblem("This line has its payment already.")
    payment = _record(_statement(line), tenant, chosen, actor, now)
    BankLine.objects.filter(pk=line.pk).update(payment=payment)
    return payment


@transaction.atomic
def _take(found: Match, actor: str, now: datetime) -> BankLine | None:
    if found.tenant is None:
        return _keep(found.line, None, now)
    payment = _record(found.line, found.tenant, list(found.invoices), actor, now)
    return _keep(found.line, payment, now)


def _record(
    line: StatementLine, tenant: Tenant, chosen: Sequence[Invoice] | None, actor: str, now: datetime
) -> Payment:
    wanted = Ask(
        line.amount, line.currency, Payment.Method.BANK, memo=line.purpose[:200] or line.payer, actor=actor,
        received_on=line.booked_on, reference=uuid.uuid5(_NAMESPACE, line.digest),
    )  # fmt: skip
    payable = None if chosen is None else [each for each in chosen if dues.unpaid(each) > 0]
    return payments.record(tenant=tenant, ask=wanted, chosen=payable, now=now)


def _keep(line: StatementLine, payment: Payment | None, now: datetime) -> BankLine | None:
    row, made = BankLine.objects.get_or_create(
        digest=line.digest,
        defaults={
            "booked_on": line.booked_on, "amount": line.amount, "currency": line.currency, "payer": line.payer,
            "purpose": line.purpose, "payment": payment, "imported_at": now,
        },
    )  # fmt: skip
    return row if made else None


def _match(line: StatementLine, owed: Sequence[Owed]) -> Match:
    mine = [each for each in owed if each.invoice.currency == line.currency]
    code = _code(line.purpose)
    named = [each for each in mine if re.search(rf"{each.code}(?!\d)", code)]
    if len({each.invoice.tenant_id for each in named}) > 1:
        return Match(line, UNMATCHED, "It names invoices of several organisations.")
    if named:
        return _matched(line, named, "By its number")
    if (tenant := _topped_up(line)) is not None:
        return Match(line, MATCHED, f"Top-up of {tenant.name}.", tenant)
    fitting = [each for each in mine if each.unpaid == line.amount and _same(each.invoice.tenant.name, line.payer)]
    if len(fitting) == 1:
        return _matched(line, fitting, "By payer and amount")
    return Match(line, UNMATCHED, "It names no unpaid invoice in this currency.")


def _matched(line: StatementLine, found: Sequence[Owed], how: str) -> Match:
    invoices = tuple(each.invoice for each in found)
    unpaid = sum(each.unpaid for each in found)
    numbers = " and ".join(str(each) for each in invoices)
    if line.amount == unpaid:
        words = f"{how}: pays {numbers}."
    else:
        words = f"{how}: pays {'part of ' if line.amount < unpaid else ''}{numbers}"
        words += "." if line.amount < unpaid else "; the rest is credit."
    return Match(line, MATCHED, words, invoices[0].tenant, invoices)


def _owed(currencies: set[str]) -> list[Owed]:
    rows = Invoice.objects.filter(kind=Invoice.Kind.INVOICE, status__in=dues.OWED, currency__in=currencies)
    found = [Owed(each, dues.unpaid(each)) for each in rows.select_related("tenant").order_by("due_on", "id")]
    return [each for each in found if each.unpaid > 0]


def _topped_up(line: StatementLine) -> Tenant | None:
    said = re.search(r"\btop[\s-]?up[\s:]+([a-z0-9-]+)", line.purpose.lower())
    try:
        return parties.tenant_by_slug(said[1]) if said else None
    except parties.UnknownTenant:
        return None


def _statement(line: BankLine) -> StatementLine:
    return StatementLine(line.booked_on, line.amount, line.currency, line.payer, line.purpose, line.digest)


def _code(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _same(one: str, other: str) -> bool:
    return bool(one.strip()) and _code(one) == _code(other)
