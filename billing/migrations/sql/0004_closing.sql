-- What closing a period and running beside the gateway need.

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
