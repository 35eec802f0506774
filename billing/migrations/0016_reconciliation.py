"""Reports of providers and the history of the books."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_evidence")]

    operations = []
