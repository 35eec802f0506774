"""Whether the books balance: the same sums four ways, by SQL that shares nothing with what writes them.

Each check is one statement, so that it sees one moment, and returns a row for each difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from billing import payment_checks
from billing.planning import ALONE, planned

WORK_MEM = "128MB"
"""Room to sort and group the calls of a month: a statement takes a few times this at most, then goes to disk."""
OVERDUE_S = 60
"""How long an open call may be without a living owner, or past its deadline, before it counts as lost."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Picodollars of one tenant, month and currency: events, roll-ups, ledger, invoices (each with what is to come)."""

    tenant_id: int
    period: str
    currency: str
    a_events: int
    b_rollups: int
    c_ledger: int
    d_invoices: int

    @property
    def agree(self) -> bool:
        """A = B = C = D, to the last pico."""
        return self.a_events == self.b_rollups == self.c_ledger == self.d_invoices


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not add up: what was checked, of whom, what it should be and what it is."""

    check: str
    tenant_id: int
    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Report:
    """The sums and every difference found."""

    sums: tuple[Sums, ...]
    differences: tuple[Difference, ...]

    @property
    def balanced(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``; picodollars are texts."""
        amounts = ("a_events", "b_rollups", "c_ledger", "d_invoices")
        sums = [{**asdict(row), **{name: str(getattr(row, name)) for name in amounts}} for row in self.sums]
        return {
            "balanced": self.balanced,
            "sums": sums,
            "differences": [asdict(difference) for difference in self.differences],
        }


def check(
    *, tenant_id: int | None = None, since: datetime | None = None, tell: Callable[[str], None] = lambda _done: None
) -> Report:
    """Check one tenant's books, or everyone's. Reads every event; run it as the operator. ``tell`` hears how far.

    With ``since``, the start of one of the tenant's months, that and later months alone are checked, and no balance
    that reaches back before it: what is spent of limits that began earlier, and credit.
    """
    with planned(work_mem=WORK_MEM, **({} if since is None else ALONE)):
        return _check({"tenant": tenant_id, "since": since, "overdue": OVERDUE_S}, tell)


def _check(values: dict[str, Any], tell: Callable[[str], None]) -> Report:
    checks = CHECKS if values["since"] is None else CHECKS_AT_CLOSING
    tell(f"0 of {len(checks)}: A = B = C = D")
    sums = _sums(values)
    differences = [
        Difference("A = B = C = D", row.tenant_id, row.period, f"A {row.a_events}",
                   f"B {row.b_rollups}, C {row.c_ledger}, D {row.d_invoices}")
        for row in sums
        if not row.agree
    ]  # fmt: skip
    for number, (name, query) in enumerate(checks.items(), 1):
        tell(f"{number} of {len(checks)}: {name}")
        differences += [Difference(name, tenant, *map(str, rest)) for tenant, *rest in _rows(query, values)]
    return Report(tuple(sums), tuple(differences))


def _sums(values: dict[str, Any]) -> list[Sums]:
    return [
        Sums(tenant, period, currency, *(int(amount) for amount in amounts))
        for tenant, period, currency, *amounts in _rows(SUMS, values)
    ]


