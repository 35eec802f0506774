"""A base URL is checked by proxy/addresses.py, which is stricter than a URL field."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0002_security")]

    operations = [migrations.AlterField("upstream", "base_url", models.CharField(max_length=500))]
