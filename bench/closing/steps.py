"""The steps of closing a month, each as one worker process does it: for everybody, or for one tenant."""

from __future__ import annotations

from collections.abc import Callable

import django

django.setup()

from bench.closing.load import MONTH, NOW  # noqa: E402
from billing import books, closing, credit_rounds, invoice_pdf, invoices, posting  # noqa: E402 - models need Django
from billing.models import Invoice  # noqa: E402
from portal.models import Tenant  # noqa: E402

Told = Callable[[int], None]


def post(told: Told) -> int:
    """Everything that is settled; how many calls."""
    total = 0
    while posted := posting.post_everything(now=NOW, most=1):
        total += posted
        told(total)
    return total


def draft(tenant_id: int) -> None:
    """Build the draft of the month."""
    tenant = Tenant.objects.get(pk=tenant_id)
    closing.draft(tenant=tenant, month=MONTH, now=NOW)
    credit_rounds.use(tenant=tenant, now=NOW)


def check(tenant_id: int) -> None:
    """Check the tenant's books, as is done before a number is given."""
    if reason := closing.doubts(_draft(tenant_id)):
        raise RuntimeError(reason)


def seal(tenant_id: int) -> None:
    """Read and hash every row of the pack."""
    invoices.seal(invoice=_draft(tenant_id), now=NOW)


def finalise(tenant_id: int) -> None:
    """Take the number."""
    invoices.finalise(invoice=_draft(tenant_id), now=NOW)


def check_all(told: Callable[[str], None]) -> int:
    """Check everybody's books, every row of them; how many differences."""
    return len(books.check(tell=told).differences)


def render(slug: str) -> int:
    """The PDF of a tenant's invoice; how many lines it has."""
    invoice = Invoice.objects.get(tenant__slug=slug)
    invoice_pdf.render(invoice)
    return invoice.lines.count()


def _draft(tenant_id: int) -> Invoice:
    return Invoice.objects.select_related("tenant").get(tenant_id=tenant_id, period_label=MONTH)


PER_TENANT = {"draft": draft, "check": check, "seal": seal, "finalise": finalise}