def _rows(query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _mine(column: str) -> str:
    return f"(%(tenant)s::bigint IS NULL OR {column} = %(tenant)s)"


def _recent(column: str) -> str:
    return f"(%(since)s::timestamptz IS NULL OR {column} >= %(since)s)"


def _recent_id(column: str) -> str:
    """The same of an event's id, which begins with its time."""
    return f"(%(since)s::timestamptz IS NULL OR {column} >= uuid_floor(%(since)s))"


def _month(column: str) -> str:
    """The month of a moment in the tenant's zone, from its anchor's day on; one for all where that was different."""
    local = f"{column} AT TIME ZONE z.timezone"
    return f"""CASE WHEN z.moved THEN 'all' WHEN z.anchor = 1 THEN to_char({local}, 'YYYY-MM')
        WHEN date_part('day', {local}) >= least(z.anchor, date_part('day', date_trunc('month', {local})
            + interval '1 month' - interval '1 day')) THEN to_char({local}, 'YYYY-MM')
        ELSE to_char(date_trunc('month', {local}) - interval '1 day', 'YYYY-MM') END"""


ZONES = f"""
zones AS MATERIALIZED (
    SELECT t.id, t.timezone, t.billing_anchor_day AS anchor, EXISTS (
        SELECT FROM billing_invoice i WHERE i.tenant_id = t.id
            AND (i.timezone <> t.timezone OR i.anchor_day <> t.billing_anchor_day)) OR EXISTS (
        SELECT FROM billing_charge c, LATERAL (SELECT t.timezone, t.billing_anchor_day AS anchor, false AS moved) z
            WHERE c.tenant_id = t.id AND c.period_label <> {_month("c.effective_at")}) AS moved
    FROM portal_tenant t WHERE {_mine("t.id")}
)"""

SUMS = f"""
WITH {ZONES}, events AS MATERIALIZED (
    SELECT b.tenant_id, {_month("b.bucket")} AS period, b.unposted, sum(b.cost) AS cost
    FROM (
        SELECT tenant_id, date_bin('15 minutes', opened_at, timestamptz 'epoch') AS bucket,
            transfer_id IS NULL AS unposted, sum(cost) AS cost FROM (
                SELECT tenant_id, opened_at, transfer_id, cost FROM billing_usageevent
                WHERE state = 'settled' AND {_mine("tenant_id")} AND {_recent_id("id")}
                UNION ALL SELECT tenant_id, opened_at, transfer_id, cost FROM billing_usageadjustment
                WHERE {_mine("tenant_id")} AND {_recent_id("event_id")}
            ) u GROUP BY 1, 2, 3
    ) b JOIN zones z ON z.id = b.tenant_id GROUP BY 1, 2, 3
), posted AS MATERIALIZED (
    SELECT e.tenant_id, {_month("t.effective_at")} AS period, e.currency, i.transfer_id IS NULL AS uninvoiced,
        sum(e.amount) AS amount
    FROM billing_transfer t JOIN zones z ON z.id = t.tenant_id
    JOIN billing_ledgerentry e ON e.transfer_id = t.id
    JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.tenant_id = t.tenant_id
    LEFT JOIN billing_invoicedtransfer i ON i.transfer_id = t.id
    WHERE t.kind IN ('usage', 'adjustment', 'charge') AND {_mine("t.tenant_id")} AND {_recent("t.effective_at")}
    GROUP BY 1, 2, 3, 4
), parts (tenant_id, period, currency, a, b, c, d) AS (
    SELECT tenant_id, period, 'USD', cost, 0, 0, 0 FROM events
    UNION ALL SELECT tenant_id, period, 'USD', 0, cost, cost, cost FROM events WHERE unposted
    UNION ALL SELECT r.tenant_id, {_month("r.bucket_at")}, 'USD', 0, r.cost, 0, 0
        FROM billing_usagerollup r JOIN zones z ON z.id = r.tenant_id
        WHERE {_mine("r.tenant_id")} AND {_recent("r.bucket_at")}
    UNION ALL SELECT c.tenant_id, CASE WHEN z.moved THEN 'all' ELSE c.period_label END, 'USD', c.exact, c.exact, 0, 0
        FROM billing_charge c JOIN zones z ON z.id = c.tenant_id WHERE {_recent("c.effective_at")}
    UNION ALL SELECT tenant_id, period, currency, 0, 0, amount, CASE WHEN uninvoiced THEN amount ELSE 0 END FROM posted
    UNION ALL SELECT l.tenant_id, CASE WHEN z.moved THEN 'all' ELSE l.period_label END, 'USD', 0, 0, 0, l.exact
        FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id AND i.kind = 'invoice'
        JOIN zones z ON z.id = l.tenant_id
        WHERE %(since)s::timestamptz IS NULL OR l.period_label >= {_month("%(since)s::timestamptz")}
)
SELECT tenant_id, period, currency, sum(a), sum(b), sum(c), sum(d) FROM parts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_UNIT = "power(10::numeric, 12 - CASE i.currency WHEN 'JPY' THEN 0 WHEN 'KWD' THEN 3 ELSE 2 END)"
"""How many 10⁻¹² of its currency's unit a minor unit of an invoice is (ISO 4217)."""

BALANCES = {
    "wallet limit = credit limit + credits",
    "credit granted = used + expired + refunded + left",
    "wallet = credit left - due",
    "transfers sum to zero",
}
"""Checks that add up everything there ever was of a tenant, and say nothing of what an invoice will."""

CHECKS = {
    "open holds = held": f"""
        WITH holds AS (
            SELECT x.id, sum(e.hold) AS held FROM billing_usageevent e, unnest(e.allowances) x (id)
            WHERE e.state = 'open' AND {_mine("e.tenant_id")} GROUP BY x.id)
        SELECT a.tenant_id, 'allowance ' || a.id, coalesce(h.held, 0), a.held
        FROM billing_allowance a LEFT JOIN holds h USING (id)
        WHERE {_mine("a.tenant_id")} AND coalesce(h.held, 0) <> a.held""",
    "spent = costs + charges + rounding + tax - credited": f"""
        WITH costs AS (
            SELECT x.id, sum(c.cost) AS spent FROM (
                SELECT e.allowances, e.cost FROM billing_usageevent e
                WHERE e.cost <> 0 AND {_mine("e.tenant_id")} AND {_recent_id("e.id")}
                UNION ALL
                SELECT e.allowances, d.cost FROM billing_usageadjustment d
                JOIN billing_usageevent e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
                WHERE {_mine("d.tenant_id")} AND {_recent_id("d.event_id")}) c, unnest(c.allowances) x (id)
            GROUP BY x.id
        ), roundings AS (
            SELECT tenant_id, sum(CASE kind WHEN 'invoice' THEN usd_total - exact ELSE -usd_total END) AS amount
            FROM billing_invoice WHERE number IS NOT NULL AND {_mine("tenant_id")} GROUP BY tenant_id
        ), charges AS (
            SELECT tenant_id, sum(exact) AS amount FROM billing_charge WHERE {_mine("tenant_id")} GROUP BY tenant_id
        ), besides AS (
            SELECT tenant_id, sum(amount) AS amount FROM (TABLE roundings UNION ALL TABLE charges) b GROUP BY tenant_id)
        SELECT a.tenant_id, 'allowance ' || a.id,
            coalesce(c.spent, 0) + CASE WHEN a.kind = 'wallet' THEN coalesce(r.amount, 0) ELSE 0 END, a.spent
        FROM billing_allowance a LEFT JOIN costs c USING (id) LEFT JOIN besides r ON r.tenant_id = a.tenant_id
        WHERE {_mine("a.tenant_id")} AND {_recent("a.starts_at")} AND a.spent <>
            coalesce(c.spent, 0) + CASE WHEN a.kind = 'wallet' THEN coalesce(r.amount, 0) ELSE 0 END""",
    "credit granted = used + expired + refunded + left": f"""
        SELECT g.tenant_id, 'credit ' || g.id, g.amount - coalesce(u.amount, 0), g.unused FROM billing_creditgrant g
        LEFT JOIN (SELECT grant_id, sum(amount) AS amount FROM billing_credituse WHERE {_mine("tenant_id")}
            GROUP BY 1) u ON u.grant_id = g.id
        WHERE {_mine("g.tenant_id")} AND g.unused <> g.amount - coalesce(u.amount, 0)""",
    "wallet = credit left - due": f"""
        WITH sides AS (
            SELECT e.tenant_id, -sum(e.amount) AS balance, 0 AS credit FROM billing_ledgerentry e
            JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.kind = 'wallet'
            WHERE {_mine("e.tenant_id")} GROUP BY 1
            UNION ALL SELECT tenant_id, 0, sum(unused) FROM billing_creditgrant
            WHERE transfer_id IS NOT NULL AND {_mine("tenant_id")} GROUP BY 1
            UNION ALL SELECT tenant_id, 0, -sum(amount) FROM billing_creditdue WHERE {_mine("tenant_id")} GROUP BY 1)
        SELECT tenant_id, 'wallet', sum(balance), sum(credit) FROM sides
        GROUP BY 1 HAVING sum(balance) <> sum(credit)""",
    "cost = tokens × frozen price": f"""
        SELECT e.tenant_id, 'req_' || left(replace(e.id::text, '-', ''), 24), r.cost, e.cost
        FROM billing_usageevent e LEFT JOIN billing_price p ON p.id = e.price_id
        CROSS JOIN LATERAL (SELECT e.input * p.input::numeric + e.cache_read * p.cache_read::numeric
            + e.cache_write_5m * p.cache_write_5m::numeric + e.cache_write_1h * p.cache_write_1h::numeric
            + e.input_audio * p.input_audio::numeric + e.input_image * p.input_image::numeric
            + e.output * p.output::numeric + e.reasoning * p.reasoning::numeric
            + e.output_audio * p.output_audio::numeric + e.output_image * p.output_image::numeric + p.per_request
            + e.web_searches * coalesce(p.per_web_search, 0)::numeric + e.images * coalesce(p.per_image, 0)::numeric
            AS cost) r
        WHERE e.state = 'settled' AND {_mine("e.tenant_id")} AND {_recent_id("e.id")}
            AND e.cost IS DISTINCT FROM r.cost""",
    "every open call has a living owner": f"""
        SELECT e.tenant_id, 'req_' || left(replace(e.id::text, '-', ''), 24), 'ended', 'open since ' || e.opened_at
        FROM billing_usageevent e LEFT JOIN billing_journalowner o ON o.id = e.owner
        WHERE e.state = 'open' AND {_mine("e.tenant_id")} AND (
            coalesce(o.beat_at, e.opened_at) < clock_timestamp() - make_interval(secs => %(overdue)s)
            OR e.deadline_at < clock_timestamp() - make_interval(secs => %(overdue)s))""",
    "every posted call is in its own tenant's usage transfer, once": f"""
        WITH sums AS (
            SELECT u.transfer_id, sum(u.cost) AS cost, min(u.tenant_id) AS tenant_id, max(u.tenant_id) AS other
            FROM (SELECT transfer_id, cost, tenant_id FROM billing_usageevent
                    WHERE transfer_id IS NOT NULL AND {_mine("tenant_id")} AND {_recent_id("id")}
                UNION ALL SELECT transfer_id, cost, tenant_id FROM billing_usageadjustment
                    WHERE transfer_id IS NOT NULL AND {_mine("tenant_id")} AND {_recent_id("event_id")}) u GROUP BY 1
        ), booked AS (
            SELECT t.id, t.tenant_id, coalesce(sum(e.amount) FILTER (WHERE k.tenant_id = t.tenant_id), 0) AS amount
            FROM billing_transfer t LEFT JOIN billing_ledgerentry e ON e.transfer_id = t.id
            LEFT JOIN billing_ledgeraccount k ON k.id = e.account_id
            WHERE t.kind IN ('usage', 'adjustment') AND {_mine("t.tenant_id")} AND {_recent("t.effective_at")}
            GROUP BY 1, 2)
        SELECT coalesce(b.tenant_id, s.tenant_id), 'transfer ' || coalesce(b.id, s.transfer_id), s.cost, b.amount
        FROM sums s FULL JOIN booked b ON b.id = s.transfer_id
        WHERE s.cost IS DISTINCT FROM b.amount OR s.tenant_id <> b.tenant_id OR s.other <> b.tenant_id""",
    "roll-ups = posted calls": f"""
        WITH used AS (
            SELECT u.tenant_id, date_bin('15 minutes', u.opened_at, timestamptz 'epoch') AS bucket, u.project_id,
                u.api_key_id, u.model, u.price_id, sum(u.requests) AS requests, sum(u.cost) AS cost
            FROM (
                SELECT tenant_id, opened_at, project_id, api_key_id, model, price_id, 1 AS requests, cost
                FROM billing_usageevent WHERE transfer_id IS NOT NULL AND {_mine("tenant_id")} AND {_recent_id("id")}
                UNION ALL SELECT tenant_id, opened_at, project_id, api_key_id, model, price_id, 0, cost
                FROM billing_usageadjustment
                WHERE transfer_id IS NOT NULL AND {_mine("tenant_id")} AND {_recent_id("event_id")}
            ) u GROUP BY 1, 2, 3, 4, 5, 6
        ), rolled AS (
            SELECT tenant_id, bucket_at AS bucket, project_id, api_key_id, model, price_id, requests, cost
            FROM billing_usagerollup WHERE {_mine("tenant_id")} AND {_recent("bucket_at")})
        SELECT coalesce(u.tenant_id, r.tenant_id), coalesce(u.model, r.model) || ' ' || coalesce(u.bucket, r.bucket),
            u.requests || ' for ' || u.cost, r.requests || ' for ' || r.cost
        FROM used u FULL JOIN rolled r USING (tenant_id, bucket, project_id, api_key_id, model, price_id)
        WHERE (u.requests, u.cost) IS DISTINCT FROM (r.requests, r.cost)""",
    "transfers sum to zero": f"""
        SELECT e.tenant_id, 'transfer ' || e.transfer_id, 0, sum(e.amount) FROM billing_ledgerentry e
        WHERE {_mine("e.tenant_id")}
        GROUP BY e.tenant_id, e.transfer_id, e.currency HAVING sum(e.amount) <> 0""",
    "invoice = its lines = its transfers": f"""
        SELECT i.tenant_id, coalesce(i.number, 'draft ' || i.period_label), i.exact || ' and ' || i.subtotal,
            coalesce(l.exact, 0) || ' and ' || coalesce(l.amount, 0) || ', transfers ' || coalesce(t.amount, 0)
        FROM billing_invoice i
        LEFT JOIN LATERAL (SELECT sum(l.exact) AS exact, sum(l.amount) AS amount FROM billing_invoiceline l
            WHERE l.invoice_id = i.id) l ON true
        LEFT JOIN LATERAL (SELECT sum(e.amount) AS amount FROM billing_invoicedtransfer x
            JOIN billing_ledgerentry e ON e.transfer_id = x.transfer_id
            JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.tenant_id IS NOT NULL
            WHERE x.invoice_id = i.id) t ON true
        WHERE {_mine("i.tenant_id")} AND {_recent("i.period_end_at")}
            AND (i.exact <> coalesce(l.exact, 0) OR i.subtotal <> coalesce(l.amount, 0)
            OR i.kind = 'invoice' AND i.exact <> coalesce(t.amount, 0))""",
    "rounded = exact + rounding": f"""
        SELECT i.tenant_id, i.number, i.subtotal * u.unit, x.exact + coalesce(r.amount, 0)
        FROM billing_invoice i CROSS JOIN LATERAL (SELECT {_UNIT} AS unit) u
        CROSS JOIN LATERAL (SELECT round(i.exact * i.rate_numerator / i.rate_denominator) AS exact) x
        LEFT JOIN LATERAL (
            SELECT sum(CASE i.kind WHEN 'invoice' THEN -e.amount ELSE e.amount END) AS amount FROM billing_transfer t
            JOIN billing_ledgerentry e ON e.transfer_id = t.id AND e.currency = i.currency
            JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.kind = 'rounding'
            WHERE t.tenant_id = i.tenant_id AND t.key = i.kind || ':' || i.id) r ON true
        WHERE i.number IS NOT NULL AND {_mine("i.tenant_id")}
            AND i.subtotal * u.unit <> x.exact + coalesce(r.amount, 0)""",
    "tax = its groups = ledger": f"""
        SELECT i.tenant_id, coalesce(i.number, 'draft ' || i.period_label), i.subtotal || ' and ' || i.tax,
            g.base || ' and ' || g.amount || ', ledger ' || coalesce(r.amount, 0)
        FROM billing_invoice i CROSS JOIN LATERAL (SELECT {_UNIT} AS unit) u
        CROSS JOIN LATERAL (SELECT coalesce(sum(g.base), 0) AS base, coalesce(sum(g.amount), 0) AS amount,
            coalesce(bool_and(abs(g.amount - round(g.base * g.rate / 10000.0))
                <= CASE i.kind WHEN 'invoice' THEN 0 ELSE 1 END), true) AS right
            FROM billing_invoicetax g WHERE g.invoice_id = i.id) g
        LEFT JOIN LATERAL (
            SELECT sum(CASE i.kind WHEN 'invoice' THEN -e.amount ELSE e.amount END) AS amount FROM billing_transfer t
            JOIN billing_ledgerentry e ON e.transfer_id = t.id AND e.currency = i.currency
            JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.kind = 'tax'
            WHERE t.tenant_id = i.tenant_id AND t.key = i.kind || ':' || i.id) r ON true
        WHERE {_mine("i.tenant_id")} AND EXISTS (SELECT FROM billing_invoicetax g WHERE g.invoice_id = i.id)
            AND (i.tax <> g.amount OR i.subtotal <> g.base OR NOT g.right
                OR i.number IS NOT NULL AND i.tax * u.unit <> coalesce(r.amount, 0))""",
    "total in USD = total by its rate": f"""
        SELECT i.tenant_id, i.number, round(i.total * u.unit * i.rate_denominator / i.rate_numerator), i.usd_total
        FROM billing_invoice i CROSS JOIN LATERAL (SELECT {_UNIT} AS unit) u
        WHERE i.number IS NOT NULL AND {_mine("i.tenant_id")} AND abs(i.usd_total
            - round(i.total * u.unit * i.rate_denominator / i.rate_numerator))
            > CASE i.kind WHEN 'invoice' THEN 0 ELSE 1 END""",
    "credited <= invoiced": f"""
        SELECT i.tenant_id, i.number, i.total || ' and ' || i.exact, n.total || ' and ' || n.exact
        FROM billing_invoice i JOIN LATERAL (
            SELECT sum(n.total) AS total, sum(n.exact) AS exact FROM billing_invoice n
            WHERE n.corrects_id = i.id AND n.number IS NOT NULL) n ON n.total > i.total OR n.exact > i.exact
        WHERE {_mine("i.tenant_id")}""",
    "invoice numbers have no gaps": """
        SELECT 0, s.series || '-' || s.year, s.last_number, count(i.id) FROM billing_invoiceseries s
        LEFT JOIN billing_invoice i ON i.number LIKE s.series || '-' || s.year || '-%%'
        WHERE %(tenant)s::bigint IS NULL GROUP BY s.id HAVING count(i.id) <> s.last_number""",
    **payment_checks.CHECKS,
}

CHECKS_AT_CLOSING = {
    **{name: query for name, query in CHECKS.items() if name not in BALANCES},
    "spent of the wallet = invoiced + to be invoiced": f"""
        WITH parts (tenant_id, amount) AS (
            SELECT tenant_id,
                CASE WHEN kind <> 'invoice' THEN -usd_total WHEN number IS NULL THEN exact ELSE usd_total END
            FROM billing_invoice WHERE (number IS NOT NULL OR kind = 'invoice') AND {_mine("tenant_id")}
            UNION ALL SELECT tenant_id, cost FROM billing_usageevent
            WHERE state = 'settled' AND transfer_id IS NULL AND {_mine("tenant_id")}
            UNION ALL SELECT tenant_id, cost FROM billing_usageadjustment
            WHERE transfer_id IS NULL AND {_mine("tenant_id")}
            UNION ALL SELECT t.tenant_id, e.amount FROM billing_transfer t
            JOIN billing_ledgerentry e ON e.transfer_id = t.id
            JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.tenant_id = t.tenant_id
            WHERE t.kind IN ('usage', 'adjustment', 'charge') AND {_mine("t.tenant_id")}
                AND NOT EXISTS (SELECT FROM billing_invoicedtransfer i WHERE i.transfer_id = t.id))
        SELECT a.tenant_id, 'allowance ' || a.id, p.amount, a.spent FROM billing_allowance a
        CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount FROM parts p WHERE p.tenant_id = a.tenant_id) p
        WHERE a.kind = 'wallet' AND {_mine("a.tenant_id")} AND a.spent <> p.amount""",
}
