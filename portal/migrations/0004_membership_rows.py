"""A person sees their memberships and tenants before one is chosen, and writes only those of the tenant chosen."""

from django.db import migrations

from billing.row_security import CURRENT_TENANT, CURRENT_USER, PORTAL

MEMBERSHIP = f"tenant_id = {CURRENT_TENANT}"
TENANT = f"id = {CURRENT_TENANT}"
MEMBER = f"id IN (SELECT tenant_id FROM portal_membership WHERE user_id = {CURRENT_USER})"

POLICIES = f"""
DROP POLICY portal_rows ON portal_membership;
CREATE POLICY portal_rows ON portal_membership FOR SELECT TO {PORTAL}
    USING ({MEMBERSHIP} OR user_id = {CURRENT_USER});
CREATE POLICY portal_joins ON portal_membership FOR INSERT TO {PORTAL} WITH CHECK ({MEMBERSHIP});
CREATE POLICY portal_roles ON portal_membership FOR UPDATE TO {PORTAL} USING ({MEMBERSHIP});
CREATE POLICY portal_leaves ON portal_membership FOR DELETE TO {PORTAL} USING ({MEMBERSHIP});

DROP POLICY portal_rows ON portal_tenant;
CREATE POLICY portal_rows ON portal_tenant FOR SELECT TO {PORTAL} USING ({TENANT} OR {MEMBER});
CREATE POLICY portal_settings ON portal_tenant FOR UPDATE TO {PORTAL} USING ({TENANT});
REVOKE INSERT ON portal_tenant FROM {PORTAL};
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0003_api_token")]

    operations = [migrations.RunSQL(POLICIES, reverse_sql=migrations.RunSQL.noop)]
