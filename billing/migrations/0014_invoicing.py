"""Taxes, currencies, credit notes, reminders and due dates of invoices."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_payments")]

    operations = []
