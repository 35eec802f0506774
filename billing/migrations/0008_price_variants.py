"""Variants of prices, and prices that are taken back before they begin."""

from pathlib import Path

import django.contrib.postgres.fields
from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "0008_price_variants.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_contract"),
    ]

    operations = [
        migrations.AddField(
            model_name="price",
            name="above_tokens",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="price",
            name="hours",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=django.contrib.postgres.fields.ArrayField(
                    base_field=models.PositiveSmallIntegerField(), size=2
                ),
                blank=True,
                default=list,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="service_tier",
            field=models.CharField(blank=True, default="", max_length=32),
        ),
        migrations.AddField(
            model_name="price",
            name="source",
            field=models.CharField(
                choices=[("operator", "Operator"), ("import", "Import")], default="operator", max_length=10
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="variant",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("above_tokens", 0), ("hours", []), ("service_tier", ""), ("variant", "")),
                    models.Q(
                        models.Q(("variant", ""), _negated=True),
                        models.Q(("above_tokens", 0), ("hours", []), ("service_tier", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="price_variant_has_conditions",
            ),
        ),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
