"""Findings about upstreams whose calls cost more than was held."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0009_credentials")]

    operations = [
        migrations.AlterField(
            "finding",
            "kind",
            models.CharField(
                choices=[
                    ("credential", "credential refused"),
                    ("model", "reported model changed"),
                    ("tokens", "token counts changed"),
                    ("latency", "much slower than it was"),
                    ("failing", "probes fail"),
                    ("overrun", "calls cost more than was held"),
                ],
                max_length=12,
            ),
        ),
    ]
