"""Roles, row-level security, composite keys and change notices of the portal's tables."""

from django.db import migrations

from billing.row_security import CURRENT_TENANT, CURRENT_USER, create_roles, notify, protect

WRITE = "SELECT, INSERT, UPDATE"
MEMBER = f"id IN (SELECT tenant_id FROM portal_membership WHERE user_id = {CURRENT_USER})"

SAME_TENANT = """
ALTER TABLE portal_apikey ADD CONSTRAINT api_key_project_same_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES portal_project (tenant_id, id);
ALTER TABLE portal_apikey ADD CONSTRAINT api_key_replaces_same_tenant
    FOREIGN KEY (tenant_id, replaces_id) REFERENCES portal_apikey (tenant_id, id);
ALTER TABLE portal_quota ADD CONSTRAINT quota_project_same_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES portal_project (tenant_id, id);
ALTER TABLE portal_quota ADD CONSTRAINT quota_key_same_tenant
    FOREIGN KEY (tenant_id, api_key_id) REFERENCES portal_apikey (tenant_id, id);
"""

KEY_COLUMNS = "project_id, allowed_models, expires_at, revoked_at, cut_streams, name, digest"


class Migration(migrations.Migration):
    dependencies = [("portal", "0001_initial")]

    operations = [
        create_roles(),
        migrations.RunSQL(SAME_TENANT, reverse_sql=migrations.RunSQL.noop),
        protect("portal_tenant", portal=WRITE, gateway="SELECT", mine=f"id = {CURRENT_TENANT} OR {MEMBER}"),
        protect(
            "portal_membership",
            portal="SELECT, INSERT, UPDATE, DELETE",
            mine=f"tenant_id = {CURRENT_TENANT} OR user_id = {CURRENT_USER}",
        ),
        protect("portal_invitation", portal=WRITE),
        protect("portal_project", portal=WRITE, gateway="SELECT"),
        protect("portal_apikey", portal=WRITE, gateway="SELECT"),
        protect("portal_quota", portal="SELECT, INSERT, UPDATE, DELETE", gateway="SELECT"),
        protect("portal_auditentry", portal="SELECT, INSERT", operator="SELECT, INSERT"),
        notify("portal_tenant", "'tenant:' || r.id"),
        notify("portal_project", "'tenant:' || r.tenant_id"),
        notify("portal_apikey", "'tenant:' || r.tenant_id", events=f"INSERT OR DELETE OR UPDATE OF {KEY_COLUMNS}"),
        notify("portal_quota", "'tenant:' || r.tenant_id"),
    ]
