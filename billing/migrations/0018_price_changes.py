"""Price changes that wait for a second operator, re-ratings, and what operators were told is sold below cost."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from billing.row_security import protect

SQL = Path(__file__).parent / "sql" / "0018_price_changes.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0017_contracts"),
        ("portal", "0005_billing"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LossAlert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model", models.CharField(max_length=200)),
                ("upstream", models.CharField(max_length=100)),
                ("upstream_model", models.CharField(max_length=200)),
                ("token_class", models.CharField(max_length=20)),
                ("price", models.BigIntegerField()),
                ("cost", models.BigIntegerField()),
                ("found_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("model"),
                        models.F("upstream"),
                        models.F("upstream_model"),
                        models.F("token_class"),
                        name="loss_alert_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Rerating",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "model_names",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), size=None),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("rows", models.JSONField()),
                ("note", models.CharField(max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("counting", "Counting"),
                            ("previewed", "Previewed"),
                            ("waiting", "Waiting"),
                            ("rejected", "Rejected"),
                            ("running", "Running"),
                            ("done", "Done"),
                        ],
                        default="counting",
                        max_length=9,
                    ),
                ),
                ("alone", models.BooleanField(default=False)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("steps", models.PositiveIntegerField(default=0)),
                ("steps_done", models.PositiveIntegerField(default=0)),
                ("problem", models.CharField(blank=True, max_length=300)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.pricebook"
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
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
            options={"verbose_name": "re-rating"},
        ),
        migrations.CreateModel(
            name="ReratingLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_label", models.CharField(max_length=7)),
                ("model", models.CharField(max_length=200)),
                ("requests", models.BigIntegerField()),
                ("before", models.DecimalField(decimal_places=0, max_digits=38)),
                ("after", models.DecimalField(decimal_places=0, max_digits=38)),
                ("posted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "rerating",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.rerating"
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
        migrations.CreateModel(
            name="PriceProposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rows", models.JSONField()),
                ("effective_from", models.DateTimeField(blank=True, null=True)),
                (
                    "origin",
                    models.CharField(
                        choices=[("screen", "Screen"), ("import", "Import"), ("apply", "Apply")], max_length=6
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200)),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("approved", "Approved"), ("rejected", "Rejected")],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.pricebook"
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.F("state"),
                        models.OrderBy(models.F("id"), descending=True),
                        name="price_proposal_by_state",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state__in", ("approved", "running", "done")), _negated=True),
                            models.Q(("decided_by__isnull", False), ("proposed_by__isnull", True)),
                            models.Q(
                                ("decided_by__isnull", False),
                                ("proposed_by__isnull", False),
                                models.Q(("decided_by", models.F("proposed_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="price_proposal_four_eyes",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at__isnull", True), ("state", "waiting")),
                            models.Q(models.Q(("state", "waiting"), _negated=True), ("decided_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="price_proposal_decided",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="rerating",
            index=models.Index(models.F("book"), models.F("state"), models.F("id"), name="rerating_by_book"),
        ),
        migrations.AddConstraint(
            model_name="rerating",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("alone", True), ("decided_by__isnull", False)),
                    models.Q(("state__in", ("approved", "running", "done")), _negated=True),
                    models.Q(("decided_by__isnull", False), ("proposed_by__isnull", True)),
                    models.Q(
                        ("decided_by__isnull", False),
                        ("proposed_by__isnull", False),
                        models.Q(("decided_by", models.F("proposed_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="rerating_four_eyes",
            ),
        ),
        migrations.AddConstraint(
            model_name="rerating",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="rerating_range_not_empty"
            ),
        ),
        migrations.AddConstraint(
            model_name="rerating",
            constraint=models.CheckConstraint(
                condition=models.Q(("model_names__len__gt", 0)), name="rerating_has_models"
            ),
        ),
        migrations.AddConstraint(
            model_name="reratingline",
            constraint=models.UniqueConstraint(
                models.F("rerating"),
                models.F("tenant"),
                models.F("period_label"),
                models.F("model"),
                name="rerating_line_once",
            ),
        ),
        protect("billing_priceproposal", portal="", operator="SELECT, INSERT, UPDATE", mine=""),
        protect("billing_rerating", portal="", operator="SELECT, INSERT, UPDATE"),
        protect("billing_reratingline", portal=""),
        protect("billing_lossalert", portal="", mine=""),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
