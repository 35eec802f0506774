"""The column of sums and balances."""

from __future__ import annotations

from django.db import models


def picodollars(**options: object) -> models.DecimalField[int, int]:
    """A NUMERIC(38,0) column for sums and balances; a single cost is a BIGINT."""
    return models.DecimalField(max_digits=38, decimal_places=0, **options)  # type: ignore[arg-type]
