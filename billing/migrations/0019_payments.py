"""Payments, what they pay, refunds, the card provider's messages, bank lines."""

import uuid
from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect

SQL = Path(__file__).parent / "sql" / "0019_payments.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0018_price_changes"),
        ("portal", "0005_billing"),
    ]

    operations = [
        migrations.CreateModel(
            name="PayingCustomer",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="portal.tenant",
                    ),
                ),
                ("customer_id", models.CharField(max_length=255, unique=True)),
                ("method_id", models.CharField(blank=True, max_length=255)),
                ("card", models.CharField(blank=True, max_length=60)),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AlterField(
            model_name="invoiceevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("released", "Released"),
                    ("paid", "Paid"),
                    ("void", "Void"),
                    ("uncollectible", "Uncollectible"),
                    ("disputed", "Disputed"),
                    ("settled", "Dispute settled"),
                    ("reminded", "Reminded"),
                    ("reopened", "Reopened"),
                ],
                max_length=13,
            ),
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.UUIDField(default=uuid.uuid4, unique=True)),
                (
                    "method",
                    models.CharField(
                        choices=[("card", "Card"), ("bank", "Bank transfer"), ("manual", "Recorded by hand")],
                        max_length=6,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("pending", "Pending"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="requested",
                        max_length=9,
                    ),
                ),
                ("amount", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("rate_numerator", models.BigIntegerField(blank=True, null=True)),
                ("rate_denominator", models.BigIntegerField(blank=True, null=True)),
                ("rate_on", models.DateField(blank=True, null=True)),
                ("rate_source", models.CharField(blank=True, max_length=60)),
                ("is_automatic", models.BooleanField(default=False)),
                ("saves_card", models.BooleanField(default=False)),
                ("session_id", models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ("intent_id", models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ("memo", models.CharField(blank=True, max_length=200)),
                ("failure", models.CharField(blank=True, max_length=200)),
                ("actor", models.CharField(blank=True, max_length=200)),
                ("received_on", models.DateField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "invoice",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payments",
                        to="billing.invoice",
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
            name="BankLine",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("booked_on", models.DateField()),
                ("amount", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("payer", models.CharField(blank=True, max_length=200)),
                ("purpose", models.CharField(blank=True, max_length=500)),
                ("imported_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "payment",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bank_line",
                        to="billing.payment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProviderEvent",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=100)),
                ("raw", models.TextField()),
                ("problem", models.CharField(blank=True, max_length=200)),
                ("received_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tried_at", models.DateTimeField(blank=True, null=True)),
                ("processed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "payment",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="billing.payment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.UUIDField(default=uuid.uuid4, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("refund", "Refund"), ("dispute", "Dispute")], default="refund", max_length=7
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("pending", "Pending"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                        ],
                        default="requested",
                        max_length=9,
                    ),
                ),
                ("amount", models.BigIntegerField()),
                ("provider_id", models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("failure", models.CharField(blank=True, max_length=200)),
                ("actor", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.payment"
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
            name="Allocation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "target",
                    models.CharField(
                        choices=[
                            ("invoice", "Invoice"),
                            ("wallet", "Prepaid credit"),
                            ("advance", "Credit for coming invoices"),
                        ],
                        max_length=7,
                    ),
                ),
                ("amount", models.BigIntegerField()),
                ("usd", models.DecimalField(decimal_places=0, max_digits=38)),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "grant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocations",
                        to="billing.creditgrant",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocations",
                        to="billing.invoice",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="allocation", to="billing.transfer"
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="allocations", to="billing.payment"
                    ),
                ),
                (
                    "refund",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocations",
                        to="billing.refund",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                models.F("tenant"), models.OrderBy(models.F("id"), descending=True), name="payment_latest"
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                models.F("asked_at"),
                condition=models.Q(("status__in", ("requested", "pending"))),
                name="payment_under_way",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="payment_positive"),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("rate_denominator__isnull", True), ("rate_numerator__isnull", True)),
                    models.Q(("rate_denominator__gt", 0), ("rate_numerator__gt", 0)),
                    _connector="OR",
                ),
                name="payment_rate_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankline",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="bank_line_positive"),
        ),
        migrations.AddIndex(
            model_name="providerevent",
            index=models.Index(
                models.F("received_at"),
                condition=models.Q(("processed_at__isnull", True)),
                name="provider_event_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="refund_positive"),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True), name="allocation_not_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("grant__isnull", True), ("invoice__isnull", False), ("target", "invoice")),
                    models.Q(("grant__isnull", False), ("invoice__isnull", True), ("target", "wallet")),
                    models.Q(("grant__isnull", True), ("invoice__isnull", True), ("target", "advance")),
                    _connector="OR",
                ),
                name="allocation_target",
            ),
        ),
        protect("billing_payment", operator="SELECT, INSERT, UPDATE"),
        protect("billing_refund", operator="SELECT, INSERT, UPDATE"),
        protect("billing_allocation", operator="SELECT, INSERT"),
        protect("billing_payingcustomer"),
        protect("billing_providerevent", portal="", operator="SELECT, INSERT, UPDATE", mine=""),
        protect("billing_bankline", portal="", operator="SELECT, INSERT, UPDATE", mine=""),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
