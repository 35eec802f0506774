-- What holds of payments, whoever writes.

-- A payment keeps what was asked. It ends once as received; what failed or was given up can still arrive.
CREATE FUNCTION keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_moving text[] := ARRAY['status', 'session_id', 'intent_id', 'failure', 'saves_card', 'asked_at', 'ended_at'];
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a payment is never deleted' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.rate_numerator IS NULL THEN
        v_moving := v_moving || ARRAY['rate_numerator', 'rate_denominator', 'rate_on', 'rate_source'];
    END IF;
    IF (to_jsonb(NEW) - v_moving) <> (to_jsonb(OLD) - v_moving)
            OR NEW.session_id IS DISTINCT FROM coalesce(OLD.session_id, NEW.session_id)
            OR NEW.intent_id IS DISTINCT FROM coalesce(OLD.intent_id, NEW.intent_id) THEN
        RAISE EXCEPTION 'what a payment is never changes' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.status <> OLD.status AND (OLD.status = 'succeeded' OR NEW.status = 'requested'
            OR NEW.status = 'pending' AND OLD.status <> 'requested') THEN
        RAISE EXCEPTION 'a payment that is % does not become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_payment FOR EACH ROW EXECUTE FUNCTION keep_payment();

-- Money that did not arrive pays nothing, and no more is allocated than arrived or than is still to be paid.
CREATE FUNCTION allocate_what_is_there() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_amount bigint;
    v_total bigint;
    v_invoice record;
BEGIN
    SELECT amount INTO v_amount FROM billing_payment
        WHERE id = NEW.payment_id AND tenant_id = NEW.tenant_id AND status = 'succeeded' FOR UPDATE;
    SELECT sum(amount) INTO v_total FROM billing_allocation WHERE payment_id = NEW.payment_id;
    IF v_amount IS NULL OR v_total < 0 OR v_total > v_amount THEN
        RAISE EXCEPTION 'more is allocated than was paid' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM billing_transfer WHERE id = NEW.transfer_id AND tenant_id = NEW.tenant_id)
            OR NEW.grant_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM billing_creditgrant WHERE id = NEW.grant_id AND tenant_id = NEW.tenant_id)
            OR NEW.refund_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM billing_refund WHERE id = NEW.refund_id AND payment_id = NEW.payment_id) THEN
        RAISE EXCEPTION 'an allocation is of one tenant' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.invoice_id IS NOT NULL THEN
        SELECT i.total - coalesce((SELECT sum(n.total) FROM billing_invoice n
                WHERE n.corrects_id = i.id AND n.status <> 'draft'), 0) AS due INTO v_invoice
            FROM billing_invoice i JOIN billing_payment p ON p.id = NEW.payment_id AND p.currency = i.currency
            WHERE i.id = NEW.invoice_id AND i.tenant_id = NEW.tenant_id AND i.kind = 'invoice' AND i.status <> 'draft'
            FOR UPDATE OF i;
        SELECT sum(amount) INTO v_total FROM billing_allocation WHERE invoice_id = NEW.invoice_id;
        IF v_invoice.due IS NULL OR v_total < 0 OR NEW.amount > 0 AND v_total > v_invoice.due THEN
            RAISE EXCEPTION 'more is allocated than is to be paid' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER allocate_what_is_there AFTER INSERT ON billing_allocation
    FOR EACH ROW EXECUTE FUNCTION allocate_what_is_there();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_allocation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_moving text[] := ARRAY['status', 'provider_id', 'failure', 'asked_at', 'ended_at'];
BEGIN
    IF TG_OP = 'DELETE' OR (to_jsonb(NEW) - v_moving) <> (to_jsonb(OLD) - v_moving)
            OR NEW.provider_id IS DISTINCT FROM coalesce(OLD.provider_id, NEW.provider_id) THEN
        RAISE EXCEPTION 'what a refund is never changes' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_refund FOR EACH ROW EXECUTE FUNCTION keep_refund();

CREATE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.id, NEW.kind, NEW.raw, NEW.received_at) <> (OLD.id, OLD.kind, OLD.raw, OLD.received_at)
    THEN
        RAISE EXCEPTION 'what was said is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_providerevent FOR EACH ROW EXECUTE FUNCTION keep_event();

CREATE FUNCTION keep_bank_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.payment_id IS NOT NULL
            OR (to_jsonb(NEW) - 'payment_id') <> (to_jsonb(OLD) - 'payment_id') THEN
        RAISE EXCEPTION 'a bank line is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_bankline FOR EACH ROW EXECUTE FUNCTION keep_bank_line();

-- A finalised invoice is paid when that much was allocated to it, also after it was written off; and it is to be paid
-- again when money of it went back. Void is for good.
CREATE OR REPLACE FUNCTION keep_finalised() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_open bigint;
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'UPDATE' AND NEW.status NOT IN ('draft', 'finalised') AND NOT (NEW.status = 'paid'
                AND (NEW.total = 0 OR NEW.snapshot ->> 'mode' = 'prepaid')) THEN
            RAISE EXCEPTION 'a draft is finalised before it is %', NEW.status USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF TG_OP = 'DELETE' OR NEW.status = 'draft' OR (to_jsonb(NEW) - 'status') <> (to_jsonb(OLD) - 'status') THEN
        RAISE EXCEPTION 'invoice % is finalised', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.status <> OLD.status THEN
        SELECT OLD.total
            - coalesce((SELECT sum(total) FROM billing_invoice WHERE corrects_id = OLD.id AND status <> 'draft'), 0)
            - coalesce((SELECT sum(amount) FROM billing_allocation WHERE invoice_id = OLD.id), 0) INTO v_open;
        IF OLD.kind <> 'invoice' OR NOT (
                OLD.status = 'finalised' AND (NEW.status IN ('void', 'uncollectible') OR NEW.status = 'paid' AND v_open <= 0)
                OR OLD.status = 'uncollectible' AND NEW.status = 'paid' AND v_open <= 0
                OR OLD.status = 'paid' AND NEW.status = 'finalised' AND v_open > 0
                    AND EXISTS (SELECT FROM billing_allocation WHERE invoice_id = OLD.id AND amount < 0)) THEN
            RAISE EXCEPTION 'invoice % is finalised, and % for good', OLD.number, OLD.status
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
