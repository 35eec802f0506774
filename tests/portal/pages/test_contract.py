"""The card of the contract, the lines of its charges, and the same through the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from billing import periods, terms
from billing.contract_sums import USD as BY_AMOUNT
from billing.contract_sums import Contract, FreeTerms, TierTerms
from billing.meters import Usage
from billing.models import Invoice
from billing.tiers import Tiers
from portal import tenancy
from portal.models import Role
from tests.portal.pages.cast import DOLLAR, Cast

CONTRACT = Contract(
    minimum=25 * DOLLAR,
    free_amount=DOLLAR,
    tiers=(
        TierTerms("gpt-4o*", "input", "tokens", Tiers("volume", (0, 1_000_000), (150_000, 120_000))),
        TierTerms("*", "", BY_AMOUNT, Tiers("graduated", (0, 100 * DOLLAR), (0, 500))),
    ),
    free_tokens=(FreeTerms("gpt-4o*", "output", 50_000),),
    note="Contract 7",
)


@pytest.fixture
def agreed(cast: Cast) -> Cast:
    """Acme under a contract since its month began, having used 2M tokens."""
    tenant, moment = cast.acme, now()
    month = periods.month_of(moment, tenant.timezone, tenant.billing_anchor_day)
    with tenancy.as_operator():
        terms.agree(tenant=tenant, contract=CONTRACT, effective_from=month.start, effective_to=None, now=moment)
    cast.call(usage=Usage(input=2_000_000, output=20_000))
    return cast


def test_the_card_says_what_is_reached_and_what_is_left(agreed: Cast) -> None:
    page = " ".join(agreed.client(Role.FINANCE).get(agreed.url("invoices/")).content.decode().split())
    for words in (
        "Your contract", "Contract 7", "Volume price of gpt-4o*, input", "$99.99 to the next tier",
        "30,000 tokens left", '1,000,000 <span class="badge good">reached</span>', "0.76", "still to be used",
    ):  # fmt: skip
        assert words in page


def test_without_a_contract_there_is_no_card(cast: Cast) -> None:
    page = cast.client(Role.FINANCE).get(cast.url("invoices/")).content.decode()
    assert "Your contract" not in page


def test_a_contract_that_is_to_come_is_announced(cast: Cast) -> None:
    with tenancy.as_operator():
        start = periods.bucket_of(now() + timedelta(days=40))
        terms.agree(tenant=cast.acme, contract=CONTRACT, effective_from=start, effective_to=None, now=now())
    page = cast.client(Role.FINANCE).get(cast.url("invoices/")).content.decode()
    assert "Your contract begins on" in page


def test_a_draft_has_the_contract_s_lines_and_says_how_they_came_about(agreed: Cast) -> None:
    client, zone = agreed.client(Role.FINANCE), agreed.acme.timezone
    client.post(agreed.url("invoices/draft/"), {"month": periods.month_of(now(), zone).label})
    with tenancy.as_operator():
        draft = Invoice.objects.get(tenant=agreed.acme, status="draft")
    page = client.get(agreed.url(f"invoices/{draft.pk}/")).content.decode()
    assert "Volume price of gpt-4o* (Input tokens): 2,000,000 tokens in tier 2" in page
    assert "Tier 2, above 1,000,000: 2,000,000 tokens, $0.12 per 1M." in page
    assert "20,000 of 50,000 free tokens, each at the average price of them all: $0.012." in page
    assert "Minimum of" not in page


def test_the_api_says_the_same(agreed: Cast) -> None:
    client, zone = agreed.client(Role.FINANCE), agreed.acme.timezone
    (contract,) = client.get("/manage/api/v1/contract", {"tenant": agreed.acme.slug}).json()["contracts"]
    volume, discount = contract["tiers"]
    assert (contract["list_price"], contract["price"], contract["note"]) == ("0.312", "0.00", "Contract 7")
    assert (volume["reached"], volume["to_next"], volume["price"]) == (2, None, "0.24")
    assert (discount["quantity"], discount["to_next"]) == ("0.012", "99.988")
    assert contract["free_tokens"][0]["left"] == "30000"
    assert contract["free_amount"] == {"granted": "1.00", "used": "0.24", "left": "0.76"}
    assert contract["minimum"] == {"agreed": "25.00", "spent": "0.00", "missing": "25.00"}

    before = periods.last_ended(now(), zone).label
    assert client.get(f"/manage/api/v1/contract?tenant=acme&month={before}").json() == {
        "period": before,
        "contracts": [],
    }
    assert client.get("/manage/api/v1/contract?tenant=acme&month=x").status_code == 400
    assert agreed.client(Role.DEVELOPER).get("/manage/api/v1/contract?tenant=acme").status_code == 403
