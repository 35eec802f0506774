-- What is written a million times a month is checked once a statement, by sets, and found through as few indexes as do.

-- Transfers refuse to be deleted already; with accounts, an entry keeps both ends for ever.
CREATE TRIGGER append_only BEFORE DELETE ON billing_ledgeraccount FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION entries_know_their_ends() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_transfer bigint;
BEGIN
    SELECT e.transfer_id INTO v_transfer FROM added e
    LEFT JOIN billing_transfer t ON t.id = e.transfer_id
    LEFT JOIN billing_ledgeraccount a ON a.id = e.account_id
    WHERE t.tenant_id IS DISTINCT FROM e.tenant_id OR a.currency IS DISTINCT FROM e.currency
        OR coalesce(a.tenant_id, e.tenant_id) IS DISTINCT FROM e.tenant_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an entry of transfer % is without its transfer or account', v_transfer
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER known_ends AFTER INSERT ON billing_ledgerentry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION entries_know_their_ends();

-- What is on an invoice stays on it once it is finalised, and is of its tenant.
CREATE FUNCTION keep_invoiced_transfers() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_final boolean := false;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        v_final := EXISTS (
            SELECT FROM (SELECT DISTINCT invoice_id FROM gone) g JOIN billing_invoice i ON i.id = g.invoice_id
            WHERE i.status <> 'draft');
    END IF;
    IF TG_OP <> 'DELETE' THEN
        v_final := v_final OR EXISTS (
            SELECT FROM (SELECT DISTINCT invoice_id FROM added) a JOIN billing_invoice i ON i.id = a.invoice_id
            WHERE i.status <> 'draft');
        IF EXISTS (
                SELECT FROM added a LEFT JOIN billing_transfer t ON t.id = a.transfer_id
                LEFT JOIN billing_invoice i ON i.id = a.invoice_id
                WHERE t.tenant_id IS DISTINCT FROM a.tenant_id OR i.tenant_id IS DISTINCT FROM a.tenant_id) THEN
            RAISE EXCEPTION 'an invoice and what is on it are of one tenant' USING ERRCODE = 'foreign_key_violation';
        END IF;
    END IF;
    IF v_final THEN
        RAISE EXCEPTION 'the invoice is finalised' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER immutable ON billing_invoicedtransfer;
CREATE TRIGGER immutable AFTER INSERT ON billing_invoicedtransfer REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_invoiced_transfers();
CREATE TRIGGER immutable_updated AFTER UPDATE ON billing_invoicedtransfer
    REFERENCING OLD TABLE AS gone NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_invoiced_transfers();
CREATE TRIGGER immutable_deleted AFTER DELETE ON billing_invoicedtransfer REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION keep_invoiced_transfers();

-- Calls behind transfers are found by tenant and time of admission, as the primary key has them. What is to be posted is
-- found by time alone: so it lies on disk, and no page is fetched and logged again for each tenant in it.
DROP INDEX usage_by_transfer;
DROP INDEX usage_unposted;
CREATE INDEX usage_unposted ON billing_usageevent (id) WHERE state = 'settled' AND transfer_id IS NULL;
