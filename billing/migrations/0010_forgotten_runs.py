"""Runs that nobody used can be forgotten."""

from django.db import migrations

SQL = """
-- Deletes the runs made before a moment of which nothing is spent or held, with their allowances; returns how many.
-- A call that is being opened on one of them finds it gone, and is refused; the next attempt makes it anew.
CREATE FUNCTION forget_runs(p_before timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH unused AS (
        SELECT a.id FROM billing_run r JOIN billing_allowance a ON a.id = r.allowance_id
        WHERE r.created_at < p_before AND a.spent = 0 AND a.held = 0
        FOR UPDATE OF a SKIP LOCKED
    ), runs AS (
        DELETE FROM billing_run r USING unused WHERE r.allowance_id = unused.id
    ), gone AS (
        DELETE FROM billing_allowance a USING unused WHERE a.id = unused.id RETURNING a.id
    )
    SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION forget_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_runs TO tollgate_operator;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_charges")]

    operations = [migrations.RunSQL(SQL, reverse_sql="DROP FUNCTION forget_runs")]
