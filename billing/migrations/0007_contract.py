"""Allowances of three kinds, runs with a cap of their own, answers kept by idempotency key, and reading back."""

from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import F, Q

from billing.row_security import protect

SQL = Path(__file__).parent / "sql"
ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
TENANT = models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant")


def run(name: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / name).read_text(), reverse_sql=migrations.RunSQL.noop)


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_closed_prices"), ("portal", "0002_security")]

    operations = [
        migrations.AddField(
            "allowance",
            "kind",
            models.CharField(
                choices=[("wallet", "Wallet"), ("budget", "Budget"), ("run", "Run")], default="budget", max_length=6
            ),
        ),
        migrations.RunSQL(
            "UPDATE billing_allowance SET kind = 'wallet' WHERE budget_id IS NULL", migrations.RunSQL.noop
        ),
        migrations.RemoveConstraint("allowance", "allowance_one_wallet"),
        migrations.AddConstraint(
            "allowance",
            models.UniqueConstraint(F("tenant"), condition=Q(kind="wallet"), name="allowance_one_wallet"),
        ),
        migrations.AddConstraint(
            "allowance",
            models.CheckConstraint(condition=Q(kind="budget") ^ Q(budget__isnull=True), name="allowance_budget_kind"),
        ),
        migrations.RemoveConstraint("usageadjustment", "adjustment_once"),
        migrations.AddConstraint(
            "usageadjustment",
            models.UniqueConstraint(F("tenant"), F("event_id"), F("price_id"), name="adjustment_once"),
        ),
        migrations.CreateModel(
            "Run",
            [
                ("id", ID),
                ("tenant", TENANT),
                ("api_key_id", models.BigIntegerField()),
                ("run_id", models.CharField(max_length=128)),
                (
                    "allowance",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="run", to="billing.allowance"
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            {"constraints": [models.UniqueConstraint(F("tenant"), F("run_id"), name="run_once")]},
        ),
        migrations.CreateModel(
            "StoredAnswer",
            [
                ("id", ID),
                ("tenant", TENANT),
                ("key_hash", models.BinaryField(max_length=32)),
                ("body_hash", models.BinaryField(max_length=32)),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("done", "Done")], default="running", max_length=7
                    ),
                ),
                ("request_id", models.CharField(max_length=32)),
                ("owner", models.UUIDField()),
                ("status", models.IntegerField(default=0)),
                ("sealed", models.BinaryField(default=b"")),
                ("claimed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField()),
            ],
            {
                "constraints": [models.UniqueConstraint(F("tenant"), F("key_hash"), name="stored_answer_once")],
                "indexes": [models.Index(F("expires_at"), name="stored_answer_expiry")],
            },
        ),
        protect("billing_run", operator="SELECT"),
        protect("billing_storedanswer", portal="", operator="SELECT (id, tenant_id, expires_at), DELETE"),
        run("0007_contract.sql"),
        run("0007_answers.sql"),
    ]
