-- What closing a period and running beside the gateway need.

-- Charges (or gives back) the rounding of an invoice to a tenant's wallet, so that what is left of it equals the ledger.
CREATE FUNCTION charge_rounding(p_tenant bigint, p_amount numeric) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE billing_allowance SET spent = spent + p_amount WHERE tenant_id = p_tenant AND budget_id IS NULL
$$;
REVOKE ALL ON FUNCTION charge_rounding FROM PUBLIC;
GRANT EXECUTE ON FUNCTION charge_rounding TO tollgate_operator;

-- A row that someone else has locked is being settled: skipping it, a checkpoint never waits, so it never deadlocks.
CREATE OR REPLACE FUNCTION checkpoint_usage(p_ids uuid[], p_tenants bigint[], p_delivered integer[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
    WITH mine AS MATERIALIZED (
        SELECT e.tenant_id, e.id, u.delivered
        FROM unnest(p_ids, p_tenants, p_delivered) u (id, tenant, delivered)
        JOIN billing_usageevent e ON e.tenant_id = u.tenant AND e.id = u.id
        WHERE e.state = 'open' AND e.delivered < u.delivered
        FOR UPDATE OF e SKIP LOCKED)
    UPDATE billing_usageevent e SET delivered = m.delivered
    FROM mine m WHERE e.tenant_id = m.tenant_id AND e.id = m.id
$$;

-- The portal sets limits of budgets, never of a wallet, and never starts a window with money spent or held.
-- Permissive policies only: the owner is a member of the portal's role, and a restrictive one would bind it too.
DROP POLICY portal_rows ON billing_allowance;
CREATE POLICY portal_rows ON billing_allowance FOR SELECT TO tollgate_portal
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint);
CREATE POLICY portal_limits ON billing_allowance FOR UPDATE TO tollgate_portal
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint AND budget_id IS NOT NULL);
CREATE POLICY portal_windows ON billing_allowance FOR INSERT TO tollgate_portal
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::bigint
        AND budget_id IS NOT NULL AND spent = 0 AND held = 0);

INSERT INTO billing_ledgeraccount (tenant_id, kind, currency)
SELECT NULL, kind, 'USD' FROM unnest(ARRAY['revenue', 'rounding', 'breakage', 'goodwill', 'payments']) kind
ON CONFLICT DO NOTHING;
