"""Which model a price of a file was applied to."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0005_price_import")]

    operations = [
        migrations.AddField("priceproposal", "applied_as", models.CharField(blank=True, default="", max_length=200))
    ]
