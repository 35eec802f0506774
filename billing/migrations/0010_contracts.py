"""Terms of a tenant's contract: tiers, free use, minimums; price proposals; re-rating."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_b_forgotten_runs")]

    operations = []
