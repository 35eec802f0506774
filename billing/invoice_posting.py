"""How an invoice and a credit note move money: their transfers in the ledger, and what the wallet or credit line bears.

Amounts in USD are picodollars, those in the invoice's currency 10⁻¹² of its unit; each currency sums to zero, and what
passes from one to the other passes through the house account ``exchange``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

from billing import exchange, ledger
from billing.exchange import PRICED_IN
from billing.ledger import Entry, Movement
from billing.models import Invoice, LedgerAccount, Transfer
from billing.money import minor_to_pico

Kind = LedgerAccount.Kind


def post_invoice(*, invoice: Invoice, prepaid: bool, now: datetime) -> None:
    """Postpaid: exact out of ``accrued``, gross into ``receivable``, tax to ``tax``, the difference to ``rounding``.

    Prepaid usage has left the wallet already; the wallet bears tax and rounding.
    """
    besides = int(invoice.usd_total) - int(invoice.exact)
    entries = _entries(invoice, prepaid, Entry(Kind.WALLET, besides) if prepaid else None)
    _post(invoice, Transfer.Kind.INVOICE, f"invoice:{invoice.pk}", entries, now)
    _charge_wallet(invoice.tenant_id, besides)


def post_credit_note(*, note: Invoice, prepaid: bool, now: datetime) -> None:
    """The reverse: out of ``receivable`` or back into the wallet, ``revenue`` and ``tax`` less, and the room back."""
    usd_total = int(note.usd_total)
    exact = Entry(Kind.REVENUE, -int(note.exact))
    entries = _entries(note, prepaid, Entry(Kind.WALLET, usd_total) if prepaid else None, exact)
    backwards = [Entry(entry.kind, -entry.amount, entry.currency) for entry in entries]
    _post(note, Transfer.Kind.CREDIT_NOTE, f"credit_note:{note.pk}", backwards, now)
    _charge_wallet(note.tenant_id, -usd_total)


def _entries(invoice: Invoice, prepaid: bool, wallet: Entry | None, exact: Entry | None = None) -> list[Entry]:
    """The sides of an invoice. ``exact`` is where its exact amount comes from: ``accrued``, or what a note reverses."""
    currency = invoice.currency
    rounding = minor_to_pico(invoice.subtotal, currency) - exchange.rate_of(invoice).convert(int(invoice.exact))
    entries = [
        Entry(Kind.TAX, -minor_to_pico(invoice.tax, currency), currency),
        Entry(Kind.ROUNDING, -rounding, currency),
    ]
    if wallet:
        entries.append(wallet)
    else:
        entries.append(Entry(Kind.RECEIVABLE, minor_to_pico(invoice.total, currency), currency))
    if exact or not prepaid:
        entries.append(exact or Entry(Kind.ACCRUED, -int(invoice.exact)))
    return entries + _through_exchange(entries)


def _through_exchange(entries: Sequence[Entry]) -> list[Entry]:
    """What is left open in each currency goes through ``exchange``; nothing where all is in one."""
    found = []
    for currency in sorted({entry.currency for entry in entries}):
        left = sum(entry.amount for entry in entries if entry.currency == currency)
        if left:
            found.append(Entry(Kind.EXCHANGE, -left, currency))
    return found


def _post(invoice: Invoice, kind: str, key: str, entries: Sequence[Entry], now: datetime) -> None:
    if {entry.currency for entry in entries} == {PRICED_IN} and any(e.kind == Kind.EXCHANGE for e in entries):
        raise ledger.LedgerProblem(f"{key} does not sum to zero.")
    ledger.post(tenant=invoice.tenant, movement=Movement(kind, key, now, tuple(entries)), now=now)


def _charge_wallet(tenant_id: int, amount: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT charge_wallet(%s, %s)", [tenant_id, amount])
