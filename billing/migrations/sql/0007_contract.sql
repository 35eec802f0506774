-- Allowances of three kinds: a wallet, a budget's window, and a run's cap.

-- The gateways hold a tenant's windows in memory; a run's allowance they ask for by its name, and need not be told of.
DROP TRIGGER notify_gateways ON billing_allowance;
CREATE TRIGGER notify_gateways AFTER INSERT ON billing_allowance
    FOR EACH ROW WHEN (NEW.kind <> 'run') EXECUTE FUNCTION notify_billing_allowance();
CREATE TRIGGER notify_gateways_gone AFTER DELETE ON billing_allowance
    FOR EACH ROW WHEN (OLD.kind <> 'run') EXECUTE FUNCTION notify_billing_allowance();
GRANT INSERT (kind) ON billing_allowance TO tollgate_portal;

-- Charges (or gives back) the rounding of an invoice to a tenant's wallet, so that what is left of it equals the ledger.
CREATE FUNCTION charge_rounding(p_tenant bigint, p_amount numeric) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE billing_allowance SET spent = spent + p_amount WHERE tenant_id = p_tenant AND kind = 'wallet'
$$;
REVOKE ALL ON FUNCTION charge_rounding FROM PUBLIC;
GRANT EXECUTE ON FUNCTION charge_rounding TO tollgate_operator;

-- Finds the allowance of a run, or makes it. The limit last sent stands, but never one below what is spent and held.
-- Without a limit (null) a run is only found: no row is one that nobody capped.
CREATE FUNCTION ensure_run(p_tenant bigint, p_key bigint, p_run text, p_limit numeric)
RETURNS TABLE (allowance_id bigint, "limit" numeric, spent numeric, held numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_id bigint;
BEGIN
    SELECT r.allowance_id INTO v_id FROM billing_run r WHERE r.tenant_id = p_tenant AND r.run_id = p_run;
    IF v_id IS NULL AND p_limit IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant || ':' || p_run, 7002));
        SELECT r.allowance_id INTO v_id FROM billing_run r WHERE r.tenant_id = p_tenant AND r.run_id = p_run;
    END IF;
    IF v_id IS NULL AND p_limit IS NOT NULL THEN
        INSERT INTO billing_allowance (tenant_id, kind, starts_at, "limit", spent, held)
        VALUES (p_tenant, 'run', clock_timestamp(), p_limit, 0, 0) RETURNING id INTO v_id;
        INSERT INTO billing_run (tenant_id, api_key_id, run_id, allowance_id, created_at)
        VALUES (p_tenant, p_key, p_run, v_id, clock_timestamp());
    ELSIF p_limit IS NOT NULL THEN
        UPDATE billing_allowance a SET "limit" = greatest(p_limit, a.spent + a.held)
        WHERE a.id = v_id AND a."limit" <> greatest(p_limit, a.spent + a.held);
    END IF;
    RETURN QUERY SELECT a.id, a."limit", a.spent, a.held FROM billing_allowance a WHERE a.id = v_id;
END $$;

REVOKE ALL ON FUNCTION ensure_run FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_run TO tollgate_gateway, tollgate_operator;
