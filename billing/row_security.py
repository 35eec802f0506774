"""SQL for migrations: which database role may touch which table, and which rows of it.

Four roles: the owner runs migrations; ``tollgate_portal`` serves people and sees the rows of the tenant named in
``app.tenant_id``; ``tollgate_gateway`` reads what it routes by and calls the journal's functions; and
``tollgate_operator`` runs the admin, the jobs and the commands.
"""

from __future__ import annotations

from django.db.migrations.operations import RunSQL

PORTAL, GATEWAY, OPERATOR = ROLES = ("tollgate_portal", "tollgate_gateway", "tollgate_operator")
CURRENT_TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::bigint"
CURRENT_USER = "NULLIF(current_setting('app.user_id', true), '')::bigint"


def create_roles() -> RunSQL:
    """The roles, shared by all databases of a cluster; the connecting user becomes a member of each."""
    return RunSQL(
        "\n".join(
            f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$;
            DO $$ BEGIN
                BEGIN
                    SET LOCAL ROLE {role};
                    RESET ROLE;
                EXCEPTION WHEN insufficient_privilege THEN
                    -- Since PostgreSQL 16 whoever makes a role is a member that may not act as it, until granted that.
                    EXECUTE format('GRANT {role} TO %I', current_user);
                END;
            EXCEPTION WHEN unique_violation THEN NULL;
            END $$;
            GRANT USAGE ON SCHEMA public TO {role};
            """
            for role in ROLES
        )
        + f"""
        ALTER DEFAULT PRIVILEGES IN SCHEMA public
            GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {PORTAL}, {OPERATOR};
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {PORTAL}, {OPERATOR};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {PORTAL}, {OPERATOR};
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {PORTAL}, {OPERATOR};
        """,
        reverse_sql=RunSQL.noop,
    )


def protect(
    table: str,
    *,
    portal: str = "SELECT",
    operator: str = "SELECT, INSERT, UPDATE, DELETE",
    gateway: str = "",
    mine: str = f"tenant_id = {CURRENT_TENANT}",
) -> RunSQL:
    """Grants on a table and, for rows a tenant owns, row-level security.

    ``portal``, ``operator`` and ``gateway`` are the privileges of each role; ``mine`` is the condition under which the
    portal sees and writes a row, or ``""`` for a table that belongs to no tenant.
    """
    lines = [f"REVOKE ALL ON {table} FROM {', '.join(ROLES)};"]
    for role, privileges in ((PORTAL, portal), (OPERATOR, operator), (GATEWAY, gateway)):
        if privileges:
            lines.append(f"GRANT {privileges} ON {table} TO {role};")
    if mine:
        lines += [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;",
            f"CREATE POLICY portal_rows ON {table} TO {PORTAL} USING ({mine}) WITH CHECK ({mine});",
            f"CREATE POLICY every_row ON {table} TO CURRENT_USER, {OPERATOR}, {GATEWAY} USING (true);",
        ]
    return RunSQL("\n".join(lines), reverse_sql=RunSQL.noop)


def notify(table: str, payload: str, *, events: str = "INSERT OR UPDATE OR DELETE") -> RunSQL:
    """Tell the gateways, at commit, that rows changed: ``payload`` is SQL over the row ``r``, such as ``'catalog'``."""
    return RunSQL(
        f"""
        CREATE FUNCTION notify_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE r {table};
        BEGIN
            r := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
            PERFORM pg_notify('tollgate', {payload});
            RETURN NULL;
        END $$;
        CREATE TRIGGER notify_gateways AFTER {events} ON {table} FOR EACH ROW EXECUTE FUNCTION notify_{table}();
        """,
        reverse_sql=RunSQL.noop,
    )
