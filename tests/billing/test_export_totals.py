"""Invariant 33: whatever shows what a month came to says the same, with charges, tax, credit notes and currencies."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

import pyarrow.parquet
import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now
from pypdf import PdfReader

from billing import invoice_pdf
from billing.exports import files, pages
from billing.exports.kinds import EXPORTS
from billing.exports.span import Span
from billing.models import Invoice
from billing.money import format_minor, minor_digits
from portal import tenancy
from portal.models import Role
from portal.tenancy import as_operator, as_tenant
from tests.billing.lived_month import SELLER, lived
from tests.billing.world import World
from tests.portal.cast import person, signed_in

pytestmark = pytest.mark.django_db
FIRST, LAST = "2027-03", "2027-05"

Sums = dict[str, Decimal]
"""Gross by number of the document; a credit note is negative."""


@pytest.fixture(autouse=True)
def seller() -> Iterator[None]:
    with override_settings(SELLER=SELLER):
        yield


def exported(world: World, kind: str, file: str) -> list[dict[str, object]]:
    export, target = EXPORTS[kind], io.BytesIO()
    with as_tenant(world.tenant.pk):
        found = export.pages(Span.named(world.tenant, FIRST, LAST))
        if file == "csv":
            text = b"".join(files.csv_parts(export.columns, found)).decode()
            return list(csv.DictReader(io.StringIO(text, newline="")))
        files.write_parquet(target, export.columns, found)
    rows: list[dict[str, object]] = pyarrow.parquet.read_table(io.BytesIO(target.getvalue())).to_pylist()
    return rows


def summed(rows: list[dict[str, object]], number: str, amount: str, digits: int = 0) -> Sums:
    found: Sums = {}
    for row in rows:
        if row[number]:
            place = str(row[number])
            found[place] = found.get(place, Decimal(0)) + Decimal(str(row[amount])).scaleb(-digits)
    return found


def said_by_the_api(world: World) -> Sums:
    user = person(f"owner@{world.tenant.slug}.test")
    with as_operator():
        tenancy.add_member(tenant=world.tenant, user=user, role=Role.OWNER, actor=None, now=now())
        rows = list(Invoice.objects.filter(tenant_id=world.tenant.pk, number__isnull=False))
    client, found = signed_in(user), {}
    for row in rows:
        said = client.get(reverse("api:invoice", args=[row.pk]), {"tenant": world.tenant.slug}).json()
        found[said["number"]] = Decimal(said["total"]) * (-1 if row.kind == Invoice.Kind.CREDIT_NOTE else 1)
    return found


def is_printed(invoice: Invoice) -> bool:
    """Whether the PDF says the total, with the separators of its language."""
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(invoice_pdf.render(invoice))).pages)
    plain = format_minor(invoice.total, invoice.currency)
    return plain in text.replace(",", "").replace(" ", "").replace("\u202f", "").replace("\xa0", "")


@pytest.mark.parametrize(
    ("mode", "currency"), [("postpaid", "USD"), ("prepaid", "USD"), ("postpaid", "EUR"), ("postpaid", "JPY")]
)
def test_invariant_33_files_api_and_pdf_say_the_same_totals(mode: str, currency: str) -> None:
    world, digits = lived(mode, currency), minor_digits(currency)
    with as_operator():
        documents = list(Invoice.objects.filter(tenant_id=world.tenant.pk, number__isnull=False))
        signs = {one.number: -1 if one.kind == Invoice.Kind.CREDIT_NOTE else 1 for one in documents}
        stored = {str(one.number): signs[one.number] * Decimal(format_minor(one.total, currency)) for one in documents}
        nets = {str(one.number): signs[one.number] * Decimal(format_minor(one.subtotal, currency)) for one in documents}
        assert all(is_printed(one) for one in documents)
    assert sorted(signs.values()) == [-1, 1, 1]
    assert any(stored[number] != nets[number] for number in stored)  # there is tax
    for file in ("csv", "parquet"):
        assert summed(exported(world, "documents", file), "number", "total_minor", digits) == stored
        assert summed(exported(world, "focus", file), "InvoiceId", "BilledCost") == stored
        assert summed(exported(world, "invoices", file), "number", "amount_minor", digits) == nets
    assert said_by_the_api(world) == stored


def test_it_reads_one_page_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = lived()
    monkeypatch.setattr(pages, "PAGE", 2)
    for kind in ("calls", "usage", "ledger", "invoices", "documents"):
        export = EXPORTS[kind]
        with as_tenant(world.tenant.pk):
            parts = files.csv_parts(export.columns, export.pages(Span.named(world.tenant, FIRST, LAST)))
            next(parts)  # the names of the columns
            with CaptureQueriesContext(connection) as asked:
                held = next(parts)
            assert len(asked) == 1
            assert 1 <= held.count(b"\r\n") <= 2
