-- Answers kept for their idempotency keys, and what the gateway reads back of its own calls.

-- Claims a key for a request: outcome 'claimed' is this caller's to finish or drop, 'running' another's, 'mismatch' a
-- key that was used for something else, 'done' comes with the stored answer. A claim whose owner has been silent for
-- p_stale seconds is taken over, unless the database itself was down: then nobody could be heard.
CREATE FUNCTION claim_idempotency(
    p_tenant bigint, p_key bytea, p_body bytea, p_request text, p_owner uuid, p_stale integer, p_kept integer
) RETURNS TABLE (outcome text, request_id text, status integer, sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_row billing_storedanswer;
    v_now timestamptz := clock_timestamp();
    v_heard timestamptz;
BEGIN
    LOOP
        INSERT INTO billing_storedanswer (
            tenant_id, key_hash, body_hash, state, request_id, owner, status, sealed, claimed_at, expires_at)
        VALUES (p_tenant, p_key, p_body, 'running', p_request, p_owner, 0, '', v_now,
            v_now + make_interval(secs => p_kept))
        ON CONFLICT (tenant_id, key_hash) DO NOTHING;
        IF FOUND THEN
            RETURN QUERY SELECT 'claimed', p_request, 0, ''::bytea;
            RETURN;
        END IF;
        SELECT * INTO v_row FROM billing_storedanswer s WHERE s.tenant_id = p_tenant AND s.key_hash = p_key FOR UPDATE;
        EXIT WHEN FOUND;  -- else it was dropped in between
    END LOOP;

    IF v_row.state = 'running' THEN
        SELECT o.beat_at INTO v_heard FROM billing_journalowner o WHERE o.id = v_row.owner;
        v_heard := greatest(coalesce(v_heard, v_row.claimed_at), pg_postmaster_start_time());
    END IF;
    IF v_row.expires_at <= v_now
            OR v_row.body_hash = p_body AND v_heard < v_now - make_interval(secs => p_stale) THEN
        UPDATE billing_storedanswer s SET body_hash = p_body, state = 'running', request_id = p_request,
            owner = p_owner, status = 0, sealed = '', claimed_at = v_now,
            expires_at = v_now + make_interval(secs => p_kept)
        WHERE s.id = v_row.id;
        RETURN QUERY SELECT 'claimed', p_request, 0, ''::bytea;
    ELSIF v_row.body_hash <> p_body THEN
        RETURN QUERY SELECT 'mismatch', v_row.request_id::text, 0, ''::bytea;
    ELSE
        RETURN QUERY SELECT v_row.state::text, v_row.request_id::text, v_row.status, v_row.sealed;
    END IF;
END $$;

-- Keeps the answer of a claim that still is the caller's; false when someone took it over.
CREATE FUNCTION finish_idempotency(
    p_tenant bigint, p_key bytea, p_request text, p_owner uuid, p_status integer, p_sealed bytea, p_kept integer
) RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (
        UPDATE billing_storedanswer s SET state = 'done', status = p_status, sealed = p_sealed,
            expires_at = clock_timestamp() + make_interval(secs => p_kept)
        WHERE s.tenant_id = p_tenant AND s.key_hash = p_key AND s.state = 'running' AND s.owner = p_owner
            AND s.request_id = p_request RETURNING 1)
    SELECT EXISTS (SELECT FROM done)
$$;

-- Gives a claim back: the next call under the key runs.
CREATE FUNCTION drop_idempotency(p_tenant bigint, p_key bytea, p_request text, p_owner uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM billing_storedanswer s
        WHERE s.tenant_id = p_tenant AND s.key_hash = p_key AND s.state = 'running' AND s.owner = p_owner
            AND s.request_id = p_request RETURNING 1)
    SELECT EXISTS (SELECT FROM gone)
$$;

-- One call of a tenant with the price that rates it and its adjustments, as JSON; null when there is none.
CREATE FUNCTION usage_receipt(p_tenant bigint, p_id uuid) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT json_build_object(
        'event', to_jsonb(e) - 'owner' - 'allowances' - 'transfer_id' - 'deadline_at',
        'prices', (SELECT json_agg(to_jsonb(p)) FROM billing_price p WHERE p.id = e.price_id OR p.id IN (
            SELECT a.price_id FROM billing_usageadjustment a WHERE a.tenant_id = e.tenant_id AND a.event_id = e.id)),
        'adjustments', (SELECT json_agg(
                json_build_object('price_id', a.price_id, 'made_at', a.made_at, 'cost', a.cost, 'counts', a.counts)
                ORDER BY a.id)
            FROM billing_usageadjustment a WHERE a.tenant_id = e.tenant_id AND a.event_id = e.id))
    FROM billing_usageevent e WHERE e.tenant_id = p_tenant AND e.id = p_id
$$;

-- What a key used, by model, in whole quarters of an hour of admission: posted usage from the roll-ups, and what has
-- not been posted yet from its rows.
CREATE FUNCTION usage_by_model(p_tenant bigint, p_key bigint, p_since timestamptz, p_until timestamptz)
RETURNS TABLE (model text, requests bigint, estimated bigint, counts bigint[], cost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH bounds AS (
        SELECT date_bin('15 minutes', p_since, timestamptz 'epoch') AS since,
            date_bin('15 minutes', p_until, timestamptz 'epoch') AS until
    ), used AS (
        SELECT r.model, r.requests, r.estimated, ARRAY[r.input, r.cache_read, r.cache_write_5m, r.cache_write_1h,
            r.input_audio, r.input_image, r.output, r.reasoning, r.output_audio, r.output_image, r.web_searches,
            r.images] AS counts, r.cost
        FROM billing_usagerollup r, bounds b
        WHERE r.tenant_id = p_tenant AND r.api_key_id = p_key AND r.bucket_at >= b.since AND r.bucket_at < b.until
        UNION ALL
        SELECT e.model, 1, (e.basis = 'estimated')::integer, ARRAY[e.input, e.cache_read, e.cache_write_5m,
            e.cache_write_1h, e.input_audio, e.input_image, e.output, e.reasoning, e.output_audio, e.output_image,
            e.web_searches, e.images]::bigint[], e.cost
        FROM billing_usageevent e, bounds b
        WHERE e.tenant_id = p_tenant AND e.state = 'settled' AND e.transfer_id IS NULL AND e.api_key_id = p_key
            AND e.opened_at >= b.since AND e.opened_at < b.until
        UNION ALL
        SELECT a.model, 0, 0, a.counts::bigint[], a.cost
        FROM billing_usageadjustment a, bounds b
        WHERE a.tenant_id = p_tenant AND a.transfer_id IS NULL AND a.api_key_id = p_key
            AND a.opened_at >= b.since AND a.opened_at < b.until
    )
    SELECT u.model, sum(u.requests)::bigint, sum(u.estimated)::bigint,
        ARRAY[sum(u.counts[1]), sum(u.counts[2]), sum(u.counts[3]), sum(u.counts[4]), sum(u.counts[5]),
            sum(u.counts[6]), sum(u.counts[7]), sum(u.counts[8]), sum(u.counts[9]), sum(u.counts[10]),
            sum(u.counts[11]), sum(u.counts[12])]::bigint[], sum(u.cost)
    FROM used u GROUP BY u.model ORDER BY u.model
$$;

REVOKE ALL ON FUNCTION claim_idempotency, finish_idempotency, drop_idempotency, usage_receipt, usage_by_model FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_idempotency, finish_idempotency, drop_idempotency, usage_receipt, usage_by_model
    TO tollgate_gateway, tollgate_operator;
