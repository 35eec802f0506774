-- What the whole contract of the gateway needs of the journal: what kind of call it was, how large, of which run, which
-- route and price answered it; runs with a cap of their own; answers kept for their idempotency keys.

ALTER TABLE billing_usageevent
    ADD COLUMN operation text NOT NULL DEFAULT 'chat',
    ADD COLUMN run_id text NOT NULL DEFAULT '',
    ADD COLUMN input_bytes integer NOT NULL DEFAULT 0 CHECK (input_bytes >= 0),
    ADD COLUMN output_bytes integer NOT NULL DEFAULT 0 CHECK (output_bytes >= 0),
    ADD COLUMN reported_model text NOT NULL DEFAULT '',
    ADD COLUMN overhead_ms integer NOT NULL DEFAULT 0,
    ADD COLUMN route_id bigint;

-- The gateways hold a tenant's windows in memory; a run's allowance they ask for by its name, and need not be told of.
DROP TRIGGER notify_gateways ON billing_allowance;
CREATE TRIGGER notify_gateways AFTER INSERT ON billing_allowance
    FOR EACH ROW WHEN (NEW.kind <> 'run') EXECUTE FUNCTION notify_billing_allowance();
CREATE TRIGGER notify_gateways_gone AFTER DELETE ON billing_allowance
    FOR EACH ROW WHEN (OLD.kind <> 'run') EXECUTE FUNCTION notify_billing_allowance();
GRANT INSERT (kind) ON billing_allowance TO tollgate_portal;

CREATE OR REPLACE FUNCTION charge_rounding(p_tenant bigint, p_amount numeric) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE billing_allowance SET spent = spent + p_amount WHERE tenant_id = p_tenant AND kind = 'wallet'
$$;

-- Finds the allowance of a run, or makes it. The limit last sent stands, but never one below what is spent and held.
-- Without a limit (null) a run is only found: no row is one that nobody capped.
CREATE FUNCTION ensure_run(p_tenant bigint, p_key bigint, p_run text, p_limit numeric)
RETURNS TABLE (allowance_id bigint, "limit" numeric, spent numeric, held numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_id bigint;
BEGIN
    SELECT r.allowance_id INTO v_id FROM billing_run r WHERE r.tenant_id = p_tenant AND r.run_id = p_run;
    IF v_id IS NULL AND p_limit IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant || ':' || p_run, 7002));
        SELECT r.allowance_id INTO v_id FROM billing_run r WHERE r.tenant_id = p_tenant AND r.run_id = p_run;
    END IF;
    IF v_id IS NULL AND p_limit IS NOT NULL THEN
        INSERT INTO billing_allowance (tenant_id, kind, starts_at, "limit", spent, held)
        VALUES (p_tenant, 'run', clock_timestamp(), p_limit, 0, 0) RETURNING id INTO v_id;
        INSERT INTO billing_run (tenant_id, api_key_id, run_id, allowance_id, created_at)
        VALUES (p_tenant, p_key, p_run, v_id, clock_timestamp());
    ELSIF p_limit IS NOT NULL THEN
        UPDATE billing_allowance a SET "limit" = greatest(p_limit, a.spent + a.held)
        WHERE a.id = v_id AND a."limit" <> greatest(p_limit, a.spent + a.held);
    END IF;
    RETURN QUERY SELECT a.id, a."limit", a.spent, a.held FROM billing_allowance a WHERE a.id = v_id;
END $$;

