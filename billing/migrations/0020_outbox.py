from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0019_payments")]
    operations: ClassVar[list[migrations.operations.base.Operation]] = []
