"""Charges besides usage: posted once, counted at once, and a line on the next invoice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.utils import IntegrityError

from billing import books, charges, closing, invoice_pdf
from billing.charges import Wanted
from billing.models import Allowance, Charge
from billing.money import PICO_PER_USD
from billing.periods import month
from portal.tenancy import as_operator
from tests.billing.world import World, as_role, run

MARCH = month("2027-03", "Europe/Paris")


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


def minimum(exact: int) -> Wanted:
    return Wanted("minimum", "contract 1", "Minimum of 50.00 USD", exact, {"minimum": "50.00"})


def test_it_charges_the_difference_to_what_was_charged_before(world: World) -> None:
    def bring(exact: int) -> int | None:
        made = charges.bring_to(tenant=world.tenant, period=MARCH, wanted=minimum(exact), now=world.clock)
        return None if made is None else int(made.exact)

    assert bring(0) is None
    assert bring(5 * PICO_PER_USD) == 5 * PICO_PER_USD
    assert bring(5 * PICO_PER_USD) is None
    assert bring(3 * PICO_PER_USD) == -2 * PICO_PER_USD
    assert charges.charged(tenant_id=world.tenant.id, period_label="2027-03", kinds=("minimum",)) == 3 * PICO_PER_USD
    assert books.check(tenant_id=world.tenant.id).balanced


@pytest.mark.parametrize("mode", ["postpaid", "prepaid"])
def test_it_is_a_line_of_the_next_invoice_and_the_books_balance(db: None, mode: str) -> None:
    world = World(mode=mode)
    wallet = Allowance.objects.get(tenant_id=world.tenant.id, kind="wallet")
    charges.bring_to(tenant=world.tenant, period=MARCH, wanted=minimum(50 * PICO_PER_USD + 4), now=world.clock)
    after = Allowance.objects.get(pk=wallet.pk)
    assert int(after.spent) == int(wallet.spent) + 50 * PICO_PER_USD + 4

    later = world.clock + timedelta(days=40)
    invoice = closing.close(tenant=world.tenant, month="2027-03", now=later, finalise=True)
    (line,) = invoice.lines.all()
    assert (line.description, int(line.exact), line.amount) == ("Minimum of 50.00 USD", 50 * PICO_PER_USD + 4, 5000)
    assert invoice.number is not None
    assert invoice_pdf.render(invoice).startswith(b"%PDF")
    assert books.check(tenant_id=world.tenant.id).differences == ()
    assert Allowance.objects.get(pk=wallet.pk).spent == wallet.spent + 50 * PICO_PER_USD


def test_a_charge_is_never_changed(world: World) -> None:
    made = charges.bring_to(tenant=world.tenant, period=MARCH, wanted=minimum(1), now=world.clock)
    assert made is not None
    with pytest.raises(IntegrityError, match="never changed"), as_role("none"):
        run("UPDATE billing_charge SET exact = 2 WHERE id = %s", made.pk)
    assert Charge.objects.count() == 1
