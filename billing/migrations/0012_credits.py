"""Credit grants, what used them up, vouchers, automatic top-ups and alerts."""

from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect

SQL = Path(__file__).parent / "sql" / "0012_credits.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0011_costs"),
        ("portal", "0004_membership_rows"),
    ]

    operations = [
        migrations.CreateModel(
            name="VoucherGuesses",
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
                ("since", models.DateTimeField()),
                ("wrong", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AlterField(
            model_name="transfer",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "Usage"),
                    ("adjustment", "Adjustment"),
                    ("charge", "Charge"),
                    ("top_up", "Top Up"),
                    ("payment", "Payment"),
                    ("invoice", "Invoice"),
                    ("reversal", "Reversal"),
                    ("grant", "Grant"),
                    ("expiry", "Expiry"),
                    ("refund", "Refund"),
                ],
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="CreditGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("paid", "Paid"), ("promotional", "Promotional"), ("goodwill", "Goodwill")],
                        max_length=11,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=0, max_digits=38)),
                ("unused", models.DecimalField(decimal_places=0, max_digits=38)),
                ("priority", models.PositiveSmallIntegerField()),
                ("starts_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("key", models.CharField(max_length=200)),
                ("memo", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credit_grant",
                        to="billing.transfer",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="CreditUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("consumed", "Consumed"), ("expired", "Expired"), ("refunded", "Refunded")],
                        max_length=8,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=0, max_digits=38)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="uses", to="billing.creditgrant"
                    ),
                ),
                (
                    "reverses",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversed_by",
                        to="billing.credituse",
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
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="credit_uses", to="billing.transfer"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TopUpAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_label", models.CharField(max_length=7)),
                ("number", models.PositiveSmallIntegerField()),
                ("amount", models.DecimalField(decimal_places=0, max_digits=38)),
                (
                    "state",
                    models.CharField(
                        choices=[("requested", "Requested"), ("failed", "Failed")], default="requested", max_length=9
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TopUpRule",
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
                ("threshold", models.DecimalField(decimal_places=0, max_digits=38)),
                ("amount", models.DecimalField(decimal_places=0, max_digits=38)),
                ("most_per_month", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[("armed", "Armed"), ("fired", "Fired"), ("stopped", "Stopped")],
                        default="armed",
                        max_length=7,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0), ("threshold__gte", 0)), name="top_up_rule_amounts"
                    ),
                    models.CheckConstraint(condition=models.Q(("most_per_month__gt", 0)), name="top_up_rule_may_fire"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Voucher",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("last_four", models.CharField(max_length=4)),
                (
                    "kind",
                    models.CharField(
                        choices=[("paid", "Paid"), ("promotional", "Promotional"), ("goodwill", "Goodwill")],
                        max_length=11,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=0, max_digits=38)),
                ("priority", models.PositiveSmallIntegerField()),
                ("valid_from", models.DateTimeField()),
                ("valid_until", models.DateTimeField(blank=True, null=True)),
                ("credit_days", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("most_redemptions", models.PositiveIntegerField(default=1)),
                ("redeemed", models.PositiveIntegerField(default=0)),
                ("is_active", models.BooleanField(default=True)),
                ("memo", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="voucher_positive"),
                    models.CheckConstraint(
                        condition=models.Q(("redeemed__lte", models.F("most_redemptions"))), name="voucher_not_overused"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_until__isnull", True), ("valid_until__gt", models.F("valid_from")), _connector="OR"
                        ),
                        name="voucher_lasts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("credit_days__isnull", True), ("credit_days__gt", 0), _connector="OR"),
                        name="voucher_credit_lasts",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="VoucherRedemption",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("redeemed_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "grant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="redemption", to="billing.creditgrant"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
                (
                    "voucher",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="billing.voucher"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="BalanceAlert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("threshold", models.DecimalField(decimal_places=0, max_digits=38)),
                ("is_armed", models.BooleanField(default=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(models.F("tenant"), models.F("threshold"), name="balance_alert_once"),
                    models.CheckConstraint(
                        condition=models.Q(("threshold__gte", 0)), name="balance_alert_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CreditDue",
            fields=[
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="billing.transfer",
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=0, max_digits=38)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount", 0), _negated=True), name="credit_due_not_zero")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="creditgrant",
            index=models.Index(
                models.F("tenant"), condition=models.Q(("unused__gt", 0)), name="credit_grant_unused_by_tenant"
            ),
        ),
        migrations.AddIndex(
            model_name="creditgrant",
            index=models.Index(
                models.F("expires_at"), condition=models.Q(("unused__gt", 0)), name="credit_grant_by_expiry"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.UniqueConstraint(models.F("tenant"), models.F("key"), name="credit_grant_key_once"),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="credit_grant_positive"),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("unused__gte", 0), ("unused__lte", models.F("amount"))), name="credit_grant_unused"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expires_at__isnull", True), ("expires_at__gt", models.F("starts_at")), _connector="OR"
                ),
                name="credit_grant_lasts",
            ),
        ),
        migrations.AddIndex(
            model_name="credituse",
            index=models.Index(
                models.F("tenant"), models.OrderBy(models.F("id"), descending=True), name="credit_use_latest"
            ),
        ),
        migrations.AddConstraint(
            model_name="credituse",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("reverses__isnull", True)),
                    models.Q(("amount__lt", 0), ("reverses__isnull", False)),
                    _connector="OR",
                ),
                name="credit_use_sign",
            ),
        ),
        migrations.AddConstraint(
            model_name="topupattempt",
            constraint=models.UniqueConstraint(
                models.F("tenant"), models.F("period_label"), models.F("number"), name="top_up_attempt_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="voucherredemption",
            constraint=models.UniqueConstraint(models.F("voucher"), models.F("tenant"), name="voucher_once_per_tenant"),
        ),
        protect("billing_creditgrant", operator="SELECT, INSERT, UPDATE"),
        protect("billing_credituse", operator="SELECT, INSERT"),
        protect("billing_creditdue"),
        protect("billing_voucher", portal="", operator="SELECT, INSERT, UPDATE", mine=""),
        protect("billing_voucherredemption", operator="SELECT, INSERT"),
        protect("billing_voucherguesses", portal=""),
        protect("billing_topuprule", portal="SELECT, INSERT, UPDATE, DELETE"),
        protect("billing_topupattempt"),
        protect("billing_balancealert", portal="SELECT, INSERT, UPDATE, DELETE"),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
