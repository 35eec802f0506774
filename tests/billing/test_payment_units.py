"""The check of payments knows the minor units of every currency that invoices are in, by SQL of its own."""

from __future__ import annotations

import pytest
from django.db import connection

from billing import payment_checks
from billing.money import MINOR_DIGITS, minor_to_pico


@pytest.mark.django_db
@pytest.mark.parametrize("currency", sorted(MINOR_DIGITS))
def test_it_has_the_unit_of_every_currency(currency: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + payment_checks._UNIT + " FROM (SELECT %s::text AS currency) p", [currency])
        (unit,) = cursor.fetchone()
    assert int(unit) == minor_to_pico(1, currency)
