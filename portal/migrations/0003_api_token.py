"""API tokens of members, with row-level security."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect

SAME_TENANT = """
ALTER TABLE portal_membership ADD CONSTRAINT membership_in_tenant UNIQUE (tenant_id, id);
ALTER TABLE portal_apitoken ADD CONSTRAINT api_token_membership_same_tenant
    FOREIGN KEY (tenant_id, membership_id) REFERENCES portal_membership (tenant_id, id);
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0002_security")]

    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("last_four", models.CharField(max_length=4)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "membership",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_tokens",
                        to="portal.membership",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
        ),
        migrations.RunSQL(SAME_TENANT, reverse_sql=migrations.RunSQL.noop),
        protect("portal_apitoken", portal="SELECT, INSERT, UPDATE, DELETE"),
    ]
