"""Killed while a contract's month is closed, and closed again: each charge once, one invoice, one seal, one message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from billing import books, closing
from billing.contract_sums import Contract
from billing.meters import Usage
from billing.models import Charge, Evidence, Invoice, InvoiceSeries, OutboxMessage
from portal.tenancy import as_operator
from tests.billing.contracts import CLOSED, GRADUATED, agree
from tests.billing.test_invoicing_invariants import KILLED
from tests.billing.world import USD, World

STEPS = [
    ("posting", "post_everything", True),
    ("terms", "apply_until", False),
    ("charges", "bring_to", True),
    ("terms", "apply_until", True),
    ("invoices", "draft", True),
    ("credit_rounds", "use", False),
    ("books", "check", True),
    ("evidence", "_seal", False),
    ("evidence", "_seal", True),
    ("evidence", "seal", True),
    ("ledger", "post", True),
    ("invoice_posting", "post_invoice", False),
    ("invoice_series", "number", False),
    ("invoices", "snapshot_of", True),
]
"""Modules and the functions in them that the process does not survive, or whose end it does not."""


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("module", "name", "after"), STEPS)
def test_invariant_18_a_kill_around_charges_evidence_or_the_number_and_closing_again_is_closing_once(
    module: str, name: str, after: bool
) -> None:
    world = World()
    with as_operator():
        agree(world, Contract(minimum=5 * USD, tiers=(GRADUATED,)))
    world.use(Usage(input=12_345, output=9_999))
    script = KILLED.format(module=module, name=name, after=after, slug=world.tenant.slug, now=CLOSED.isoformat())
    values = {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", "TOLLGATE_ROLE": "operator"}
    died = subprocess.run([sys.executable, "-c", script], env=values, timeout=200, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    with as_operator():
        for _time in range(2):
            invoice = closing.close(tenant=world.tenant, month="2027-03", now=CLOSED, finalise=True)
        assert (invoice.number, invoice.status, int(invoice.exact)) == ("INV-2027-00001", "finalised", 5 * USD)
        assert Invoice.objects.filter(tenant=world.tenant).count() == 1
        assert InvoiceSeries.objects.get(series="INV").last_number == 1
        kinds = list(Charge.objects.filter(tenant=world.tenant).values_list("kind", flat=True).order_by("kind"))
        assert kinds == ["minimum", "tier"]
        assert Evidence.objects.filter(invoice=invoice).count() == 1
        told = OutboxMessage.objects.filter(tenant=world.tenant, kind="invoice.finalised")
        assert told.count() <= 1
        assert books.check().differences == ()
