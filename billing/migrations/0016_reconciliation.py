"""Reports of providers and the history of the books."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_evidence")]

    operations = [
        migrations.CreateModel(
            name="ProviderReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("upstream", models.CharField(max_length=100)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("openai_usage", "OpenAI usage"),
                            ("openai_costs", "OpenAI costs"),
                            ("anthropic_usage", "Anthropic usage"),
                            ("anthropic_costs", "Anthropic costs"),
                        ],
                        max_length=20,
                    ),
                ),
                ("file_name", models.CharField(max_length=200)),
                ("sha256", models.CharField(max_length=64)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("tolerance", models.PositiveIntegerField(default=0)),
                ("imported_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(models.F("upstream"), models.F("sha256"), name="provider_report_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="BooksCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("duration_ms", models.PositiveIntegerField(default=0)),
                ("differences", models.PositiveIntegerField(default=0)),
                ("found", models.JSONField(default=dict)),
                ("progress", models.CharField(blank=True, max_length=100)),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portal.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(models.OrderBy(models.F("started_at"), descending=True), name="books_checks")],
            },
        ),
        migrations.CreateModel(
            name="ProviderReportRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("model", models.CharField(max_length=200)),
                ("requests", models.BigIntegerField(blank=True, null=True)),
                ("input", models.BigIntegerField(blank=True, null=True)),
                ("cache_read", models.BigIntegerField(blank=True, null=True)),
                ("cache_write", models.BigIntegerField(blank=True, null=True)),
                ("output", models.BigIntegerField(blank=True, null=True)),
                ("cost", models.DecimalField(blank=True, decimal_places=0, max_digits=38, null=True)),
                (
                    "report",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="billing.providerreport"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("report"), models.F("day"), models.F("model"), name="provider_report_row_once"
                    )
                ],
            },
        ),
        protect("billing_bookscheck", portal=""),
        protect("billing_providerreport", portal="", mine=""),
        protect("billing_providerreportrow", portal="", mine=""),
    ]
