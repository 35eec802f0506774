"""Taxes, currencies, credit notes, due dates and reminders of invoices."""

from pathlib import Path

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_credits"),
        ("portal", "0005_billing"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "currency",
                    models.CharField(
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}\\Z", "Three capital letters of ISO 4217, such as EUR."
                            )
                        ],
                    ),
                ),
                ("day", models.DateField()),
                ("numerator", models.BigIntegerField()),
                ("denominator", models.BigIntegerField(default=1)),
                ("source", models.CharField(max_length=60)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("released", "Released"),
                            ("paid", "Paid"),
                            ("void", "Void"),
                            ("uncollectible", "Uncollectible"),
                            ("disputed", "Disputed"),
                            ("settled", "Dispute settled"),
                            ("reminded", "Reminded"),
                        ],
                        max_length=13,
                    ),
                ),
                ("step", models.PositiveSmallIntegerField(default=0)),
                ("actor", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceTax",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("category", models.CharField(max_length=2)),
                ("rate", models.PositiveIntegerField()),
                ("base", models.BigIntegerField()),
                ("amount", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="TaxRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "country",
                    models.CharField(
                        max_length=2,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{2}\\Z", "Two capital letters of ISO 3166, such as DE."
                            )
                        ],
                    ),
                ),
                (
                    "category",
                    models.CharField(
                        choices=[("S", "S: standard"), ("Z", "Z: zero-rated"), ("E", "E: exempt")],
                        default="S",
                        max_length=2,
                    ),
                ),
                ("rate", models.PositiveIntegerField(help_text="Basis points: 1900 is 19 %.")),
                ("effective_from", models.DateField()),
                ("source", models.CharField(blank=True, max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="VatCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("vat_id", models.CharField(max_length=20)),
                (
                    "outcome",
                    models.CharField(
                        choices=[("valid", "Valid"), ("invalid", "Invalid"), ("unknown", "No answer")], max_length=7
                    ),
                ),
                ("said", models.CharField(blank=True, max_length=200)),
                ("checked_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="invoice",
            name="invoice_one_draft",
        ),
        migrations.AddField(
            model_name="invoice",
            name="anchor_day",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="invoice",
            name="corrects",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_notes",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="due_on",
            field=models.DateField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="kind",
            field=models.CharField(
                choices=[("invoice", "Invoice"), ("credit_note", "Credit Note")], default="invoice", max_length=11
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="language",
            field=models.CharField(default="en", max_length=2),
        ),
        migrations.AddField(
            model_name="invoice",
            name="rate_denominator",
            field=models.BigIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="invoice",
            name="rate_numerator",
            field=models.BigIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="invoice",
            name="rate_on",
            field=models.DateField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="rate_source",
            field=models.CharField(blank=True, max_length=60),
        ),
        migrations.AddField(
            model_name="invoice",
            name="reason",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="invoice",
            name="usd_total",
            field=models.DecimalField(decimal_places=0, default=0, max_digits=38),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="corrects",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credited",
                to="billing.invoiceline",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="tax_category",
            field=models.CharField(default="O", max_length=2),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="tax_rate",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="ledgeraccount",
            name="kind",
            field=models.CharField(
                choices=[
                    ("wallet", "Wallet"),
                    ("receivable", "Receivable"),
                    ("accrued", "Accrued"),
                    ("revenue", "Revenue"),
                    ("rounding", "Rounding"),
                    ("breakage", "Breakage"),
                    ("goodwill", "Goodwill"),
                    ("payments", "Payments"),
                    ("tax", "Tax"),
                    ("exchange", "Exchange"),
                ],
                max_length=10,
            ),
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
                    ("credit_note", "Credit Note"),
                    ("reversal", "Reversal"),
                    ("grant", "Grant"),
                    ("expiry", "Expiry"),
                    ("refund", "Refund"),
                ],
                max_length=11,
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                models.F("tenant"),
                models.F("period_start_at"),
                condition=models.Q(("kind", "invoice"), ("status", "draft")),
                name="invoice_one_draft",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("corrects__isnull", True), ("kind", "invoice")),
                    models.Q(("corrects__isnull", False), ("kind", "credit_note")),
                    _connector="OR",
                ),
                name="invoice_corrects",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate_denominator__gt", 0), ("rate_numerator__gt", 0)), name="invoice_rate_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="exchangerate",
            constraint=models.UniqueConstraint(models.F("currency"), models.F("day"), name="exchange_rate_once"),
        ),
        migrations.AddConstraint(
            model_name="exchangerate",
            constraint=models.CheckConstraint(
                condition=models.Q(("denominator__gt", 0), ("numerator__gt", 0)), name="exchange_rate_positive"
            ),
        ),
        migrations.AddField(
            model_name="invoiceevent",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="invoiceevent",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"),
        ),
        migrations.AddField(
            model_name="invoicetax",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="taxes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="invoicetax",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"),
        ),
        migrations.AddConstraint(
            model_name="taxrate",
            constraint=models.UniqueConstraint(
                models.F("country"), models.F("category"), models.F("effective_from"), name="tax_rate_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="taxrate",
            constraint=models.CheckConstraint(condition=models.Q(("rate__lte", 10000)), name="tax_rate_at_most_all"),
        ),
        migrations.AddField(
            model_name="vatcheck",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"),
        ),
        migrations.AddIndex(
            model_name="invoiceevent",
            index=models.Index(models.F("invoice"), models.F("id"), name="invoice_events"),
        ),
        migrations.AddConstraint(
            model_name="invoiceevent",
            constraint=models.UniqueConstraint(
                models.F("invoice"),
                models.F("step"),
                condition=models.Q(("kind", "reminded")),
                name="invoice_reminded_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicetax",
            constraint=models.UniqueConstraint(
                models.F("invoice"), models.F("category"), models.F("rate"), name="invoice_tax_once"
            ),
        ),
        migrations.AddIndex(
            model_name="vatcheck",
            index=models.Index(models.F("tenant"), models.F("id"), name="vat_checks"),
        ),
        protect("billing_taxrate", mine=""),
        protect("billing_exchangerate", operator="SELECT, INSERT", mine=""),
        protect("billing_invoicetax"),
        protect("billing_invoiceevent", operator="SELECT, INSERT"),
        protect("billing_vatcheck", operator="SELECT, INSERT"),
        *(
            migrations.RunSQL((SQL / name).read_text(), reverse_sql=migrations.RunSQL.noop)
            for name in ("0014_invoicing.sql", "0014_tax_rates.sql")
        ),
    ]
