-- Rules of the ledger and of invoices that hold whoever writes.

ALTER TABLE billing_price ADD CONSTRAINT price_versions_never_overlap EXCLUDE USING gist (
    int8range(book_id, book_id, '[]') WITH &&,
    int8range(hashtextextended(model, 0) >> 1, hashtextextended(model, 0) >> 1, '[]') WITH &&,
    tstzrange(effective_from, effective_to, '[)') WITH &&);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_transfer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON billing_transfer FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON billing_ledgerentry FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON portal_auditentry FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A stored price keeps its numbers for ever; only an open end may be closed.
CREATE FUNCTION keep_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (to_jsonb(NEW) - 'effective_to') <> (to_jsonb(OLD) - 'effective_to') THEN
        RAISE EXCEPTION 'a price version is never changed: publish a new one' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_price FOR EACH ROW EXECUTE FUNCTION keep_price();

CREATE FUNCTION transfer_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_ledgerentry WHERE transfer_id = NEW.transfer_id GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'transfer % does not sum to zero', NEW.transfer_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER zero_sum AFTER INSERT ON billing_ledgerentry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION transfer_sums_to_zero();

-- A finalised invoice and its lines keep every value; only its status may move on.
CREATE FUNCTION keep_finalised() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'draft' AND (TG_OP = 'DELETE'
            OR NEW.status = 'draft' OR (to_jsonb(NEW) - 'status') <> (to_jsonb(OLD) - 'status')) THEN
        RAISE EXCEPTION 'invoice % is finalised', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON billing_invoice FOR EACH ROW EXECUTE FUNCTION keep_finalised();

CREATE FUNCTION keep_finalised_parts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    FOR r IN SELECT status FROM billing_invoice
            WHERE id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.invoice_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.invoice_id END) LOOP
        IF r.status <> 'draft' THEN
            RAISE EXCEPTION 'the invoice is finalised' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION keep_finalised_parts();
CREATE TRIGGER immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoicedtransfer
    FOR EACH ROW EXECUTE FUNCTION keep_finalised_parts();
