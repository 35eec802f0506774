"""What closing a period and running beside the gateway need: what the portal may write of limits, house accounts."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "0004_closing.sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_journal")]

    operations = [migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop)]
