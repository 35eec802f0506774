"""Evidence packs of invoices."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_invoicing")]

    operations = []
