-- One contract at a time per tenant, beginning and ending where roll-ups do.
ALTER TABLE billing_terms ADD CONSTRAINT terms_never_overlap EXCLUDE USING gist (
    int8range(tenant_id, tenant_id, '[]') WITH &&,
    tstzrange(effective_from, effective_to, '[)') WITH &&);
ALTER TABLE billing_terms ADD CONSTRAINT terms_on_quarter_hours CHECK (
    extract(epoch FROM effective_from) % 900 = 0 AND coalesce(extract(epoch FROM effective_to) % 900, 0) = 0);

-- The end of the last month of a tenant that was invoiced after its end: what was agreed before it stays.
CREATE FUNCTION closed_until(p_tenant bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT max(period_end_at) FROM billing_invoice
    WHERE tenant_id = p_tenant AND kind = 'invoice' AND status <> 'draft' AND finalised_at >= period_end_at
$$;

CREATE FUNCTION keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_closed timestamptz := coalesce(closed_until(coalesce(NEW.tenant_id, OLD.tenant_id)), '-infinity');
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.effective_from >= v_closed THEN
            RETURN NEW;
        END IF;
    ELSIF OLD.effective_from >= v_closed THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.tenant_id = OLD.tenant_id AND NEW.effective_from >= v_closed THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - 'effective_to') = (to_jsonb(OLD) - 'effective_to')
            AND coalesce(OLD.effective_to, 'infinity') >= v_closed
            AND coalesce(NEW.effective_to, 'infinity') >= v_closed THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a month under these terms is closed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER keep_terms BEFORE INSERT OR UPDATE OR DELETE ON billing_terms
    FOR EACH ROW EXECUTE FUNCTION keep_terms();

-- The rules of terms stay with them: none is changed, and none comes or goes once a month is closed.
CREATE FUNCTION keep_rules_of_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_terms bigint := CASE WHEN TG_OP = 'DELETE' THEN OLD.terms_id ELSE NEW.terms_id END;
BEGIN
    IF TG_OP <> 'UPDATE' AND NOT EXISTS (
            SELECT FROM billing_terms t WHERE t.id = v_terms AND t.effective_from < closed_until(t.tenant_id)) THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION 'a month under these terms is closed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER keep_rules BEFORE INSERT OR UPDATE OR DELETE ON billing_tierrule
    FOR EACH ROW EXECUTE FUNCTION keep_rules_of_terms();
CREATE TRIGGER keep_rules BEFORE INSERT OR UPDATE OR DELETE ON billing_freetokens
    FOR EACH ROW EXECUTE FUNCTION keep_rules_of_terms();
