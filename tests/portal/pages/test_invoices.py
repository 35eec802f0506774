"""The running month, drafting, finalising and downloading."""

from __future__ import annotations

import hashlib
import io
from zoneinfo import ZoneInfo

import pytest
from django.utils.timezone import now
from pypdf import PdfReader

from billing.meters import Usage
from billing.models import Invoice
from portal import tenancy
from portal.models import Role
from tests.portal.pages.cast import Cast


def month() -> str:
    return f"{now().astimezone(ZoneInfo('Europe/Paris')):%Y-%m}"


def draft(cast: Cast) -> Invoice:
    cast.client(Role.FINANCE).post(cast.url("invoices/draft/"), {"month": month()})
    with tenancy.as_operator():
        return Invoice.objects.get(tenant=cast.acme, status="draft")


def test_it_previews_the_running_month(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000))
    page = cast.client(Role.FINANCE).get(cast.url("invoices/")).content.decode()
    assert "$0.15" in page
    assert "No invoice yet" in page


def test_it_closes_the_month_and_gives_the_document(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000, output=100_000))
    made = draft(cast)
    client = cast.client(Role.FINANCE)
    page = client.get(cast.url(f"invoices/{made.pk}/")).content.decode()
    assert "$0.21" in page
    assert "can never be changed" in client.get(cast.url(f"invoices/{made.pk}/finalise/")).content.decode()
    answer = client.post(cast.url(f"invoices/{made.pk}/finalise/"), follow=True)
    assert "is final" in answer.content.decode()
    document = client.get(cast.url(f"invoices/{made.pk}/pdf/"))
    assert document.headers["Content-Type"] == "application/pdf"
    text = "".join(part.extract_text() for part in PdfReader(io.BytesIO(document.content)).pages)
    assert "0.21" in text
    assert "INV-" in text
    assert "invoice.finalise" in client.get(cast.url("audit/")).content.decode()


def test_it_refuses_to_finalise_twice(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000))
    made = draft(cast)
    url = cast.url(f"invoices/{made.pk}/finalise/")
    assert cast.client().post(url).status_code == 302
    again = cast.client().post(url)
    assert again.status_code == 422
    assert "paid already" in again.content.decode()


def test_it_says_that_an_empty_month_has_no_invoice(cast: Cast) -> None:
    made = draft(cast)
    page = cast.client().get(cast.url(f"invoices/{made.pk}/")).content.decode()
    assert "Nothing on this draft" in page
    answer = cast.client().post(cast.url(f"invoices/{made.pk}/finalise/"))
    assert answer.status_code == 422
    assert "nothing to invoice" in answer.content.decode()


def test_it_discards_a_draft(cast: Cast) -> None:
    cast.call()
    made = draft(cast)
    cast.client().post(cast.url(f"invoices/{made.pk}/discard/"))
    with tenancy.as_operator():
        assert not Invoice.objects.exists()


def test_it_never_discards_what_is_final(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000))
    made = draft(cast)
    cast.client().post(cast.url(f"invoices/{made.pk}/finalise/"))
    answer = cast.client().post(cast.url(f"invoices/{made.pk}/discard/"), follow=True)
    assert "no longer be discarded" in answer.content.decode()


@pytest.mark.parametrize("typed", ["", "2026-13", "9999-01", "x" * 999, "2026-11'--", "2999-01"])
def test_it_refuses_months_that_are_none(cast: Cast, typed: str) -> None:
    answer = cast.client().post(cast.url("invoices/draft/"), {"month": typed}, follow=True)
    assert answer.status_code == 200
    assert "note bad" in answer.content.decode()
    with tenancy.as_operator():
        assert not Invoice.objects.exists()


def test_it_does_not_show_invoices_of_others(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000))
    made = draft(cast)
    for part in ("", "pdf/", "finalise/"):
        assert cast.client("stranger").get(f"/t/other/invoices/{made.pk}/{part}").status_code == 404


def test_it_gives_the_evidence_of_a_final_invoice_and_its_hash(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000))
    made = draft(cast)
    client = cast.client(Role.FINANCE)
    client.post(cast.url(f"invoices/{made.pk}/finalise/"))
    text = client.get(cast.url(f"invoices/{made.pk}/evidence.csv")).getvalue()
    assert hashlib.sha256(text).hexdigest() in client.get(cast.url(f"invoices/{made.pk}/")).content.decode()
    parquet = client.get(cast.url(f"invoices/{made.pk}/evidence.parquet"))
    assert parquet.getvalue()[:4] == b"PAR1"
    assert parquet.headers["Content-Disposition"].endswith('.parquet"')


def test_it_says_why_there_is_no_electronic_invoice(cast: Cast) -> None:
    cast.call(usage=Usage(input=1_000_000))
    made = draft(cast)
    for name, said in (("ubl/", "has no electronic invoice"), ("evidence.csv", "when an invoice gets its number")):
        answer = cast.client(Role.FINANCE).get(cast.url(f"invoices/{made.pk}/{name}"), follow=True)
        assert said in answer.content.decode()
