"""Operators say what upstreams charge, and see what is left of revenue."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import CostPrice
from portal.models import User
from portal.tenancy import as_operator
from tests.billing.test_reconciliation import Provider


@pytest.fixture
def operator(db: None) -> Client:
    with as_operator():
        user = User.objects.create_superuser("op@tollgate.test", "x" * 12)
    client = Client()
    client.force_login(user)
    return client


def test_it_stores_a_cost_and_shows_the_margin(operator: Client) -> None:
    provider = Provider()
    provider.call()
    typed = {
        "upstream": provider.upstream, "upstream_model": "gpt-5", "effective_from_0": "2027-03-01",
        "effective_from_1": "00:00:00", "input": "0.10", "output": "0.40",
    }  # fmt: skip
    assert operator.post(reverse("admin:billing_costprice_add"), typed).status_code == 302
    again = operator.post(reverse("admin:billing_costprice_add"), {**typed, "input": "0.20"}, follow=True)
    assert "begins after it" in again.content.decode()
    with as_operator():
        cost = CostPrice.objects.get(upstream=provider.upstream)
    assert (cost.input, cost.reasoning) == (100_000, 400_000)
    asked = {"by": "model", "first": "2027-03-10", "last": "2027-03-10"}
    page = operator.get(reverse("admin:billing_margins"), asked).content.decode()
    assert provider.world.model in page
    table = operator.get(reverse("admin:billing_margins"), {**asked, "format": "csv"}).content.decode()
    assert f"{provider.world.model},1,0.00045,0.0003,0.00,0.00015" in table
    assert "0.10" in operator.get(reverse("admin:billing_costprice_changelist")).content.decode()


@pytest.mark.parametrize("asked", [{"by": "secret"}, {"first": "x"}, {"first": "2020-01-01"}, {"last": "9999-12-31"}])
def test_it_refuses_questions_in_plain_words(operator: Client, asked: dict[str, str]) -> None:
    answer = operator.get(reverse("admin:billing_margins"), asked)
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()
