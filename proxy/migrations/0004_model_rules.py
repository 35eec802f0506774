"""Models have rules of their own, and other models to fall back to."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0003_base_url")]

    operations = [
        migrations.AddField("model", "rules", models.JSONField(blank=True, default=dict)),
        migrations.AddField(
            "model",
            "fallbacks",
            ArrayField(models.CharField(max_length=200), blank=True, default=list),
        ),
    ]
