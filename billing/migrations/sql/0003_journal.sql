-- The journal of requests and the functions that alone write it.

CREATE TABLE billing_usageevent (
    tenant_id bigint NOT NULL,
    id uuid NOT NULL,
    project_id bigint NOT NULL,
    api_key_id bigint NOT NULL,
    model text NOT NULL,
    requested_model text NOT NULL,
    price_id bigint NOT NULL,
    stream boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'settled', 'voided')),
    basis text CHECK (basis IN ('exact', 'estimated')),
    opened_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    owner uuid NOT NULL,
    hold bigint NOT NULL CHECK (hold >= 0),
    allowances bigint[] NOT NULL,
    input_estimate integer NOT NULL CHECK (input_estimate >= 0),
    delivered integer NOT NULL DEFAULT 0 CHECK (delivered >= 0),
    settled_at timestamptz,
    cost bigint NOT NULL DEFAULT 0 CHECK (cost >= 0),
    input integer NOT NULL DEFAULT 0 CHECK (input >= 0),
    cache_read integer NOT NULL DEFAULT 0 CHECK (cache_read >= 0),
    cache_write_5m integer NOT NULL DEFAULT 0 CHECK (cache_write_5m >= 0),
    cache_write_1h integer NOT NULL DEFAULT 0 CHECK (cache_write_1h >= 0),
    input_audio integer NOT NULL DEFAULT 0 CHECK (input_audio >= 0),
    input_image integer NOT NULL DEFAULT 0 CHECK (input_image >= 0),
    output integer NOT NULL DEFAULT 0 CHECK (output >= 0),
    reasoning integer NOT NULL DEFAULT 0 CHECK (reasoning >= 0),
    output_audio integer NOT NULL DEFAULT 0 CHECK (output_audio >= 0),
    output_image integer NOT NULL DEFAULT 0 CHECK (output_image >= 0),
    web_searches integer NOT NULL DEFAULT 0 CHECK (web_searches >= 0),
    images integer NOT NULL DEFAULT 0 CHECK (images >= 0),
    prompt_tokens integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    upstream text NOT NULL DEFAULT '',
    upstream_model text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    status integer NOT NULL DEFAULT 0,
    error_code text NOT NULL DEFAULT '',
    finish_reason text NOT NULL DEFAULT '',
    first_byte_ms integer NOT NULL DEFAULT 0,
    duration_ms integer NOT NULL DEFAULT 0,
    client_gone boolean NOT NULL DEFAULT false,
    swept boolean NOT NULL DEFAULT false,
    usage_ignored boolean NOT NULL DEFAULT false,
    transfer_id bigint,
    operation text NOT NULL DEFAULT 'chat',
    run_id text NOT NULL DEFAULT '',
    input_bytes integer NOT NULL DEFAULT 0 CHECK (input_bytes >= 0),
    output_bytes integer NOT NULL DEFAULT 0 CHECK (output_bytes >= 0),
    reported_model text NOT NULL DEFAULT '',
    overhead_ms integer NOT NULL DEFAULT 0,
    route_id bigint,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT usage_prompt_sums CHECK (
        prompt_tokens = input + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image),
    CONSTRAINT usage_completion_sums CHECK (
        completion_tokens = output + reasoning + output_audio + output_image),
    CONSTRAINT usage_voided_is_free CHECK (state = 'settled' OR cost = 0),
    CONSTRAINT usage_settled_has_basis CHECK ((state = 'settled') = (basis IS NOT NULL)),
    CONSTRAINT usage_terminal_has_time CHECK ((state = 'open') = (settled_at IS NULL))
) PARTITION BY RANGE (id);

CREATE INDEX usage_open ON billing_usageevent (owner) WHERE state = 'open';
CREATE INDEX usage_unposted ON billing_usageevent (tenant_id, id) WHERE state = 'settled' AND transfer_id IS NULL;
CREATE INDEX usage_by_transfer ON billing_usageevent (transfer_id) WHERE transfer_id IS NOT NULL;

-- The smallest UUIDv7 of a moment: the bound of a partition, or of a time range over ids.
CREATE FUNCTION uuid_floor(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the partition of the month (UTC) that holds a moment. Idempotent; returns true if it was made.
CREATE FUNCTION ensure_usage_partition(moment timestamptz) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first timestamptz := date_trunc('month', moment AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', moment AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name text := 'billing_usageevent_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_usage_partition'));
    IF to_regclass(name) IS NOT NULL THEN RETURN false; END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF billing_usageevent FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 60)',
        name, uuid_floor(first), uuid_floor(next));
    EXECUTE format('REVOKE ALL ON %I FROM tollgate_portal, tollgate_operator, tollgate_gateway', name);
    RETURN true;
