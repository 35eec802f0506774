"""Evidence packs: every row behind an invoice, its sums and its hash. The only writer of Evidence.

An invoice is sealed while it is a draft, before its number is taken; the seal is in its snapshot and on its page.
What is posted never changes: the same invoice gives the same CSV, byte for byte.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, cast

from django.db import connection, transaction

from billing import evidence_format, posted
from billing.evidence_format import BATCH, FORMAT, Row, Tally
from billing.meters import COUNTERS
from billing.models import Evidence, Invoice
from billing.money import usd
from billing.planning import ALONE, planned

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
    with planned(**ALONE):
        for _piece in _csv(invoice, tally):
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
    for piece in _csv(invoice, tally):
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
    for statement, values in _statements(invoice):
        yield from _rows(statement, values)


def _statements(invoice: Invoice) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is read, in order, one after the other, and with which values."""
    stretches = posted.stretches(invoice)
    for statement in (EVENTS, ADJUSTMENTS):
        for stretch in stretches:
            yield statement, stretch.of(invoice.tenant_id)
    ids = [transfer for stretch in stretches for transfer in stretch.transfer_ids]
    yield CHARGES, {"tenant": invoice.tenant_id, "ids": ids}


@transaction.atomic
def _rows(statement: str, values: dict[str, Any]) -> Iterator[list[Row]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(BATCH):
            yield rows


def _csv(invoice: Invoice, tally: Tally) -> Iterator[bytes]:
    """The same rows as CSV, in pieces; the tally has seen everything once all are taken.

    PostgreSQL writes the lines of events, of which there are many; where it would not write them as evidence_format
    does, we do.
    """
    tally.write(evidence_format.header())
    yield evidence_format.header()
    for statement, values in _statements(invoice):
        yield from _events_csv(values, tally) if statement is EVENTS else _lines(statement, values, tally)


def _events_csv(values: dict[str, Any], tally: Tally) -> Iterator[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(EVENT_SUMS, values)
        rows, unusual, exact, *sums = cursor.fetchone()
        if unusual:
            yield from _lines(EVENTS, values, tally)
            return
        tally.add_sums("event", rows, [int(amount or 0) for amount in sums], int(exact or 0))
        with cursor.copy(f"COPY ({EVENT_LINES}) TO STDOUT (FORMAT csv)", values) as copy:
            for piece in _gathered(copy):
                tally.write(piece)
                yield piece


def _lines(statement: str, values: dict[str, Any], tally: Tally) -> Iterator[bytes]:
    for rows in _rows(statement, values):
        written = evidence_format.lines(rows)
        tally.add(rows, written)
        yield written


def _gathered(lines: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Lines in larger pieces."""
    batches = iter(lines)
    while piece := b"".join(islice(batches, BATCH)):
        yield piece


def _event_columns(opened_at: str, settled_at: str) -> str:
    return f"""'event', 'req_' || left(replace(id::text, '-', ''), 24), {opened_at}, {settled_at}, project_id,
    api_key_id, model, operation, basis, price_id, transfer_id, {", ".join(COUNTERS)}, cost"""


def _utc(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


EVENTS = f"SELECT {_event_columns('opened_at', 'settled_at')}, '' FROM {posted.EVENTS} ORDER BY id"

EVENT_LINES = f"""
SELECT {_event_columns(_utc("opened_at"), _utc("settled_at"))}, NULL FROM {posted.EVENTS} ORDER BY id
"""

EVENT_SUMS = f"""
SELECT count(*), count(*) FILTER (WHERE '' IN (model, operation) OR strpos(model, chr(13)) > 0), sum(cost),
    {", ".join(f"sum({name})" for name in COUNTERS)} FROM {posted.EVENTS}
"""
"""Unusual are those in which COPY quotes what Python does not."""

ADJUSTMENTS = f"""
SELECT 'adjustment', 'req_' || left(replace(event_id::text, '-', ''), 24), opened_at, made_at, project_id,
    api_key_id, model, '', '', price_id, transfer_id,
    {", ".join(f"counts[{place}]" for place in range(1, len(COUNTERS) + 1))}, cost, ''
FROM {posted.ADJUSTMENTS} ORDER BY event_id, price_id, id
"""

CHARGES = f"""
SELECT 'charge', c.kind || '-' || c.id, c.effective_at, NULL::timestamptz, NULL::bigint, NULL::bigint, '', '', '',
    NULL::bigint, c.transfer_id, {", ".join("NULL::bigint" for _name in COUNTERS)}, c.exact, c.description
FROM billing_charge c WHERE c.tenant_id = %(tenant)s AND c.transfer_id = ANY (%(ids)s) ORDER BY c.id
"""
