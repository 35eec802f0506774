"""Messages to tenants: endpoints, outbox, attempts."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_reconciliation")]

    operations = []
