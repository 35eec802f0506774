"""The rows of an export, page by page: each page is a statement of its own, so that nothing is held in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from billing.exports.columns import CALLS, DOCUMENTS, INVOICES, LEDGER, TOKENS, USAGE, Column
from billing.exports.span import Row, Span

PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Table:
    """An export of the rows of one source. Pages go by ``key``, SQL that orders its rows and is never null.

    ``source`` reads what lies within ``%(start)s`` and ``%(end)s`` of one tenant.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    source: str
    key: str
    first: Any

    @property
    def statement(self) -> str:
        """One page after ``%(after)s``, with the key of each row last."""
        columns = ", ".join(f"{column.sql} AS {column.name}" for column in self.columns)
        return (
            f"SELECT {columns}, {self.key} AS page_key FROM {self.source} AND {self.key} > %(after)s "
            f"ORDER BY {self.key} LIMIT %(limit)s"
        )

    def pages(self, span: Span) -> Iterator[list[Row]]:
        """The pages of a span's rows; the caller's role must be able to see them."""
        after = self.first
        while True:
            with connection.cursor() as cursor:
                cursor.execute(self.statement, {**span.values(), "limit": PAGE, "after": after})
                found = cursor.fetchall()
            if found:
                yield [row[:-1] for row in found]
            if len(found) < PAGE:
                return
            after = found[-1][-1]

    def count(self, span: Span) -> int:
        """How many rows there are."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {self.source}", span.values())
            return int(cursor.fetchone()[0])


WHOSE = "LEFT JOIN portal_project p ON p.id = r.project_id LEFT JOIN portal_apikey k ON k.id = r.api_key_id"
NO_ID = "00000000-0000-0000-0000-000000000000"
DAYS = """(
    SELECT (bucket_at AT TIME ZONE %(zone)s)::date AS day, project_id, api_key_id, model, price_id,
        sum(requests) AS requests, sum(estimated) AS estimated, {sums}, sum(cost) AS cost
    FROM billing_usagerollup WHERE tenant_id = %(tenant)s AND bucket_at >= %(start)s AND bucket_at < %(end)s
    GROUP BY 1, 2, 3, 4, 5) r"""
_SUMS = ", ".join(f"sum({column.name}) AS {column.name}" for column in TOKENS)

TABLES = (
    Table(
        "calls", "every call with its tokens and cost", CALLS,
        f"billing_usageevent r {WHOSE} WHERE r.tenant_id = %(tenant)s "
        "AND r.id >= uuid_floor(%(start)s) AND r.id < uuid_floor(%(end)s)",
        "r.id", NO_ID,
    ),
    Table(
        "usage", "usage by day, project, key, model and price", USAGE,
        f"{DAYS.format(sums=_SUMS)} {WHOSE} WHERE true",
        "lpad((r.day - date '1970-01-01')::text, 8, '0') || lpad(r.project_id::text, 20, '0') || "
        "lpad(r.api_key_id::text, 20, '0') || lpad(r.price_id::text, 20, '0') || r.model", "",
    ),
    Table(
        "ledger", "every entry of the ledger", LEDGER,
        "billing_ledgerentry r JOIN billing_transfer t ON t.id = r.transfer_id "
        "JOIN billing_ledgeraccount a ON a.id = r.account_id WHERE r.tenant_id = %(tenant)s "
        "AND t.effective_at >= %(start)s AND t.effective_at < %(end)s",
        "r.id", 0,
    ),
    Table(
        "invoices", "every line of every numbered invoice and credit note", INVOICES,
        "billing_invoiceline r JOIN billing_invoice i ON i.id = r.invoice_id "
        "LEFT JOIN billing_invoice c ON c.id = i.corrects_id WHERE r.tenant_id = %(tenant)s "
        "AND i.number IS NOT NULL AND i.finalised_at >= %(start)s AND i.finalised_at < %(end)s",
        "r.id", 0,
    ),
    Table(
        "documents", "every numbered invoice and credit note with its totals", DOCUMENTS,
        "billing_invoice r LEFT JOIN billing_invoice c ON c.id = r.corrects_id WHERE r.tenant_id = %(tenant)s "
        "AND r.number IS NOT NULL AND r.finalised_at >= %(start)s AND r.finalised_at < %(end)s",
        "r.id", 0,
    ),
)  # fmt: skip
