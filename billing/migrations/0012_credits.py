"""Credit grants, what used them up, vouchers, automatic top-ups and alerts."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_costs")]

    operations = []
