"""Rows that are written a million times a month: fewer indexes, and what they point to looked at by sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "0022_speed.sql"
PROTECT = django.db.models.deletion.PROTECT
LOOSE: dict[str, Any] = {"db_constraint": False, "on_delete": PROTECT}


def _tenant() -> models.ForeignKey[Any, Any]:
    return models.ForeignKey(db_index=False, related_name="+", to="portal.tenant", **LOOSE)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0021_export_jobs")]
    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.AlterField("invoicedtransfer", "tenant", _tenant()),
        migrations.AlterField(
            "invoicedtransfer",
            "transfer",
            models.OneToOneField(primary_key=True, serialize=False, to="billing.transfer", **LOOSE),
        ),
        migrations.AlterField(
            "ledgerentry",
            "account",
            models.ForeignKey(db_index=False, related_name="entries", to="billing.ledgeraccount", **LOOSE),
        ),
        migrations.AlterField("ledgerentry", "tenant", _tenant()),
        migrations.AlterField(
            "ledgerentry", "transfer", models.ForeignKey(related_name="entries", to="billing.transfer", **LOOSE)
        ),
        migrations.AlterField(
            "transfer",
            "tenant",
            models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to="portal.tenant"),
        ),
        migrations.AlterField(
            "transfer",
            "reverses",
            models.ForeignKey(
                null=True,
                blank=True,
                db_index=False,
                on_delete=PROTECT,
                related_name="reversals",
                to="billing.transfer",
            ),
        ),
        migrations.AddConstraint(
            "transfer",
            models.UniqueConstraint(
                fields=("reverses",), condition=models.Q(reverses__isnull=False), name="transfer_reversed_once"
            ),
        ),
        migrations.AlterField("usagerollup", "tenant", _tenant()),
        migrations.AddIndex("ledgerentry", models.Index("tenant", "account", name="entries_by_account")),
        migrations.AddIndex(
            "usageadjustment",
            models.Index("tenant", "id", condition=models.Q(transfer_id__isnull=True), name="adjustments_unposted"),
        ),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
