-- Variants of a price stand beside it in time, each of them once.
ALTER TABLE billing_price DROP CONSTRAINT price_versions_never_overlap;
ALTER TABLE billing_price ADD CONSTRAINT price_versions_never_overlap EXCLUDE USING gist (
    int8range(book_id, book_id, '[]') WITH &&,
    int8range(hashtextextended(model, 0) >> 1, hashtextextended(model, 0) >> 1, '[]') WITH &&,
    int8range(hashtextextended(variant, 0) >> 1, hashtextextended(variant, 0) >> 1, '[]') WITH &&,
    tstzrange(effective_from, effective_to, '[)') WITH &&);

-- A stored price keeps its numbers for ever; an open end may be closed, once. Nobody was admitted by a price that has
-- not begun: it may be taken back, and the end it set to the price before it with it, while that end is still to come.
CREATE OR REPLACE FUNCTION keep_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.effective_from > clock_timestamp() THEN
            RETURN OLD;
        END IF;
    ELSIF (to_jsonb(NEW) - 'effective_to') = (to_jsonb(OLD) - 'effective_to') AND (
            OLD.effective_to IS NULL OR NEW.effective_to IS NOT DISTINCT FROM OLD.effective_to
            OR (NEW.effective_to IS NULL AND OLD.effective_to > clock_timestamp() AND NOT EXISTS (
                SELECT FROM billing_price p WHERE p.book_id = OLD.book_id AND p.model = OLD.model
                    AND p.effective_from >= OLD.effective_to))) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a price version is never changed: publish a new one' USING ERRCODE = 'integrity_constraint_violation';
END $$;
