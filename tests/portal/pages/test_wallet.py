"""The wallet page: what is left, vouchers, automatic top-ups and alerts; and the same through the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.timezone import now

from billing import credits, vouchers
from billing.grants import Terms
from billing.models import BalanceAlert, TopUpRule
from billing.vouchers import MOST_WRONG, Offer
from portal.models import AuditEntry, Membership, Role
from portal.tenancy import as_operator
from tests.billing.world import USD, World
from tests.portal.cast import person, signed_in


class Shop:
    """A prepaid organisation with 100 USD, and a browser of its finance member."""

    def __init__(self, role: str = Role.FINANCE) -> None:
        self.world = World(mode="prepaid")
        self.tenant = self.world.tenant
        self.user = person(f"{role}@{self.tenant.slug}.test")
        with as_operator():
            Membership.objects.create(tenant=self.tenant, user=self.user, role=role)
        self.client: Client = signed_in(self.user)

    def url(self, part: str = "") -> str:
        return f"/t/{self.tenant.slug}/wallet/{part}"

    def api(self, part: str = "") -> str:
        return f"/manage/api/v1/wallet{part}?tenant={self.tenant.slug}"

    def code(self) -> str:
        offer = Offer("promotional", 7 * USD, now() - timedelta(days=1), credit_days=30)
        with as_operator():
            return vouchers.make(offer=offer, number=1, now=now())[0][1]

    def acts(self) -> list[str]:
        with as_operator():
            return list(AuditEntry.objects.filter(tenant=self.tenant, actor=self.user).values_list("action", flat=True))


@pytest.fixture
def shop(db: None) -> Shop:
    return Shop()


def test_it_shows_what_is_left_and_the_credit_it_is_of(shop: Shop) -> None:
    running = shop.world.opening(3 * USD)
    shop.world.open([running])
    terms = Terms("promotional", 5 * USD, now(), expires_at=now() + timedelta(days=9), memo="Welcome <b>")
    with as_operator():
        credits.grant(tenant=shop.tenant, terms=terms, key="k", now=now())

    page = shop.client.get(shop.url()).content.decode()
    for text in ("$105.00", "$3.00", "$102.00", "Promotional", "Welcome &lt;b&gt;", "Top-up", "nothing used in seven"):
        assert text in page


def test_a_voucher_is_redeemed_and_recorded(shop: Shop) -> None:
    answer = shop.client.post(shop.url("voucher/"), {"code": shop.code()}, follow=True)
    assert "7.00 USD credit is in your wallet" in answer.content.decode()
    assert shop.world.wallet().limit == 107 * USD
    assert shop.acts() == ["voucher.redeem"]


def test_wrong_codes_stay_counted_and_stop_the_right_one(shop: Shop) -> None:
    for _guess in range(MOST_WRONG):
        answer = shop.client.post(shop.url("voucher/"), {"code": "AAAAA-AAAAA-AAAAA-AAAAA"})
        assert (answer.status_code, "This code cannot be redeemed" in answer.content.decode()) == (422, True)
    assert "Too many codes were wrong" in shop.client.post(shop.url("voucher/"), {"code": shop.code()}).content.decode()
    assert shop.world.wallet().limit == 100 * USD


def test_a_rule_is_set_and_switched_off(shop: Shop) -> None:
    values = {"threshold": "20", "amount": "$50.00", "most_per_month": "2"}
    page = shop.client.post(shop.url("top-ups/"), values, follow=True).content.decode()
    assert "Tops up by 50.00 USD when less than 20.00 USD is left, at most 2 times a month." in page
    shop.client.post(shop.url("top-ups/"), {"off": "1"})
    with as_operator():
        assert not TopUpRule.objects.filter(tenant=shop.tenant).exists()
    assert shop.acts() == ["wallet.set_top_up_rule", "wallet.drop_top_up_rule"]


@pytest.mark.parametrize("values", [{}, {"threshold": "x", "amount": "1", "most_per_month": "1"}, {
    "threshold": "1", "amount": "0", "most_per_month": "1"}])  # fmt: skip
def test_a_rule_that_cannot_be_comes_back(shop: Shop, values: dict[str, str]) -> None:
    assert shop.client.post(shop.url("top-ups/"), values).status_code == 422
    assert shop.acts() == []


def test_alerts_are_kept(shop: Shop) -> None:
    shop.client.post(shop.url("alerts/"), {"thresholds": "50, $20 5"})
    with as_operator():
        found = {int(row.threshold) // USD for row in BalanceAlert.objects.filter(tenant=shop.tenant)}
    assert found == {50, 20, 5}
    assert "50.00, 20.00, 5.00" in shop.client.get(shop.url()).content.decode()
    assert shop.client.post(shop.url("alerts/"), {"thresholds": "much"}).status_code == 422


def test_a_developer_sees_no_wallet(db: None) -> None:
    shop = Shop(Role.DEVELOPER)
    assert shop.client.get(shop.url()).status_code == 403
    assert shop.client.post(shop.url("voucher/"), {"code": shop.code()}).status_code == 403
    assert shop.client.get(shop.api()).status_code == 403


def test_the_api_tells_the_same(shop: Shop) -> None:
    found = shop.client.get(shop.api()).json()
    assert (found["left"], found["held"], found["free"], found["days_left"]) == ("100.00", "0.00", "100.00", None)
    assert [(row["kind"], row["unused"], row["expires_at"]) for row in found["credit"]] == [("paid", "100.00", None)]
    rows = shop.client.get(shop.api("/movements") + "&limit=1").json()
    assert [(row["kind"], row["amount"]) for row in rows["results"]] == [("top_up", "100.00")]
    assert rows["next"] is None


def test_the_api_redeems_and_sets(shop: Shop) -> None:
    def send(method: str, part: str, values: dict[str, object]) -> tuple[int, dict[str, object]]:
        answer = getattr(shop.client, method)(shop.api(part), values, content_type="application/json")
        return answer.status_code, answer.json() if answer.content else {}

    made, credit = send("post", "/voucher", {"code": shop.code()})
    assert (made, credit["unused"]) == (201, "7.00")
    for guess in range(MOST_WRONG + 1):
        status, told = send("post", "/voucher", {"code": "nothing"})
        assert (status, list(told)) == (429 if guess == MOST_WRONG else 400, ["detail"])
    rule = {"threshold": "5.00", "amount": "10.00", "most_per_month": 1}
    status, state = send("put", "/top-up-rule", rule)
    assert (status, state["top_up_rule"]) == (200, {**rule, "state": "armed", "reason": ""})
    assert send("put", "/top-up-rule", {**rule, "amount": "0"})[0] == 400
    assert send("delete", "/top-up-rule", {})[0] == 204
    status, state = send("put", "/alerts", {"thresholds": ["5.00", "50.00"]})
    assert (status, state["alert_thresholds"]) == (200, ["50.00", "5.00"])
