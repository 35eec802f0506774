"""Files prepared in the background: asked for, watched, fetched and deleted by page and API, as the role allows."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing.models import ExportJob, ExportPart
from portal.models import AuditEntry, Role
from portal.tenancy import as_operator
from tests.portal.cast import Cast, signed_in

WANTED = {"kind": "usage", "first": "2027-02", "last": "2027-03", "format": "csv", "how": "later"}
FILE = b"date,cost\r\n2027-03-10,0.5\r\n"


def page_of(cast: Cast) -> str:
    return reverse("exports", args=[cast.acme.tenant.slug])


def finished(cast: Cast, kind: str = "usage") -> ExportJob:
    """A file in two parts, as a worker leaves it."""
    with as_operator():
        job = ExportJob.objects.create(
            tenant=cast.acme.tenant, kind=kind, file="csv", first="2027-03", last="2027-03", state="done",
            rows_done=1, rows_total=1, size=len(FILE), sha256=hashlib.sha256(FILE).hexdigest(),
            expires_at=now() + timedelta(days=7),
        )  # fmt: skip
        for position, content in enumerate((FILE[:7], FILE[7:])):
            ExportPart.objects.create(tenant=cast.acme.tenant, job=job, position=position, content=content)
    return job


def test_it_is_asked_for_watched_and_cancelled(cast: Cast) -> None:
    client = signed_in(cast.alice)
    answer = client.post(page_of(cast), WANTED, follow=True)
    page = answer.content.decode()
    assert "Usage, 2027-02 to 2027-03" in page
    assert 'hx-trigger="every 2s"' in page
    part = client.get(page_of(cast), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "Usage, 2027-02 to 2027-03" in part
    with as_operator():
        job = ExportJob.objects.filter(kind="usage").get(tenant=cast.acme.tenant)
        assert AuditEntry.objects.filter(action="export.prepare", tenant=cast.acme.tenant).exists()
    client.post(reverse("cancel_export", args=[cast.acme.tenant.slug, job.pk]))
    with as_operator():
        job.refresh_from_db()
    assert job.state == "cancelled"


def test_a_form_can_lead_to_a_download_at_once(cast: Cast) -> None:
    answer = signed_in(cast.alice).post(page_of(cast), {**WANTED, "how": "now"})
    assert answer.status_code == 302
    assert signed_in(cast.alice).get(answer.headers["Location"]).headers["Content-Disposition"].endswith('.csv"')


def test_it_keeps_what_was_typed_and_says_what_is_wrong(cast: Cast) -> None:
    answer = signed_in(cast.alice).post(page_of(cast), {**WANTED, "last": "2027-01"})
    assert answer.status_code == 422
    assert "not before the first" in answer.content.decode()
    for _ in range(4):
        answer = signed_in(cast.alice).post(page_of(cast), WANTED, follow=True)
    assert "3 exports are being made" in answer.content.decode()


def test_the_file_comes_whole_and_can_be_checked(cast: Cast) -> None:
    job = finished(cast)
    answer = signed_in(cast.alice).get(reverse("export_file", args=[cast.acme.tenant.slug, job.pk]))
    assert answer.getvalue() == FILE
    assert int(answer.headers["Content-Length"]) == len(FILE)
    assert answer.headers["Repr-Digest"].startswith("sha-256=:")
    signed_in(cast.alice).post(reverse("cancel_export", args=[cast.acme.tenant.slug, job.pk]))
    assert signed_in(cast.alice).get(reverse("export_file", args=[cast.acme.tenant.slug, job.pk])).status_code == 404


@pytest.mark.parametrize("kind", ["ledger", "invoices"])
def test_a_developer_neither_makes_nor_sees_files_about_money(cast: Cast, kind: str) -> None:
    client, job = signed_in(cast.people[Role.DEVELOPER]), finished(cast, kind)
    assert client.post(page_of(cast), {**WANTED, "kind": kind}).status_code == 422
    assert f"{kind.capitalize()}, 2027-03" not in client.get(page_of(cast)).content.decode()
    assert client.get(reverse("export_file", args=[cast.acme.tenant.slug, job.pk])).status_code == 404
    assert client.post(reverse("cancel_export", args=[cast.acme.tenant.slug, job.pk])).status_code == 404


def test_the_api_does_the_same(cast: Cast) -> None:
    client, headers = Client(SERVER_NAME="localhost"), {"Authorization": f"Bearer {cast.acme.token_text}"}
    wanted = {"kind": "usage", "first": "2027-03", "file": "parquet"}
    made = client.post(reverse("api:export_jobs"), wanted, content_type="application/json", headers=headers)
    assert made.status_code == 202
    address = reverse("api:export_job", args=[made.json()["id"]])
    assert client.get(address, headers=headers).json()["state"] == "waiting"
    file = reverse("api:export_job_file", args=[made.json()["id"]])
    assert client.get(file, headers=headers).status_code == 404
    assert client.delete(address, headers=headers).status_code == 204
    assert client.delete(address, headers=headers).status_code == 204
    assert client.get(address, headers=headers).json()["state"] == "cancelled"
    job = finished(cast)
    answer = client.get(reverse("api:export_job_file", args=[job.pk]), headers=headers)
    assert answer.getvalue() == FILE
    listed = client.get(reverse("api:export_jobs"), headers=headers).json()
    assert {one["id"] for one in listed} >= {job.pk, made.json()["id"]}


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "secrets"}, {"first": "2027-13"}, {"first": "March"}, {"file": "xlsx"}, {"else": 1}, {"last": "2027-02"}],
)
def test_the_api_refuses_in_plain_words(cast: Cast, wrong: dict[str, object]) -> None:
    client, headers = Client(SERVER_NAME="localhost"), {"Authorization": f"Bearer {cast.acme.token_text}"}
    body = {"kind": "usage", "first": "2027-03", **wrong}
    answer = client.post(reverse("api:export_jobs"), body, content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert answer.json()
