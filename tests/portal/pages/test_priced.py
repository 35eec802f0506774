"""A call that a variant of a price rated says so: on its receipt, and on the invoice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from django.utils.timezone import now

from billing import catalog
from billing.catalog import VariantPrices
from billing.meters import Usage
from billing.models import Invoice, Price
from portal import tenancy
from portal.models import Role
from tests.portal.pages.cast import MODEL, Cast


def test_a_receipt_and_an_invoice_say_which_variant_was_charged(cast: Cast) -> None:
    short = cast.call(usage=Usage(input=1000))
    with tenancy.as_operator():
        above = VariantPrices("above-200000", 200_000, "", (), {"input": 300_000, "output": 900_000})
        moment = now() + timedelta(seconds=1)
        catalog.publish(
            book=catalog.default_book(), model=MODEL, prices={"input": 150_000, "output": 600_000}, variants=[above],
            effective_from=moment, now=moment,
        )  # fmt: skip
        dearer = replace(cast, price=Price.objects.get(model=MODEL, variant="above-200000"))
    long = dearer.call(usage=Usage(input=200_001))
    client = cast.client(Role.FINANCE)
    pages = [client.get(cast.url(f"calls/{shown}/")).content.decode() for shown in (long, short)]
    assert ["above 200,000 prompt tokens" in page for page in pages] == [True, False]

    month = f"{now().astimezone(ZoneInfo('Europe/Paris')):%Y-%m}"
    client.post(cast.url("invoices/draft/"), {"month": month})
    with tenancy.as_operator():
        made = Invoice.objects.get(tenant=cast.acme, status="draft")
    page = client.get(cast.url(f"invoices/{made.pk}/")).content.decode()
    assert page.count("above 200,000 prompt tokens") == 1
