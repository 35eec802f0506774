"""What upstreams charge: cost books and margins."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_contracts")]

    operations = []
