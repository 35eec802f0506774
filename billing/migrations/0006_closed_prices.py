"""The end of a price version, once set, stays: calls were admitted by it."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0006_closed_prices.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_closing")]

    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop)]