END $$;

-- Opens a batch of requests: one row each, its ceiling held on every allowance it falls under.
-- Returns the refused ones: position in the batch and the allowance that has no room (nulls when it is gone).
-- Allowance rows are locked in id order, here and in settle_usage, so that batches never deadlock.
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

-- An open request goes on under another model and its price: a fallback. False when it is not open any more.
CREATE FUNCTION reassign_usage(p_id uuid, p_tenant bigint, p_model text, p_price bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH moved AS (
        UPDATE billing_usageevent e SET model = p_model, price_id = p_price
        WHERE e.tenant_id = p_tenant AND e.id = p_id AND e.state = 'open' RETURNING 1)
    SELECT EXISTS (SELECT FROM moved)
$$;

-- Keeps the true usage of requests that were swept with an estimate: the signed difference, once. Where another price
-- rates it than rated the estimate, that is taken back whole under its own price, and the truth written under the
-- other; the row of the estimate's price is always made, and so decides that it is done once.
-- Returns what is to be charged to which allowance; the caller charges it.
CREATE FUNCTION adjust_late_usage(
    p_ids uuid[], p_tenants bigint[], p_states text[], p_bases text[], p_costs bigint[], p_counts integer[],
    p_prices bigint[]
) RETURNS TABLE (allowance_id bigint, charge numeric)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH late AS MATERIALIZED (
        SELECT DISTINCT ON (e.tenant_id, e.id)
            e.tenant_id, e.id, e.project_id, e.api_key_id, e.model, e.opened_at, e.price_id AS old_price,
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
        ORDER BY e.tenant_id, e.id, u.place
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

-- Ends a batch of open requests: state, cost and counts written, holds released, costs charged. Ending a request
-- twice does nothing, but the true usage of a swept, estimated one is kept as an adjustment.
-- p_counts holds 20 numbers a request: the twelve counters of billing/meters.py, prompt and completion tokens,
-- attempts, status, first byte and duration in ms, bytes written, our own ms. p_flags: bit 0 client gone, 1 swept, 2
-- usage ignored. p_prices name the price that rated it, 0 or null the one at admission. What is voided keeps that one.
-- Returns how many requests were ended by this call.
-- Two things keep batches from deadlocking: events are taken in id order, and the allowances of what was ended and of
-- what came late are locked together, once, in id order. A second round of locks would undo the order of the first.
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

-- Notes how many output tokens running streams have delivered, for the sweep should their gateway die.
-- A row that someone else has locked is being settled: skipping it, a checkpoint never waits, so it never deadlocks.
CREATE FUNCTION checkpoint_usage(p_ids uuid[], p_tenants bigint[], p_delivered integer[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
    WITH mine AS MATERIALIZED (
        SELECT e.tenant_id, e.id, u.delivered
        FROM unnest(p_ids, p_tenants, p_delivered) u (id, tenant, delivered)
        JOIN billing_usageevent e ON e.tenant_id = u.tenant AND e.id = u.id
        WHERE e.state = 'open' AND e.delivered < u.delivered
        FOR UPDATE OF e SKIP LOCKED)
    UPDATE billing_usageevent e SET delivered = m.delivered
    FROM mine m WHERE e.tenant_id = m.tenant_id AND e.id = m.id
$$;

-- A gateway process says that it lives.
CREATE FUNCTION beat(p_owner uuid, p_host text, p_pid integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO billing_journalowner (id, started_at, beat_at, host, pid)
    VALUES (p_owner, clock_timestamp(), clock_timestamp(), p_host, p_pid)
    ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp()
$$;

REVOKE ALL ON FUNCTION open_usage, reassign_usage, settle_usage, adjust_late_usage, checkpoint_usage, beat,
    ensure_usage_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_usage, reassign_usage, settle_usage, checkpoint_usage, beat
    TO tollgate_gateway, tollgate_operator;
GRANT EXECUTE ON FUNCTION ensure_usage_partition TO tollgate_operator, tollgate_gateway;

SELECT ensure_usage_partition(now() - interval '1 month'), ensure_usage_partition(now()),
    ensure_usage_partition(now() + interval '1 month');
