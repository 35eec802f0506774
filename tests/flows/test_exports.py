"""Exports from the running portal: streamed, and the same calls and costs as were answered."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pyarrow.parquet
import pytest

from tests.deadline import until
from tests.product import Product

pytestmark = pytest.mark.timeout(240)

TOKEN = """
from django.utils.timezone import now
from portal.api_tokens import make_token
from portal.models import Membership, Tenant, User
from portal import members
tenant = Tenant.objects.get(slug="acme")
membership = Membership.objects.create(tenant=tenant, user=User.objects.create_user("a@example.com"), role="owner")
print(make_token(membership=membership, name="export", expires_at=None, now=now()).text)
"""


def test_it_streams_the_calls_that_were_answered(product: Callable[..., Product]) -> None:
    one = product(workers=1)
    one.apply_defaults("echo")
    key = one.issue_key()["key"]
    until(lambda: one.post(key).status_code == 200)
    ids = [one.post(key).headers["x-request-id"] for _ in range(4)]
    token = one.manage("shell", "--command", TOKEN).split()[-1]
    headers = {"Authorization": f"Bearer {token}"}
    address = f"{one.web_url}/manage/api/v1/exports/calls"
    wanted = {"first": f"{datetime.now(UTC):%Y-%m}"}

    def rows() -> list[dict[str, str]]:
        answer = httpx.get(address, params=wanted, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        return found if all(row["state"] == "settled" for row in found) else []

    until(lambda: len(rows()) == 5)
    texts = rows()
    whole = httpx.get(address, params={**wanted, "file": "parquet"}, headers=headers, timeout=30)
    table = pyarrow.parquet.read_table(io.BytesIO(whole.content)).to_pylist()
    assert [row["id"] for row in texts] == [row["id"] for row in table]
    assert {row["id"] for row in texts} >= set(ids)
    assert [Decimal(row["cost_usd"]) for row in texts] == [row["cost_usd"] for row in table]
    assert sum(row["cost_usd"] for row in table) > 0
