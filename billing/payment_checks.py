"""Whether payments agree with the ledger, their invoices and the wallet: checks of the books (billing/books.py).

Each is one statement with a row for each difference; ``%(tenant)s`` is a tenant's id or null for all.
"""

from __future__ import annotations

_UNIT = "power(10::numeric, 12 - CASE p.currency WHEN 'JPY' THEN 0 WHEN 'KWD' THEN 3 ELSE 2 END)"
"""How many 10⁻¹² of its currency's unit a minor unit of a payment is (ISO 4217)."""


def _mine(column: str) -> str:
    return f"(%(tenant)s::bigint IS NULL OR {column} = %(tenant)s)"


CHECKS = {
    "wallet limit = credit limit + credits": f"""
        WITH credits AS (
            SELECT tenant_id, sum(amount) AS amount FROM (
                SELECT e.tenant_id, -e.amount AS amount FROM billing_transfer t
                JOIN billing_ledgerentry e ON e.transfer_id = t.id
                JOIN billing_ledgeraccount k ON k.id = e.account_id AND k.kind = 'wallet'
                WHERE t.kind IN ('top_up', 'reversal', 'grant', 'expiry', 'refund') AND {_mine("e.tenant_id")}
                UNION ALL SELECT tenant_id, usd FROM billing_allocation
                WHERE target <> 'wallet' AND {_mine("tenant_id")}) c GROUP BY tenant_id)
        SELECT w.tenant_id, 'wallet', w.credit_limit + coalesce(c.amount, 0), coalesce(a."limit", -1)
        FROM billing_wallet w LEFT JOIN credits c USING (tenant_id)
        LEFT JOIN billing_allowance a ON a.tenant_id = w.tenant_id AND a.kind = 'wallet'
        WHERE {_mine("w.tenant_id")} AND a."limit" IS DISTINCT FROM w.credit_limit + coalesce(c.amount, 0)""",
    "allocations = ledger": f"""
        SELECT a.tenant_id, 'payment ' || p.id || ', allocation ' || a.id, a.amount * u.unit || ' and ' || a.usd,
            l.paid || ' for ' || l.receivable || ' and ' || l.wallet
        FROM billing_allocation a JOIN billing_payment p ON p.id = a.payment_id
        CROSS JOIN LATERAL (SELECT {_UNIT} AS unit) u CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.amount) FILTER (WHERE k.kind = 'payments' AND e.currency = p.currency), 0) AS paid,
                coalesce(-sum(e.amount) FILTER (WHERE k.kind = 'receivable' AND e.currency = p.currency), 0)
                    AS receivable,
                coalesce(-sum(e.amount) FILTER (WHERE k.kind = 'wallet' AND e.currency = 'USD'), 0) AS wallet
            FROM billing_ledgerentry e JOIN billing_ledgeraccount k ON k.id = e.account_id
            WHERE e.transfer_id = a.transfer_id AND e.tenant_id = a.tenant_id) l
        WHERE {_mine("a.tenant_id")} AND (l.paid <> a.amount * u.unit
            OR l.receivable <> CASE a.target WHEN 'wallet' THEN 0 ELSE a.amount * u.unit END
            OR l.wallet <> CASE a.target WHEN 'wallet' THEN a.usd ELSE 0 END)
        UNION ALL SELECT t.tenant_id, t.key, 'an allocation', 'none' FROM billing_transfer t
        WHERE (t.kind = 'payment' OR starts_with(t.key, 'payment:')) AND {_mine("t.tenant_id")}
            AND NOT EXISTS (SELECT FROM billing_allocation a WHERE a.transfer_id = t.id)""",
    "payment = what it pays + what went back": f"""
        SELECT p.tenant_id, 'payment ' || p.id, CASE p.status WHEN 'succeeded' THEN p.amount ELSE 0 END,
            a.amount + r.amount
        FROM billing_payment p
        CROSS JOIN LATERAL (SELECT coalesce(sum(a.amount), 0) AS amount FROM billing_allocation a
            WHERE a.payment_id = p.id) a
        CROSS JOIN LATERAL (SELECT coalesce(sum(r.amount), 0) AS amount FROM billing_refund r
            WHERE r.payment_id = p.id AND r.status <> 'failed') r
        WHERE {_mine("p.tenant_id")}
            AND a.amount + r.amount <> CASE p.status WHEN 'succeeded' THEN p.amount ELSE 0 END""",
    "refund = what was taken": f"""
        SELECT r.tenant_id, r.kind || ' ' || r.id, CASE r.status WHEN 'failed' THEN 0 ELSE r.amount END, a.amount
        FROM billing_refund r CROSS JOIN LATERAL (SELECT coalesce(-sum(a.amount), 0) AS amount
            FROM billing_allocation a WHERE a.refund_id = r.id AND a.payment_id = r.payment_id) a
        WHERE {_mine("r.tenant_id")} AND a.amount <> CASE r.status WHEN 'failed' THEN 0 ELSE r.amount END""",
    "paid invoices were paid": f"""
        SELECT i.tenant_id, i.number || ' is ' || i.status, i.total - n.total, a.amount FROM billing_invoice i
        CROSS JOIN LATERAL (SELECT coalesce(sum(n.total), 0) AS total FROM billing_invoice n
            WHERE n.corrects_id = i.id AND n.number IS NOT NULL) n
        CROSS JOIN LATERAL (SELECT coalesce(sum(a.amount), 0) AS amount FROM billing_allocation a
            WHERE a.invoice_id = i.id) a
        WHERE i.kind = 'invoice' AND i.number IS NOT NULL AND {_mine("i.tenant_id")}
            AND (i.status = 'paid' AND i.snapshot ->> 'mode' <> 'prepaid' AND a.amount < i.total - n.total
                OR i.status IN ('finalised', 'uncollectible') AND n.total = 0 AND a.amount >= i.total AND i.total > 0
                OR a.amount <> 0 AND i.snapshot ->> 'mode' = 'prepaid')""",
    "payments in USD by their rates": f"""
        WITH sums AS (
            SELECT a.tenant_id, CASE WHEN a.invoice_id IS NULL THEN a.payment_id END AS payment_id, a.invoice_id,
                a.target, a.grant_id, min(a.payment_id) AS one, sum(a.amount) AS amount, sum(a.usd) AS usd
            FROM billing_allocation a WHERE {_mine("a.tenant_id")} GROUP BY 1, 2, 3, 4, 5)
        SELECT s.tenant_id, coalesce(i.number, s.target || ' of payment ' || s.payment_id), r.usd, s.usd
        FROM sums s JOIN billing_payment p ON p.id = s.one LEFT JOIN billing_invoice i ON i.id = s.invoice_id
        CROSS JOIN LATERAL (SELECT round(s.amount * {_UNIT} * coalesce(i.rate_denominator, p.rate_denominator)
            / coalesce(i.rate_numerator, p.rate_numerator)) AS usd) r
        WHERE s.usd IS DISTINCT FROM r.usd""",
}