-- An open request goes on under another model and its price: a fallback. False when it is not open any more.
CREATE FUNCTION reassign_usage(p_id uuid, p_tenant bigint, p_model text, p_price bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH moved AS (
        UPDATE billing_usageevent e SET model = p_model, price_id = p_price
        WHERE e.tenant_id = p_tenant AND e.id = p_id AND e.state = 'open' RETURNING 1)
    SELECT EXISTS (SELECT FROM moved)
$$;

-- Opens a batch of requests: one row each, its ceiling held on every allowance it falls under.
-- Returns the refused ones: position in the batch and the allowance that has no room (nulls when it is gone).
-- Allowance rows are locked in id order, here and in settle_usage, so that batches never deadlock.
DROP FUNCTION open_usage;
CREATE FUNCTION open_usage(
    p_owner uuid, p_ids uuid[], p_tenants bigint[], p_projects bigint[], p_keys bigint[], p_models text[],
    p_requested text[], p_prices bigint[], p_streams boolean[], p_opened timestamptz[], p_deadlines timestamptz[],
    p_holds bigint[], p_inputs integer[], p_allowances text[], p_operations text[], p_runs text[], p_bytes integer[]
) RETURNS TABLE (place integer, allowance_id bigint, "limit" numeric, spent numeric, held numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
    v_sums numeric[];
    v_fit integer;
    v_made integer;
    v_some bigint[];
    v_kept boolean[] := NULL;
    i integer;
BEGIN
    SELECT array_agg(s.a ORDER BY s.a), array_agg(s.total ORDER BY s.a) INTO v_ids, v_sums FROM (
        SELECT x.a, sum(u.hold) AS total
        FROM unnest(p_holds, p_allowances) u (hold, lit), unnest(u.lit::bigint[]) x (a) GROUP BY x.a) s;

    WITH locked AS MATERIALIZED (
        SELECT a.id, a."limit" - a.spent - a.held AS room FROM billing_allowance a
        WHERE a.id = ANY (v_ids) ORDER BY a.id FOR UPDATE)
    SELECT count(*) INTO v_fit
    FROM locked l JOIN unnest(v_ids, v_sums) s (id, amount) ON s.id = l.id WHERE s.amount <= l.room;

    IF v_fit = cardinality(v_ids) THEN
        UPDATE billing_allowance a SET held = a.held + s.amount
        FROM unnest(v_ids, v_sums) s (id, amount) WHERE a.id = s.id;
    ELSE
        v_kept := array_fill(true, ARRAY[cardinality(p_ids)]);
        FOR i IN 1 .. cardinality(p_ids) LOOP
            v_some := p_allowances[i]::bigint[];
            UPDATE billing_allowance a SET held = a.held + p_holds[i]
            WHERE a.id = ANY (v_some) AND NOT EXISTS (
                SELECT 1 FROM unnest(v_some) x (id) LEFT JOIN billing_allowance b ON b.id = x.id
                WHERE b.id IS NULL OR b.spent + b.held + p_holds[i] > b."limit");
            GET DIAGNOSTICS v_made = ROW_COUNT;
            IF v_made < cardinality(v_some) THEN
                v_kept[i] := false;
                RETURN QUERY
                    SELECT i, b.id, b."limit", b.spent, b.held
                    FROM unnest(v_some) x (id) LEFT JOIN billing_allowance b ON b.id = x.id
                    WHERE b.id IS NULL OR b.spent + b.held + p_holds[i] > b."limit" ORDER BY b.id LIMIT 1;
                IF NOT FOUND THEN
                    RAISE EXCEPTION 'allowances % cannot be held', p_allowances[i];
                END IF;
            END IF;
        END LOOP;
    END IF;

    INSERT INTO billing_usageevent (
        owner, id, tenant_id, project_id, api_key_id, model, requested_model, price_id, stream, state, opened_at,
        deadline_at, hold, input_estimate, allowances, operation, run_id, input_bytes)
    SELECT p_owner, u.id, u.tenant, u.project, u.key, u.model, u.requested, u.price, u.stream, 'open', u.opened,
        u.deadline, u.hold, u.input, u.lit::bigint[], u.operation, u.run, u.bytes
    FROM unnest(p_ids, p_tenants, p_projects, p_keys, p_models, p_requested, p_prices, p_streams, p_opened,
        p_deadlines, p_holds, p_inputs, p_allowances, p_operations, p_runs, p_bytes) WITH ORDINALITY
        u (id, tenant, project, key, model, requested, price, stream, opened, deadline, hold, input, lit, operation,
            run, bytes, place)
    WHERE v_kept IS NULL OR v_kept[u.place];
END $$;

-- Keeps the true usage of requests that were swept with an estimate: the signed difference, once. Where another price
-- rates it than rated the estimate, that is taken back whole under its own price, and the truth written under the
-- other; the row of the estimate's price is always made, and so decides that it is done once.
-- Returns what is to be charged to which allowance; the caller charges it.
DROP FUNCTION adjust_late_usage;
CREATE FUNCTION adjust_late_usage(
    p_ids uuid[], p_tenants bigint[], p_states text[], p_bases text[], p_costs bigint[], p_counts integer[],
    p_prices bigint[]
) RETURNS TABLE (allowance_id bigint, charge numeric)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH late AS MATERIALIZED (
        SELECT e.tenant_id, e.id, e.project_id, e.api_key_id, e.model, e.opened_at, e.price_id AS old_price,
            e.cost AS old_cost, u.cost, u.counts,
            CASE WHEN u.state = 'settled' AND u.price > 0 THEN u.price ELSE e.price_id END AS price_id,
            ARRAY[e.input, e.cache_read, e.cache_write_5m, e.cache_write_1h, e.input_audio, e.input_image, e.output,
                e.reasoning, e.output_audio, e.output_image, e.web_searches, e.images] AS old_counts
        FROM (
            SELECT x.*, p_counts[(x.place::integer - 1) * 20 + 1 : (x.place::integer - 1) * 20 + 12] AS counts
            FROM unnest(p_ids, p_tenants, p_states, p_bases, p_costs, p_prices) WITH ORDINALITY
                x (id, tenant, state, basis, cost, price, place)
        ) u
        JOIN billing_usageevent e ON e.tenant_id = u.tenant AND e.id = u.id
        WHERE e.swept AND e.state = 'settled' AND (u.state = 'voided' OR u.basis = 'exact')
    ), made AS (
        INSERT INTO billing_usageadjustment (
            tenant_id, event_id, project_id, api_key_id, model, price_id, opened_at, made_at, cost, counts)
        SELECT l.tenant_id, l.id, l.project_id, l.api_key_id, l.model, l.old_price, l.opened_at, clock_timestamp(),
            CASE WHEN l.price_id = l.old_price THEN l.cost ELSE 0 END - l.old_cost,
            ARRAY(SELECT CASE WHEN l.price_id = l.old_price THEN c.new ELSE 0 END - c.old
                FROM unnest(l.counts, l.old_counts) WITH ORDINALITY c (new, old, place) ORDER BY c.place)
        FROM late l ORDER BY l.id
        ON CONFLICT (tenant_id, event_id, price_id) DO NOTHING
        RETURNING tenant_id, event_id
    ), moved AS (
        INSERT INTO billing_usageadjustment (
            tenant_id, event_id, project_id, api_key_id, model, price_id, opened_at, made_at, cost, counts)
        SELECT l.tenant_id, l.id, l.project_id, l.api_key_id, l.model, l.price_id, l.opened_at, clock_timestamp(),
            l.cost, l.counts
        FROM late l JOIN made m ON m.tenant_id = l.tenant_id AND m.event_id = l.id
        WHERE l.price_id <> l.old_price
    )
    SELECT x.a, sum(l.cost - l.old_cost) FROM late l
    JOIN made m ON m.tenant_id = l.tenant_id AND m.event_id = l.id
    JOIN billing_usageevent e ON e.tenant_id = l.tenant_id AND e.id = l.id, unnest(e.allowances) x (a)
    GROUP BY x.a
$$;
REVOKE ALL ON FUNCTION adjust_late_usage FROM PUBLIC;

-- Ends a batch of open requests: state, cost and counts written, holds released, costs charged. Ending a request
-- twice does nothing, but the true usage of a swept, estimated one is kept as an adjustment.
-- p_counts holds 20 numbers a request: the twelve counters of billing/meters.py, prompt and completion tokens,
-- attempts, status, first byte and duration in ms, bytes written, our own ms. p_flags: bit 0 client gone, 1 swept, 2
-- usage ignored. p_prices name the price that rated it, 0 or null the one at admission. What is voided keeps that one.
-- Returns how many requests were ended by this call.
-- Two things keep batches from deadlocking: events are taken in id order, and the allowances of what was ended and of
-- what came late are locked together, once, in id order. A second round of locks would undo the order of the first.
DROP FUNCTION settle_usage;
CREATE FUNCTION settle_usage(
    p_ids uuid[], p_tenants bigint[], p_states text[], p_bases text[], p_costs bigint[], p_counts integer[],
    p_flags integer[], p_upstreams text[], p_upstream_models text[], p_error_codes text[], p_finishes text[],
    p_prices bigint[], p_reported text[], p_routes bigint[]
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
            price_id = CASE WHEN u.state = 'settled' AND u.price > 0 THEN u.price ELSE e.price_id END,
            input = p_counts[u.o + 1], cache_read = p_counts[u.o + 2], cache_write_5m = p_counts[u.o + 3],
            cache_write_1h = p_counts[u.o + 4], input_audio = p_counts[u.o + 5], input_image = p_counts[u.o + 6],
            output = p_counts[u.o + 7], reasoning = p_counts[u.o + 8], output_audio = p_counts[u.o + 9],
            output_image = p_counts[u.o + 10], web_searches = p_counts[u.o + 11], images = p_counts[u.o + 12],
            prompt_tokens = p_counts[u.o + 13], completion_tokens = p_counts[u.o + 14],
            attempts = p_counts[u.o + 15], status = p_counts[u.o + 16], first_byte_ms = p_counts[u.o + 17],
            duration_ms = p_counts[u.o + 18], output_bytes = p_counts[u.o + 19], overhead_ms = p_counts[u.o + 20],
            client_gone = (u.flags & 1) > 0, swept = (u.flags & 2) > 0, usage_ignored = (u.flags & 4) > 0,
            upstream = u.upstream, upstream_model = u.upstream_model, reported_model = u.reported,
            route_id = nullif(u.route, 0), error_code = u.error_code, finish_reason = u.finish
        FROM (
            SELECT x.*, (x.place::integer - 1) * 20 AS o
            FROM unnest(p_ids, p_tenants, p_states, p_bases, p_costs, p_flags, p_upstreams, p_upstream_models,
                p_error_codes, p_finishes, p_prices, p_reported, p_routes) WITH ORDINALITY
                x (id, tenant, state, basis, cost, flags, upstream, upstream_model, error_code, finish, price,
                    reported, route, place)
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
                FROM adjust_late_usage(p_ids, p_tenants, p_states, p_bases, p_costs, p_counts, p_prices) l (a, cost)
            ) x GROUP BY x.a
        ) s;
    END IF;

    PERFORM 1 FROM billing_allowance a WHERE a.id = ANY (v_ids) ORDER BY a.id FOR UPDATE;
    UPDATE billing_allowance a SET held = a.held - s.hold, spent = a.spent + s.cost
    FROM unnest(v_ids, v_holds, v_costs) s (id, hold, cost) WHERE a.id = s.id;

    RETURN v_ended;
END $$;

REVOKE ALL ON FUNCTION open_usage, settle_usage, reassign_usage, ensure_run FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_usage, settle_usage, reassign_usage, ensure_run TO tollgate_gateway, tollgate_operator;
