-- What holds of finalised invoices, credit notes and the rows they are made with, whoever writes.

-- A finalised invoice keeps every value. Its status goes on once: to paid, void or uncollectible; a credit note's never.
-- Where there is nothing to pay, a draft becomes paid at once.
CREATE OR REPLACE FUNCTION keep_finalised() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'UPDATE' AND NEW.status NOT IN ('draft', 'finalised') AND NOT (NEW.status = 'paid'
                AND (NEW.total = 0 OR NEW.snapshot ->> 'mode' = 'prepaid')) THEN
            RAISE EXCEPTION 'a draft is finalised before it is %', NEW.status USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF TG_OP = 'DELETE' OR NEW.status = 'draft' OR (to_jsonb(NEW) - 'status') <> (to_jsonb(OLD) - 'status') THEN
        RAISE EXCEPTION 'invoice % is finalised', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.status <> OLD.status AND (OLD.status <> 'finalised' OR OLD.kind <> 'invoice') THEN
        RAISE EXCEPTION 'invoice % is finalised, and % for good', OLD.number, OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;

-- Never more is credited than was invoiced: of the whole, and of each line.
CREATE FUNCTION credit_what_is_left() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_left bigint;
    v_line bigint;
BEGIN
    PERFORM FROM billing_invoice WHERE id = NEW.corrects_id FOR UPDATE;
    SELECT i.total - NEW.total - coalesce((SELECT sum(n.total) FROM billing_invoice n
            WHERE n.corrects_id = i.id AND n.status <> 'draft'), 0)
        INTO v_left FROM billing_invoice i
        WHERE i.id = NEW.corrects_id AND i.tenant_id = NEW.tenant_id AND i.kind = 'invoice' AND i.status <> 'draft';
    IF v_left IS NULL OR v_left < 0 OR NEW.total < 0 THEN
        RAISE EXCEPTION 'more is credited than was invoiced' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT l.id INTO v_line FROM billing_invoiceline mine JOIN billing_invoiceline l ON l.id = mine.corrects_id
        WHERE mine.invoice_id = NEW.id AND (l.invoice_id <> NEW.corrects_id OR abs(l.amount) < (
            SELECT abs(sum(c.amount)) FROM billing_invoiceline c JOIN billing_invoice n ON n.id = c.invoice_id
            WHERE c.corrects_id = l.id AND (n.status <> 'draft' OR n.id = NEW.id))) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'more of line % is credited than was invoiced', v_line
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_what_is_left BEFORE UPDATE OF status ON billing_invoice FOR EACH ROW
    WHEN (NEW.kind = 'credit_note' AND OLD.status = 'draft' AND NEW.status <> 'draft')
    EXECUTE FUNCTION credit_what_is_left();

CREATE TRIGGER immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoicetax
    FOR EACH ROW EXECUTE FUNCTION keep_finalised_parts();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_invoiceevent
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_exchangerate
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_vatcheck
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

INSERT INTO billing_ledgeraccount (tenant_id, kind, currency)
SELECT NULL, kind, 'USD' FROM unnest(ARRAY['tax', 'exchange']) kind ON CONFLICT DO NOTHING;

-- Invoices of before were all in USD.
ALTER TABLE billing_invoice DISABLE TRIGGER immutable;
UPDATE billing_invoice SET usd_total = total * 10000000000::numeric WHERE currency = 'USD';
ALTER TABLE billing_invoice ENABLE TRIGGER immutable;
