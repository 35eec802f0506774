"""Settling takes its locks once and in order: overlapping batches deadlocked when late usage made a second round."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0005_lock_once.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_closing")]

    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop)]
