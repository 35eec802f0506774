"""Operators grant and refund credit, and make vouchers, whose codes they see once."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing import vouchers
from billing.models import CreditGrant, Voucher
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from tests.billing.world import USD, World
from tests.portal.cast import signed_in

INLINES = ("uses", "redemptions")


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def shop(db: None) -> World:
    return World(mode="prepaid")


def send(staff: Client, what: str, values: dict[str, Any], number: int | None = None) -> Any:
    address = reverse(f"admin:billing_{what}_{'change' if number else 'add'}", args=[number] if number else [])
    forms = {f"{name}-{part}_FORMS": 0 for name in INLINES for part in ("TOTAL", "INITIAL")}
    return staff.post(address, {**forms, **values})


def grant_values(shop: World, **changed: object) -> dict[str, Any]:
    moment = now()
    return {
        "tenant": shop.tenant.pk, "kind": "goodwill", "usd": "5.00", "priority": "", "memo": "Sorry",
        "starts_at_0": f"{moment:%Y-%m-%d}", "starts_at_1": f"{moment:%H:%M:%S}", "expires_at_0": "",
        "expires_at_1": "", "form_key": uuid.uuid4(), **changed,
    }  # fmt: skip


def voucher_values(**changed: object) -> dict[str, Any]:
    moment = now()
    return {
        "number": "3", "kind": "promotional", "usd": "2.50", "priority": "10", "valid_until_0": "",
        "valid_from_0": f"{moment:%Y-%m-%d}", "valid_from_1": f"{moment:%H:%M:%S}", "valid_until_1": "",
        "credit_days": "30", "most_redemptions": "1", "memo": "Fair", **changed,
    }  # fmt: skip


def acts() -> list[str]:
    with as_operator():
        return list(AuditEntry.objects.filter(actor__is_staff=True).order_by("pk").values_list("action", flat=True))


def test_a_grant_counts_once_however_often_the_form_is_sent(staff: Client, shop: World) -> None:
    values = grant_values(shop)
    for _time in range(2):
        assert send(staff, "creditgrant", values).status_code == 302
    with as_operator():
        one = CreditGrant.objects.get(tenant=shop.tenant, kind="goodwill")
    assert (int(one.unused), one.memo, one.priority) == (5 * USD, "Sorry", 20)
    assert shop.wallet().limit == 105 * USD
    assert acts()[0] == "credit.grant"
    assert "5.00" in staff.get(reverse("admin:billing_creditgrant_changelist")).content.decode()


@pytest.mark.parametrize(
    ("changed", "words"), [({"usd": "0"}, "more than nothing"), ({"priority": "5000"}, "priority"), ({
        "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}, "ends after")],
)  # fmt: skip
def test_a_grant_that_cannot_be_comes_back_with_words(
    staff: Client, shop: World, changed: dict[str, str], words: str
) -> None:
    answer = send(staff, "creditgrant", grant_values(shop, **changed))
    assert (answer.status_code, words in answer.content.decode()) == (200, True)
    assert acts() == []


def test_unused_paid_credit_is_refunded_and_recorded(staff: Client, shop: World) -> None:
    with as_operator():
        paid = CreditGrant.objects.get(tenant=shop.tenant)
    page = staff.get(reverse("admin:billing_creditgrant_change", args=[paid.pk])).content.decode()
    assert "100.00" in page
    values = {"refund": "40.00", "form_key": uuid.uuid4()}
    for _time in range(2):
        send(staff, "creditgrant", values, paid.pk)
    assert shop.wallet().limit == 60 * USD
    assert acts()[0] == "credit.refund"
    send(staff, "creditgrant", {"refund": "61.00", "form_key": uuid.uuid4()}, paid.pk)
    assert shop.wallet().limit == 60 * USD


def test_voucher_codes_are_shown_once_and_count(staff: Client, shop: World) -> None:
    answer = send(staff, "voucher", voucher_values())
    codes = re.findall(r"\b(?:[A-Z2-9]{5}-){3}[A-Z2-9]{5}\b", answer.content.decode())
    assert (answer.status_code, len(codes)) == (200, 3)
    assert "no-store" in answer["Cache-Control"]
    assert acts() == ["voucher.make"]
    with as_operator():
        assert Voucher.objects.count() == 3
        assert vouchers.redeem(tenant=shop.tenant, code=codes[1], now=now()).amount == 25 * USD // 10
        number = Voucher.objects.get(last_four=codes[2][-4:]).pk
    for address in ("changelist", "change"):
        arguments = [number] if address == "change" else []
        assert codes[0] not in staff.get(reverse(f"admin:billing_voucher_{address}", args=arguments)).content.decode()
    assert send(staff, "voucher", {}, number).status_code == 302
    with as_operator(), pytest.raises(vouchers.WrongCode):
        vouchers.redeem(tenant=shop.tenant, code=codes[2], now=now())


def test_vouchers_that_cannot_be_come_back_with_words(staff: Client) -> None:
    answer = send(staff, "voucher", voucher_values(credit_days="0"))
    assert (answer.status_code, "Credit lasts from 1" in answer.content.decode()) == (200, True)
