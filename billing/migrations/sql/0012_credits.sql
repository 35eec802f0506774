-- What happens to a wallet is noted as due in the transaction that posts it, so that no slice can be missed whoever
-- posts: usage in bulk, charges, roundings of invoices, credit notes. Top-ups and grants are grants themselves.
CREATE FUNCTION note_credit_due() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO billing_creditdue (transfer_id, tenant_id, amount)
    SELECT e.transfer_id, e.tenant_id, sum(e.amount) FROM made e
    JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = 'wallet'
    JOIN billing_transfer t ON t.id = e.transfer_id AND t.kind NOT IN ('top_up', 'grant')
    GROUP BY e.transfer_id, e.tenant_id HAVING sum(e.amount) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER note_credit_due AFTER INSERT ON billing_ledgerentry
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION note_credit_due();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_credituse FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A grant keeps what was agreed; what is unused of it moves, and its transfer comes once.
CREATE FUNCTION keep_credit_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.transfer_id IS NOT NULL AND NEW.transfer_id IS DISTINCT FROM OLD.transfer_id)
            OR (to_jsonb(NEW) - 'unused' - 'transfer_id') <> (to_jsonb(OLD) - 'unused' - 'transfer_id') THEN
        RAISE EXCEPTION 'a credit grant is never changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_creditgrant FOR EACH ROW EXECUTE FUNCTION keep_credit_grant();

-- Top-ups of before become paid grants, and everything else on a wallet is due: the next consumption takes it.
INSERT INTO billing_creditgrant
    (tenant_id, kind, amount, unused, priority, starts_at, key, memo, transfer_id, created_at)
SELECT t.tenant_id, 'paid', -e.amount, -e.amount, 50, t.effective_at, t.key, t.memo, t.id, t.posted_at
FROM billing_transfer t JOIN billing_ledgerentry e ON e.transfer_id = t.id
JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = 'wallet'
WHERE t.kind = 'top_up' AND e.amount < 0 ORDER BY t.id;

INSERT INTO billing_creditdue (transfer_id, tenant_id, amount)
SELECT e.transfer_id, e.tenant_id, sum(e.amount) FROM billing_ledgerentry e
JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = 'wallet'
JOIN billing_transfer t ON t.id = e.transfer_id AND t.kind NOT IN ('top_up', 'grant')
GROUP BY e.transfer_id, e.tenant_id HAVING sum(e.amount) <> 0;
