"""Credentials by name: when each secret was entered, and findings that name the one that was refused."""

from pathlib import Path

import django.core.validators
import django.utils.timezone
from django.db import migrations, models

SQL = Path(__file__).parent / "sql" / "0009_credentials.sql"


class Migration(migrations.Migration):
    dependencies = [("proxy", "0008_estimates")]

    operations = [
        migrations.AddField(
            model_name="credential",
            name="sealed_at",
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.RunSQL("UPDATE proxy_credential SET sealed_at = created_at", migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="credential",
            name="name",
            field=models.CharField(
                default="default",
                max_length=60,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[a-z0-9][a-z0-9-]{0,59}$", "Use a–z, 0–9 and hyphens, at most 60 characters."
                    )
                ],
            ),
        ),
        migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop),
    ]
