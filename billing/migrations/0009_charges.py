"""Charges besides the price of single calls, as lines of their own."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0008_price_variants"),
        ("portal", "0004_membership_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="invoiceline",
            name="description",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="model",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="token_class",
            field=models.CharField(blank=True, max_length=20),
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
                ],
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="Charge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("tier", "Tier"),
                            ("free", "Free"),
                            ("minimum", "Minimum"),
                            ("rerated", "Rerated"),
                            ("credit", "Credit"),
                            ("other", "Other"),
                        ],
                        max_length=7,
                    ),
                ),
                ("subject", models.CharField(blank=True, max_length=120)),
                ("period_label", models.CharField(max_length=7)),
                ("effective_at", models.DateTimeField()),
                ("description", models.CharField(max_length=200)),
                ("exact", models.DecimalField(decimal_places=0, max_digits=38)),
                ("detail", models.JSONField(default=dict)),
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
                        on_delete=django.db.models.deletion.PROTECT, related_name="charge", to="billing.transfer"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="charge",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.charge",
            ),
        ),
        migrations.AddIndex(
            model_name="charge",
            index=models.Index(
                models.F("tenant"),
                models.F("period_label"),
                models.F("kind"),
                models.F("subject"),
                name="charge_by_subject",
            ),
        ),
        migrations.AddConstraint(
            model_name="charge",
            constraint=models.CheckConstraint(condition=models.Q(("exact", 0), _negated=True), name="charge_not_zero"),
        ),
        protect("billing_charge", operator="SELECT, INSERT"),
        migrations.RunSQL(
            """
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_charge
                FOR EACH ROW EXECUTE FUNCTION refuse_change();
            -- Rounding and charges alike: what is left of the wallet equals the ledger.
            ALTER FUNCTION charge_rounding(bigint, numeric) RENAME TO charge_wallet;

            -- Whatever one statement adds to a transfer sums to zero: looked at once a statement, not once an entry at
            -- commit, where half of the time of posting went.
            DROP TRIGGER zero_sum ON billing_ledgerentry;
            DROP FUNCTION transfer_sums_to_zero();
            CREATE FUNCTION transfers_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE
                v_transfer bigint;
            BEGIN
                SELECT transfer_id INTO v_transfer FROM added GROUP BY transfer_id, currency
                    HAVING sum(amount) <> 0 LIMIT 1;
                IF FOUND THEN
                    RAISE EXCEPTION 'transfer % does not sum to zero', v_transfer USING ERRCODE = 'check_violation';
                END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER zero_sum AFTER INSERT ON billing_ledgerentry REFERENCING NEW TABLE AS added
                FOR EACH STATEMENT EXECUTE FUNCTION transfers_sum_to_zero();
            """,
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
