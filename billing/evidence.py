"""Evidence packs: every row behind an invoice, its sums and its hash. The only writer of Evidence.

An invoice is sealed while it is a draft, before its number is taken; the seal is in its snapshot and on its page.
What is posted never changes: the same invoice gives the same CSV, byte for byte.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, cast

from django.db import connection, transaction

from billing import evidence_format
from billing.evidence_format import BATCH, FORMAT, Row, Tally
from billing.meters import COUNTERS
from billing.models import Evidence, Invoice, InvoicedTransfer
from billing.money import usd

SPOOL = 8 << 20
"""Bytes of a pack that are kept in memory before it goes to a file."""


class EvidenceProblem(Exception):
    """Rows that do not make up their invoice, or no longer those that were sealed, in words for a finance person."""


def seal(*, invoice: Invoice, now: datetime) -> dict[str, Any]:
    """Seal a draft, unless it is sealed as it is now; returns what its snapshot and page say of it.

    Reads every row once. Call it before the transaction that takes the number: there only the seal is looked at again.
    Raises EvidenceProblem if the rows do not sum to the invoice.
    """
    drawn_from = _drawn_from(invoice)
    found = Evidence.objects.filter(invoice=invoice, drawn_from=drawn_from, format=FORMAT).first()
    return said(found or _seal(invoice, drawn_from, now))


def said(evidence: Evidence) -> dict[str, Any]:
    """What a snapshot keeps of a seal; the exact sum as a text of picodollars."""
    return {
        "format": evidence.format,
        "rows": evidence.rows,
        "sha256": evidence.sha256,
        "exact": str(evidence.exact),
        "counts": evidence.counts,
    }


def _seal(invoice: Invoice, drawn_from: str, now: datetime) -> Evidence:
    tally = Tally()
    for _piece in evidence_format.as_csv(rows_of(invoice), tally):
        pass
    if tally.exact != int(invoice.exact):
        raise EvidenceProblem(
            f"The rows behind {invoice} sum to {usd(tally.exact)} USD, and it says {usd(int(invoice.exact))} USD."
        )
    sealed = {
        "tenant_id": invoice.tenant_id, "format": FORMAT, "drawn_from": drawn_from, "rows": tally.rows,
        "exact": tally.exact, "counts": tally.counts(), "sha256": tally.sha256, "size": tally.size, "made_at": now,
    }  # fmt: skip
    return Evidence.objects.update_or_create(invoice=invoice, defaults=sealed)[0]


def csv_of(invoice: Invoice) -> BinaryIO:
    """The CSV, in a file that is gone once closed. Raises EvidenceProblem unless it is the one that was sealed."""
    sealed, tally, file = _sealed(invoice), Tally(), _spool()
    for piece in evidence_format.as_csv(rows_of(invoice), tally):
        file.write(piece)
    if tally.sha256 != sealed.sha256:
        file.close()
        raise EvidenceProblem(f"The rows behind {invoice} are no longer those that were sealed with it.")
    file.seek(0)
    return file


def parquet_of(invoice: Invoice) -> BinaryIO:
    """The same rows as Parquet, in a file that is gone once closed."""
    sealed, file = _sealed(invoice), _spool()
    told = {"invoice": invoice.number or "", "csv_sha256": sealed.sha256, "format": str(sealed.format)}
    evidence_format.write_parquet(rows_of(invoice), file, told)
    file.seek(0)
    return file


def by_hash(sha256: str) -> Evidence | None:
    """The seal of a CSV."""
    return Evidence.objects.select_related("invoice").filter(sha256=sha256).first()


def by_number(number: str) -> Evidence | None:
    """The seal of an invoice."""
    return Evidence.objects.select_related("invoice").filter(invoice__number=number).first()


def _sealed(invoice: Invoice) -> Evidence:
    found = Evidence.objects.filter(invoice=invoice).first()
    if found is None or invoice.status == Invoice.Status.DRAFT:
        raise EvidenceProblem(f"There is no evidence pack of {invoice}: one is made when an invoice gets its number.")
    return found


def _spool() -> BinaryIO:
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=SPOOL))


def _drawn_from(invoice: Invoice) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT encode(sha256(convert_to(coalesce(string_agg(transfer_id::text, ',' ORDER BY transfer_id), ''),
                'UTF8')), 'hex') FROM billing_invoicedtransfer WHERE invoice_id = %s""",
            [invoice.pk],
        )
        return str(cursor.fetchone()[0])


def rows_of(invoice: Invoice) -> Iterator[list[Row]]:
    """Batches of rows: events by time of admission, then adjustments, then charges. Bounded memory."""
    with transaction.atomic():
        ids = list(InvoicedTransfer.objects.filter(invoice=invoice).values_list("transfer_id", flat=True))
        for statement in (EVENTS, ADJUSTMENTS, CHARGES):
            with connection.chunked_cursor() as cursor:
                cursor.execute(statement, {"ids": ids, "tenant": invoice.tenant_id})
                while rows := cursor.fetchmany(BATCH):
                    yield rows


EVENTS = f"""
SELECT 'event', 'req_' || left(replace(e.id::text, '-', ''), 24), e.opened_at, e.settled_at, e.project_id, e.api_key_id,
    e.model, e.operation, e.basis, e.price_id, e.transfer_id, {", ".join(f"e.{name}" for name in COUNTERS)}, e.cost, ''
FROM billing_usageevent e WHERE e.tenant_id = %(tenant)s AND e.transfer_id = ANY (%(ids)s) ORDER BY e.id
"""

ADJUSTMENTS = f"""
SELECT 'adjustment', 'req_' || left(replace(a.event_id::text, '-', ''), 24), a.opened_at, a.made_at, a.project_id,
    a.api_key_id, a.model, '', '', a.price_id, a.transfer_id,
    {", ".join(f"a.counts[{place}]" for place in range(1, len(COUNTERS) + 1))}, a.cost, ''
FROM billing_usageadjustment a WHERE a.tenant_id = %(tenant)s AND a.transfer_id = ANY (%(ids)s)
ORDER BY a.event_id, a.price_id, a.id
"""

CHARGES = f"""
SELECT 'charge', c.kind || '-' || c.id, c.effective_at, NULL::timestamptz, NULL::bigint, NULL::bigint, '', '', '',
    NULL::bigint, c.transfer_id, {", ".join("NULL::bigint" for _name in COUNTERS)}, c.exact, c.description
FROM billing_charge c WHERE c.tenant_id = %(tenant)s AND c.transfer_id = ANY (%(ids)s) ORDER BY c.id
"""
