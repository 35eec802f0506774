"""What upstreams charge: unit costs with dates."""

import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_forgotten_runs")]

    operations = [
        migrations.CreateModel(
            name="CostPrice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("upstream", models.CharField(max_length=100)),
                ("upstream_model", models.CharField(max_length=200)),
                ("effective_from", models.DateTimeField()),
                ("effective_to", models.DateTimeField(blank=True, null=True)),
                ("input", models.BigIntegerField()),
                ("cache_read", models.BigIntegerField()),
                ("cache_write_5m", models.BigIntegerField()),
                ("cache_write_1h", models.BigIntegerField()),
                ("input_audio", models.BigIntegerField()),
                ("input_image", models.BigIntegerField()),
                ("output", models.BigIntegerField()),
                ("reasoning", models.BigIntegerField()),
                ("output_audio", models.BigIntegerField()),
                ("output_image", models.BigIntegerField()),
                ("per_request", models.BigIntegerField(default=0)),
                ("per_web_search", models.BigIntegerField(default=0)),
                ("per_image", models.BigIntegerField(default=0)),
                (
                    "source",
                    models.CharField(
                        choices=[("operator", "Operator"), ("import", "Import")], default="operator", max_length=10
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.F("upstream"),
                        models.F("upstream_model"),
                        models.OrderBy(models.F("effective_from"), descending=True),
                        name="cost_by_upstream_model",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("effective_to__isnull", True),
                            ("effective_to__gt", models.F("effective_from")),
                            _connector="OR",
                        ),
                        name="cost_range_not_empty",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cache_read__gte", 0),
                            ("cache_write_1h__gte", 0),
                            ("cache_write_5m__gte", 0),
                            ("input__gte", 0),
                            ("input_audio__gte", 0),
                            ("input_image__gte", 0),
                            ("output__gte", 0),
                            ("output_audio__gte", 0),
                            ("output_image__gte", 0),
                            ("per_image__gte", 0),
                            ("per_request__gte", 0),
                            ("per_web_search__gte", 0),
                            ("reasoning__gte", 0),
                        ),
                        name="cost_not_negative",
                    ),
                ],
            },
        ),
        protect("billing_costprice", portal="", mine=""),
        migrations.RunSQL(
            """
            ALTER TABLE billing_costprice ADD CONSTRAINT cost_versions_never_overlap EXCLUDE USING gist (
                int8range(hashtextextended(upstream || chr(1) || upstream_model, 0) >> 1,
                    hashtextextended(upstream || chr(1) || upstream_model, 0) >> 1, '[]') WITH &&,
                tstzrange(effective_from, effective_to, '[)') WITH &&);
            """,
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
