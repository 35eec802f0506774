"""What the database says of all tenants of a machine, in a handful of queries, in the shapes of the truth."""

from __future__ import annotations

from typing import Any

from django.db import connection

from portal.tenancy import as_operator

Rows = list[tuple[Any, ...]]

LIMITS = (
    """SELECT tenant_id, id, "limit"::text, spent::text, held::text FROM billing_allowance WHERE tenant_id = ANY (%s)"""
)
ACCOUNTS = """
SELECT e.tenant_id, a.kind, e.currency, sum(e.amount) FROM billing_ledgerentry e
JOIN billing_ledgeraccount a ON a.id = e.account_id
WHERE e.tenant_id = ANY (%s) GROUP BY 1, 2, 3 HAVING sum(e.amount) <> 0"""
UNBALANCED = """
SELECT transfer_id, currency, sum(amount) FROM billing_ledgerentry
WHERE tenant_id = ANY (%s) GROUP BY 1, 2 HAVING sum(amount) <> 0"""
ROLLED_UP = """
SELECT tenant_id, price_id, sum(cost), sum(input), sum(cache_read), sum(output), sum(reasoning)
FROM billing_usagerollup WHERE tenant_id = ANY (%s) GROUP BY 1, 2"""
INVOICES = """
SELECT i.tenant_id, coalesce(i.corrects_id, i.id), i.kind, i.status, i.exact, i.subtotal, i.tax, i.total, i.usd_total,
    (SELECT coalesce(sum(l.exact), 0) FROM billing_invoiceline l WHERE l.invoice_id = i.id)
FROM billing_invoice i WHERE i.tenant_id = ANY (%s) ORDER BY i.id"""
GRANTS = """
SELECT g.id, g.amount, g.unused, coalesce(sum(u.amount), 0) FROM billing_creditgrant g
LEFT JOIN billing_credituse u ON u.grant_id = g.id WHERE g.tenant_id = ANY (%s)
GROUP BY g.id HAVING g.amount <> g.unused + coalesce(sum(u.amount), 0) OR g.unused < 0"""
WALLETS = """
SELECT tenant_id, sum(amount) FROM (
    SELECT tenant_id, unused AS amount FROM billing_creditgrant WHERE transfer_id IS NOT NULL
    UNION ALL SELECT tenant_id, -amount FROM billing_creditdue) w
WHERE tenant_id = ANY (%s) GROUP BY 1 HAVING sum(amount) <> 0"""


def rows(query: str, tenant_ids: list[int]) -> Rows:
    """One of the questions above, asked as the operator."""
    with as_operator(), connection.cursor() as cursor:
        cursor.execute(query, [tenant_ids])
        return [tuple(row) for row in cursor.fetchall()]
