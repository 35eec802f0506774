-- What was proposed stays as it was proposed, and is decided once.
CREATE FUNCTION keep_price_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'waiting' AND
            (to_jsonb(NEW) - ARRAY['state', 'decided_by_id', 'decided_at', 'reason'])
            = (to_jsonb(OLD) - ARRAY['state', 'decided_by_id', 'decided_at', 'reason']) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a price proposal is decided once and never changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_priceproposal
    FOR EACH ROW EXECUTE FUNCTION keep_price_proposal();

-- What is priced anew, and by whom it was decided, stays; a re-rating that was rejected or is running never goes back.
CREATE FUNCTION keep_rerating() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_open text[] := ARRAY['state', 'decided_by_id', 'decided_at', 'reason', 'steps', 'steps_done', 'problem',
        'finished_at'];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'rejected' AND (to_jsonb(NEW) - v_open) = (to_jsonb(OLD) - v_open)
            AND (OLD.state NOT IN ('running', 'done') OR (NEW.state IN (OLD.state, 'done')
                AND NEW.decided_by_id IS NOT DISTINCT FROM OLD.decided_by_id)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a re-rating is decided once and never changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER frozen BEFORE UPDATE OR DELETE ON billing_rerating FOR EACH ROW EXECUTE FUNCTION keep_rerating();
