-- Tells the operator that upstreams refused credentials (0: there was none to send), each by its name and its last
-- characters. While a finding about one is open it is counted there, once in ten minutes however many gateways tell of it.
-- One that has been removed meanwhile is nobody's trouble any more.
CREATE OR REPLACE FUNCTION note_refused_credentials(
    p_upstreams bigint[], p_credentials bigint[], p_statuses integer[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO proxy_finding AS f (
        kind, place, upstream_id, subject, before, after, state, times, found_at, seen_at)
    SELECT DISTINCT ON (place) 'credential',
        CASE WHEN c.id IS NULL THEN 'upstream:' || u.id ELSE 'credential:' || c.id END AS place, u.id,
        CASE WHEN c.id IS NULL THEN format('upstream %s wants a credential, and none is stored (%s)', u.name, status)
            ELSE format('upstream %s refused credential %s …%s (%s)', u.name, c.name, c.last_four, status) END,
        '', status::text, 'open', 1, clock_timestamp(), clock_timestamp()
    FROM unnest(p_upstreams, p_credentials, p_statuses) AS given (upstream_id, credential_id, status)
    JOIN proxy_upstream u ON u.id = given.upstream_id
    LEFT JOIN proxy_credential c ON c.id = given.credential_id AND c.upstream_id = u.id
    WHERE c.id IS NOT NULL OR given.credential_id = 0
    ORDER BY place
    ON CONFLICT (kind, place) WHERE state = 'open' DO UPDATE SET
        times = f.times + 1, seen_at = excluded.seen_at, subject = excluded.subject, after = excluded.after
    WHERE f.seen_at < excluded.seen_at - interval '10 minutes'
$$;
