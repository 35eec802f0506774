-- What gateways write about routes and credentials. They hold no privilege on the tables themselves.

-- Adds counts of one gateway to the current five minutes. p_numbers has 78 of them for each route: eight outcomes,
-- output tokens and milliseconds, and two histograms of 34 buckets. Routes that are gone are left out.
CREATE FUNCTION note_route_health(p_routes bigint[], p_numbers bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF coalesce(cardinality(p_numbers), 0) <> 78 * coalesce(cardinality(p_routes), 0) THEN
        RAISE EXCEPTION 'note_route_health takes 78 numbers for each route';
    END IF;
    INSERT INTO proxy_routehealth AS h (
        route_id, model, starts_at, successes, refused, timeouts, server_errors, overloaded, auth, unreachable, broken,
        output_tokens, output_ms, first_token, whole)
    SELECT r.id, m.name, date_bin('5 minutes', clock_timestamp(), 'epoch'),
        n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11:44], n[45:78]
    FROM unnest(p_routes) WITH ORDINALITY AS given (route_id, place)
    JOIN proxy_route r ON r.id = given.route_id
    JOIN proxy_model m ON m.id = r.model_id
    CROSS JOIN LATERAL (SELECT p_numbers[(place - 1) * 78 + 1 : place * 78] AS n) AS numbers
    ORDER BY r.id
    ON CONFLICT (route_id, starts_at) DO UPDATE SET
        successes = h.successes + excluded.successes,
        refused = h.refused + excluded.refused,
        timeouts = h.timeouts + excluded.timeouts,
        server_errors = h.server_errors + excluded.server_errors,
        overloaded = h.overloaded + excluded.overloaded,
        auth = h.auth + excluded.auth,
        unreachable = h.unreachable + excluded.unreachable,
        broken = h.broken + excluded.broken,
        output_tokens = h.output_tokens + excluded.output_tokens,
        output_ms = h.output_ms + excluded.output_ms,
        first_token = (SELECT array_agg(a + b ORDER BY i)
            FROM unnest(h.first_token, excluded.first_token) WITH ORDINALITY AS both_of (a, b, i)),
        whole = (SELECT array_agg(a + b ORDER BY i)
            FROM unnest(h.whole, excluded.whole) WITH ORDINALITY AS both_of (a, b, i));
END $$;

-- Tells the operator that upstreams refused credentials (0: there was none to send). While a finding about one is open
-- it is counted there, once in ten minutes however many gateways tell of it.
CREATE FUNCTION note_refused_credentials(p_upstreams bigint[], p_credentials bigint[], p_statuses integer[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO proxy_finding AS f (
        kind, place, upstream_id, subject, before, after, state, times, found_at, seen_at)
    SELECT DISTINCT ON (place) 'credential',
        CASE WHEN c.id IS NULL THEN 'upstream:' || u.id ELSE 'credential:' || c.id END AS place, u.id,
        CASE WHEN c.id IS NULL THEN format('upstream %s wants a credential, and none is stored (%s)', u.name, status)
            ELSE format('upstream %s refused credential …%s (%s)', u.name, c.last_four, status) END,
        '', status::text, 'open', 1, clock_timestamp(), clock_timestamp()
    FROM unnest(p_upstreams, p_credentials, p_statuses) AS given (upstream_id, credential_id, status)
    JOIN proxy_upstream u ON u.id = given.upstream_id
    LEFT JOIN proxy_credential c ON c.id = given.credential_id AND c.upstream_id = u.id
    ORDER BY place
    ON CONFLICT (kind, place) WHERE state = 'open' DO UPDATE SET
        times = f.times + 1, seen_at = excluded.seen_at, subject = excluded.subject, after = excluded.after
    WHERE f.seen_at < excluded.seen_at - interval '10 minutes'
$$;

REVOKE ALL ON FUNCTION note_route_health, note_refused_credentials FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_route_health, note_refused_credentials TO tollgate_gateway;
