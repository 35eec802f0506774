"""What a tenant's contract says per month: tiers, free allowances and a minimum."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect

SQL = Path(__file__).parent / "sql" / "0017_contracts.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0016_reconciliation"),
        ("portal", "0005_billing"),
    ]

    operations = [
        migrations.CreateModel(
            name="Terms",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("effective_from", models.DateTimeField()),
                ("effective_to", models.DateTimeField(blank=True, null=True)),
                ("minimum", models.DecimalField(decimal_places=0, default=0, max_digits=38)),
                ("free_amount", models.DecimalField(decimal_places=0, default=0, max_digits=38)),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
            options={"verbose_name": "contract terms", "verbose_name_plural": "contract terms"},
        ),
        migrations.CreateModel(
            name="TierRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                ("pattern", models.CharField(default="*", max_length=200)),
                ("token_class", models.CharField(blank=True, max_length=20)),
                (
                    "mode",
                    models.CharField(choices=[("graduated", "Graduated"), ("volume", "Volume")], max_length=9),
                ),
                (
                    "unit",
                    models.CharField(choices=[("tokens", "Tokens"), ("usd", "USD")], default="tokens", max_length=6),
                ),
                (
                    "thresholds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DecimalField(decimal_places=0, max_digits=38), size=None
                    ),
                ),
                (
                    "prices",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
                (
                    "terms",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tiers", to="billing.terms"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="FreeTokens",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                ("pattern", models.CharField(default="*", max_length=200)),
                ("token_class", models.CharField(blank=True, max_length=20)),
                ("tokens", models.BigIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
                (
                    "terms",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="free_tokens", to="billing.terms"
                    ),
                ),
            ],
            options={"verbose_name_plural": "free tokens"},
        ),
        migrations.AddIndex(
            model_name="terms",
            index=models.Index(
                models.F("tenant"), models.OrderBy(models.F("effective_from"), descending=True), name="terms_latest"
            ),
        ),
        migrations.AddConstraint(
            model_name="terms",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effective_to__isnull", True), ("effective_to__gt", models.F("effective_from")), _connector="OR"
                ),
                name="terms_range_not_empty",
            ),
        ),
        migrations.AddConstraint(
            model_name="terms",
            constraint=models.CheckConstraint(
                condition=models.Q(("free_amount__gte", 0), ("minimum__gte", 0)), name="terms_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="tierrule",
            constraint=models.UniqueConstraint(models.F("terms"), models.F("position"), name="tier_rule_position"),
        ),
        migrations.AddConstraint(
            model_name="tierrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("thresholds__len__gt", 0), ("prices__len", models.F("thresholds__len"))),
                name="tier_rule_prices",
            ),
        ),
        migrations.AddConstraint(
            model_name="freetokens",
            constraint=models.UniqueConstraint(models.F("terms"), models.F("position"), name="free_tokens_position"),
        ),
        migrations.AddConstraint(
            model_name="freetokens",
            constraint=models.CheckConstraint(condition=models.Q(("tokens__gt", 0)), name="free_tokens_positive"),
        ),
        protect("billing_terms"),
        protect("billing_tierrule", operator="SELECT, INSERT, DELETE"),
        protect("billing_freetokens", operator="SELECT, INSERT, DELETE"),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
