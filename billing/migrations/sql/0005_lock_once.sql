-- Keeps the true usage of requests that were swept with an estimate: the signed difference, once. Returns what is to be
-- charged to which allowance; the caller charges it.
DROP FUNCTION adjust_late_usage(uuid[], bigint[], text[], text[], bigint[], integer[]);
CREATE FUNCTION adjust_late_usage(
    p_ids uuid[], p_tenants bigint[], p_states text[], p_bases text[], p_costs bigint[], p_counts integer[]
) RETURNS TABLE (allowance_id bigint, charge numeric)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH made AS (
        INSERT INTO billing_usageadjustment (
            tenant_id, event_id, project_id, api_key_id, model, price_id, opened_at, made_at, cost, counts)
        SELECT e.tenant_id, e.id, e.project_id, e.api_key_id, e.model, e.price_id, e.opened_at, clock_timestamp(),
            u.cost - e.cost, ARRAY[
                p_counts[u.o + 1] - e.input, p_counts[u.o + 2] - e.cache_read, p_counts[u.o + 3] - e.cache_write_5m,
                p_counts[u.o + 4] - e.cache_write_1h, p_counts[u.o + 5] - e.input_audio,
                p_counts[u.o + 6] - e.input_image, p_counts[u.o + 7] - e.output, p_counts[u.o + 8] - e.reasoning,
                p_counts[u.o + 9] - e.output_audio, p_counts[u.o + 10] - e.output_image,
                p_counts[u.o + 11] - e.web_searches, p_counts[u.o + 12] - e.images]
        FROM (
            SELECT x.*, (x.place::integer - 1) * 18 AS o
            FROM unnest(p_ids, p_tenants, p_states, p_bases, p_costs) WITH ORDINALITY
                x (id, tenant, state, basis, cost, place)
        ) u
        JOIN billing_usageevent e ON e.tenant_id = u.tenant AND e.id = u.id
        WHERE e.swept AND e.state = 'settled' AND (u.state = 'voided' OR u.basis = 'exact')
        ORDER BY e.id
        ON CONFLICT (tenant_id, event_id) DO NOTHING
        RETURNING tenant_id, event_id, cost
    )
    SELECT x.a, sum(m.cost) FROM made m
    JOIN billing_usageevent e ON e.tenant_id = m.tenant_id AND e.id = m.event_id, unnest(e.allowances) x (a)
    GROUP BY x.a
$$;
REVOKE ALL ON FUNCTION adjust_late_usage FROM PUBLIC;

-- Ends a batch of open requests: state, cost and counts written, holds released, costs charged. Ending a request
-- twice does nothing, but the true usage of a swept, estimated one is kept as an adjustment.
-- p_counts holds 18 numbers a request: the twelve counters of billing/meters.py, prompt and completion tokens,
-- attempts, status, first byte and duration in ms. p_flags: bit 0 client gone, 1 swept, 2 usage ignored.
-- Returns how many requests were ended by this call.
-- Two things keep batches from deadlocking: events are taken in id order, and the allowances of what was ended and of
-- what came late are locked together, once, in id order. A second round of locks would undo the order of the first.
CREATE OR REPLACE FUNCTION settle_usage(
    p_ids uuid[], p_tenants bigint[], p_states text[], p_bases text[], p_costs bigint[], p_counts integer[],
    p_flags integer[], p_upstreams text[], p_upstream_models text[], p_error_codes text[], p_finishes text[]
) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
    v_holds numeric[];
    v_costs numeric[];
    v_ended integer;
BEGIN
    WITH ended AS (
        UPDATE billing_usageevent e SET
            state = u.state, basis = u.basis, cost = u.cost, settled_at = clock_timestamp(),
            input = p_counts[u.o + 1], cache_read = p_counts[u.o + 2], cache_write_5m = p_counts[u.o + 3],
            cache_write_1h = p_counts[u.o + 4], input_audio = p_counts[u.o + 5], input_image = p_counts[u.o + 6],
            output = p_counts[u.o + 7], reasoning = p_counts[u.o + 8], output_audio = p_counts[u.o + 9],
            output_image = p_counts[u.o + 10], web_searches = p_counts[u.o + 11], images = p_counts[u.o + 12],
            prompt_tokens = p_counts[u.o + 13], completion_tokens = p_counts[u.o + 14],
            attempts = p_counts[u.o + 15], status = p_counts[u.o + 16], first_byte_ms = p_counts[u.o + 17],
            duration_ms = p_counts[u.o + 18], client_gone = (u.flags & 1) > 0, swept = (u.flags & 2) > 0,
            usage_ignored = (u.flags & 4) > 0, upstream = u.upstream, upstream_model = u.upstream_model,
            error_code = u.error_code, finish_reason = u.finish
        FROM (
            SELECT x.*, (x.place::integer - 1) * 18 AS o
            FROM unnest(p_ids, p_tenants, p_states, p_bases, p_costs, p_flags, p_upstreams, p_upstream_models,
                p_error_codes, p_finishes) WITH ORDINALITY
                x (id, tenant, state, basis, cost, flags, upstream, upstream_model, error_code, finish, place)
            ORDER BY x.id
        ) u
        WHERE e.tenant_id = u.tenant AND e.id = u.id AND e.state = 'open'
        RETURNING e.hold, e.cost, e.allowances
    ), sums AS (
        SELECT x.a, sum(e.hold) AS hold, sum(e.cost) AS cost FROM ended e, unnest(e.allowances) x (a) GROUP BY x.a
    )
    SELECT array_agg(s.a ORDER BY s.a), array_agg(s.hold ORDER BY s.a), array_agg(s.cost ORDER BY s.a),
        (SELECT count(*) FROM ended)
    INTO v_ids, v_holds, v_costs, v_ended FROM sums s;

    IF v_ended < cardinality(p_ids) THEN
        SELECT array_agg(s.a ORDER BY s.a), array_agg(s.hold ORDER BY s.a), array_agg(s.cost ORDER BY s.a)
        INTO v_ids, v_holds, v_costs FROM (
            SELECT x.a, sum(x.hold) AS hold, sum(x.cost) AS cost FROM (
                SELECT u.a, u.hold, u.cost FROM unnest(v_ids, v_holds, v_costs) u (a, hold, cost)
                UNION ALL
                SELECT l.a, 0, l.cost
                FROM adjust_late_usage(p_ids, p_tenants, p_states, p_bases, p_costs, p_counts) l (a, cost)
            ) x GROUP BY x.a
        ) s;
    END IF;

    PERFORM 1 FROM billing_allowance a WHERE a.id = ANY (v_ids) ORDER BY a.id FOR UPDATE;
    UPDATE billing_allowance a SET held = a.held - s.hold, spent = a.spent + s.cost
    FROM unnest(v_ids, v_holds, v_costs) s (id, hold, cost) WHERE a.id = s.id;

    RETURN v_ended;
END $$;
