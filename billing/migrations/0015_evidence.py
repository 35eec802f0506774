"""Evidence packs of invoices: what each holds and its hash, unchangeable once the invoice is finalised."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_invoicing")]

    operations = [
        migrations.CreateModel(
            name="Evidence",
            fields=[
                (
                    "invoice",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="evidence",
                        serialize=False,
                        to="billing.invoice",
                    ),
                ),
                ("format", models.PositiveSmallIntegerField(default=1)),
                ("drawn_from", models.CharField(max_length=64)),
                ("rows", models.BigIntegerField()),
                ("exact", models.DecimalField(decimal_places=0, max_digits=38)),
                ("counts", models.JSONField(default=dict)),
                (
                    "sha256",
                    models.CharField(max_length=64, validators=[django.core.validators.RegexValidator("[0-9a-f]{64}")]),
                ),
                ("size", models.BigIntegerField()),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
        ),
        protect("billing_evidence"),
        migrations.RunSQL(
            """
            CREATE TRIGGER immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_evidence
                FOR EACH ROW EXECUTE FUNCTION keep_finalised_parts();
            """,
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
