"""Price files under review. Operators alone see them."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from billing.row_security import protect


class Migration(migrations.Migration):
    dependencies = [("proxy", "0004_model_rules"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="PriceImport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(max_length=500)),
                ("sha256", models.CharField(max_length=64)),
                ("missing", models.JSONField(default=list)),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "made_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PriceProposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("provider", models.CharField(blank=True, max_length=60)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("status", models.CharField(max_length=20)),
                ("reasons", models.JSONField(default=list)),
                ("notes", models.JSONField(default=list)),
                ("differences", models.JSONField(default=list)),
                ("entry", models.JSONField()),
                ("price_id", models.BigIntegerField(null=True)),
                ("applied_at", models.DateTimeField(null=True)),
                (
                    "price_import",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="proposals",
                        to="proxy.priceimport",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.F("price_import"), models.F("status"), models.F("id"), name="proposal_by_status"
                    )
                ]
            },
        ),
        protect("proxy_priceimport", portal="", mine=""),
        protect("proxy_priceproposal", portal="", mine=""),
    ]
