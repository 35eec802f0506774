"""What an export's columns are: name, type, and the SQL that gives it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from billing.meters import COUNTERS


class Type(StrEnum):
    """How a column reads: ``usd`` is an exact decimal with twelve places, ``moment`` is UTC, ``words`` are people's.

    ``decimal`` is exact with eighteen places, of which a text shows those that are needed; ``second`` is a moment
    without a fraction.
    """

    TEXT = "text"
    WORDS = "words"
    NUMBER = "number"
    USD = "usd"
    MINOR = "minor"
    DECIMAL = "decimal"
    MOMENT = "moment"
    SECOND = "second"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``sql`` is an expression over the rows of its export."""

    name: str
    type: Type
    sql: str
    about: str


def usd(name: str, pico: str, about: str) -> Column:
    """Whole picodollars, which a file shows as dollars with twelve places."""
    return Column(name, Type.USD, pico, about)


TOKENS = tuple(
    Column(name, Type.NUMBER, f"r.{name}", f"{name.replace('_', ' ')}: tokens or pieces") for name in COUNTERS
)
WHOSE = (
    Column("project", Type.WORDS, "coalesce(p.name, '')", "the project's name"),
    Column("api_key", Type.WORDS, "coalesce(k.name, '')", "the key's name"),
    Column("api_key_id", Type.TEXT, "coalesce(k.public_id, '')", "the key's public id"),
)
CALLS = (
    Column("id", Type.TEXT, "'req_' || left(replace(r.id::text, '-', ''), 24)", "the request id that the answer had"),
    Column("admitted_at", Type.MOMENT, "r.opened_at", "when the call was admitted"),
    Column("settled_at", Type.MOMENT, "r.settled_at", "when it was settled; empty while it runs"),
    *WHOSE,
    Column("model", Type.TEXT, "r.model", "the model that is charged"),
    Column("requested_model", Type.WORDS, "r.requested_model", "the model as it was asked for"),
    Column("operation", Type.TEXT, "r.operation", "chat, messages, responses, embeddings or images"),
    Column("run_id", Type.WORDS, "r.run_id", "the run it belonged to"),
    Column("stream", Type.FLAG, "r.stream", "whether it was streamed"),
    Column("state", Type.TEXT, "r.state", "open, settled or voided"),
    Column("basis", Type.TEXT, "coalesce(r.basis, '')", "exact, or estimated where the upstream gave no counts"),
    Column("status", Type.NUMBER, "r.status", "the HTTP status of the answer"),
    Column("error_code", Type.TEXT, "r.error_code", "what went wrong"),
    *TOKENS,
    Column("price_version", Type.NUMBER, "r.price_id", "the price that rated it"),
    usd("cost_usd", "r.cost", "what it cost"),
)
USAGE = (
    Column("date", Type.TEXT, "r.day::text", "the day in the tenant's time zone"),
    *WHOSE,
    Column("model", Type.TEXT, "r.model", "the model"),
    Column("price_version", Type.NUMBER, "r.price_id", "the price that rated it"),
    Column("requests", Type.NUMBER, "r.requests", "settled calls"),
    Column("estimated", Type.NUMBER, "r.estimated", "how many of them were estimated"),
    *TOKENS,
    usd("cost_usd", "r.cost", "what they cost"),
)
LEDGER = (
    Column("entry", Type.NUMBER, "r.id", "the entry's number"),
    Column("transfer", Type.NUMBER, "t.id", "the movement it is a side of"),
    Column("kind", Type.TEXT, "t.kind", "usage, charge, top_up, payment, invoice and so on"),
    Column("effective_at", Type.MOMENT, "t.effective_at", "when it counts"),
    Column("posted_at", Type.MOMENT, "t.posted_at", "when it was written"),
    Column("account", Type.TEXT, "a.kind", "the account"),
    Column("house", Type.FLAG, "a.tenant_id IS NULL", "whether the account is the operator's"),
    Column("currency", Type.TEXT, "r.currency", "ISO 4217"),
    usd("amount", "r.amount", "debit positive, credit negative"),
    Column("memo", Type.WORDS, "t.memo", "what it was for"),
)
SIGN, OF_DOCUMENT = (f"CASE {row}.kind WHEN 'credit_note' THEN -1 ELSE 1 END" for row in ("i", "r"))
"""A credit note prints positive amounts; what sums documents takes them off."""
INVOICES = (
    Column("number", Type.TEXT, "i.number", "the number of the invoice or credit note"),
    Column("kind", Type.TEXT, "i.kind", "invoice, or credit_note, whose quantities and amounts are negative"),
    Column("corrects", Type.TEXT, "coalesce(c.number, '')", "the invoice that a credit note corrects"),
    Column("status", Type.TEXT, "i.status", "finalised, paid, void or uncollectible"),
    Column("period", Type.TEXT, "i.period_label", "the month it is for"),
    Column("finalised_at", Type.MOMENT, "i.finalised_at", "when it was issued"),
    Column("currency", Type.TEXT, "i.currency", "ISO 4217"),
    Column("line", Type.NUMBER, "r.position", "the line's place"),
    Column("line_period", Type.TEXT, "r.period_label", "the month the line is of"),
    Column("model", Type.TEXT, "r.model", "the model; empty for charges"),
    Column("token_class", Type.TEXT, "r.token_class", "the class of tokens, or the surcharge"),
    Column("description", Type.WORDS, "r.description", "what a charge is for"),
    Column("quantity", Type.NUMBER, f"{SIGN} * r.quantity", "how many"),
    usd("exact_usd", f"{SIGN} * r.exact", "before rounding"),
    Column("amount_minor", Type.MINOR, f"{SIGN} * r.amount", "rounded once, in minor units of the currency"),
)
DOCUMENTS = (
    Column("number", Type.TEXT, "r.number", "the number of the invoice or credit note"),
    Column("kind", Type.TEXT, "r.kind", "invoice, or credit_note, whose amounts are negative"),
    Column("corrects", Type.TEXT, "coalesce(c.number, '')", "the invoice that a credit note corrects"),
    Column("status", Type.TEXT, "r.status", "finalised, paid, void or uncollectible"),
    Column("period", Type.TEXT, "r.period_label", "the month it is for"),
    Column("finalised_at", Type.MOMENT, "r.finalised_at", "when it was issued"),
    Column("due_on", Type.TEXT, "coalesce(r.due_on::text, '')", "the last day to pay"),
    Column("currency", Type.TEXT, "r.currency", "ISO 4217"),
    Column("subtotal_minor", Type.MINOR, f"{OF_DOCUMENT} * r.subtotal", "net, in minor units of the currency"),
    Column("tax_minor", Type.MINOR, f"{OF_DOCUMENT} * r.tax", "tax, in minor units"),
    Column("total_minor", Type.MINOR, f"{OF_DOCUMENT} * r.total", "gross, in minor units: what the document says"),
    usd("exact_usd", f"{OF_DOCUMENT} * r.exact", "net before rounding"),
    usd("total_usd", f"{OF_DOCUMENT} * r.usd_total", "gross in USD, by the rate of the document"),
)
