"""Vouchers: made, redeemed once, and told nothing about when guessed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from billing import books, credits, vouchers
from billing.models import CreditGrant, Voucher, VoucherRedemption
from billing.vouchers import MOST_WRONG, Offer, TooManyGuesses, VoucherProblem, WrongCode
from portal.tenancy import as_operator
from tests.billing.crowd import together
from tests.billing.world import USD, World

DAY = timedelta(days=1)


def code_of(world: World, **options: Any) -> str:
    """A voucher of 5 USD promotional credit."""
    offer = Offer(**{"kind": "promotional", "amount": 5 * USD, "valid_from": world.clock, **options})
    with as_operator():
        ((_voucher, code),) = vouchers.make(offer=offer, number=1, now=world.clock)
    return code


def redeem(world: World, code: str) -> CreditGrant | None:
    """What a tenant gets for a code: None if it is told that the code is wrong."""
    problem = None
    with as_operator():
        try:
            return vouchers.redeem(tenant=world.tenant, code=code, now=world.clock)
        except WrongCode as caught:
            problem = caught
    assert str(problem) == str(WrongCode())
    return None


def test_it_gives_credit_that_lasts_from_its_redemption(prepaid: World) -> None:
    code = code_of(prepaid, credit_days=30, priority=3)
    prepaid.clock += DAY
    grant = redeem(prepaid, f" {code.lower().replace('-', ' ')} ")
    assert grant is not None
    assert (grant.kind, grant.amount, grant.priority, grant.expires_at) == (
        "promotional", 5 * USD, 3, prepaid.clock + 30 * DAY,
    )  # fmt: skip
    assert prepaid.wallet().limit == 105 * USD
    assert prepaid.balance("goodwill") == 5 * USD
    with as_operator():
        assert books.check(tenant_id=prepaid.tenant.id).differences == ()


def test_it_keeps_no_code(prepaid: World) -> None:
    code = code_of(prepaid)
    with as_operator():
        (row,) = Voucher.objects.values()
    kept = " ".join(bytes(value).hex() if isinstance(value, memoryview) else str(value) for value in row.values())
    plain = code.replace("-", "")
    assert plain not in kept
    assert (row["last_four"], len(plain)) == (code[-4:], 20)


@pytest.mark.parametrize(
    "options", [{"valid_from": "later"}, {"valid_until": "now"}, {"withdrawn": True}, {"used": True}, {"twice": True}]
)
def test_whatever_is_wrong_with_a_code_the_answer_is_the_same(prepaid: World, options: dict[str, Any]) -> None:
    dates: dict[str, Any] = {}
    if "valid_from" in options:
        dates["valid_from"] = prepaid.clock + DAY
    if "valid_until" in options:
        dates.update(valid_from=prepaid.clock - DAY, valid_until=prepaid.clock)
    code = code_of(prepaid, most_redemptions=2 if "twice" in options else 1, **dates)
    if "withdrawn" in options:
        with as_operator():
            vouchers.set_active(voucher=Voucher.objects.get(), is_active=False)
    if "used" in options:
        assert redeem(World(mode="prepaid"), code) is not None
    if "twice" in options:
        assert redeem(prepaid, code) is not None
    before = prepaid.wallet().limit
    assert redeem(prepaid, code) is None
    assert prepaid.wallet().limit == before


def test_one_tenant_redeems_a_code_once_and_another_may_too(prepaid: World) -> None:
    code = code_of(prepaid, most_redemptions=2)
    assert redeem(prepaid, code) is not None
    assert redeem(prepaid, code) is None
    assert redeem(World(mode="prepaid"), code) is not None
    assert redeem(World(mode="prepaid"), code) is None


def test_a_tenant_that_pays_by_invoice_uses_no_code_up(world: World) -> None:
    code = code_of(world)
    assert redeem(world, code) is None
    with as_operator():
        assert Voucher.objects.get().redeemed == 0


def test_guessing_is_stopped_for_an_hour_even_for_a_right_code(prepaid: World) -> None:
    code = code_of(prepaid)
    for _guess in range(MOST_WRONG):
        assert redeem(prepaid, vouchers.new_code()) is None
    with as_operator(), pytest.raises(TooManyGuesses):
        vouchers.redeem(tenant=prepaid.tenant, code=code, now=prepaid.clock)
    assert redeem(World(mode="prepaid"), vouchers.new_code()) is None
    prepaid.clock += timedelta(hours=1)
    assert redeem(prepaid, code) is not None


@pytest.mark.parametrize("code", ["", " ", "A", "0" * 20, "é" * 40, "A" * 10_000, "\0"])
def test_odd_codes_are_wrong_codes(prepaid: World, code: str) -> None:
    assert redeem(prepaid, code) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "stolen"}, "paid, promotional"),
        ({"amount": 0}, "more than nothing"),
        ({"priority": 5000}, "priority"),
        ({"valid_until": "same"}, "ends after"),
        ({"credit_days": 0}, "days"),
        ({"most_redemptions": 0}, "redeemed"),
    ],
)
def test_vouchers_that_cannot_be_are_refused_in_words(prepaid: World, options: dict[str, Any], words: str) -> None:
    if "valid_until" in options:
        options = {"valid_until": prepaid.clock}
    with pytest.raises(VoucherProblem, match=words):
        code_of(prepaid, **options)


@pytest.mark.django_db(transaction=True)
def test_a_race_for_the_last_redemption_has_one_winner() -> None:
    worlds = [World(mode="prepaid", credit=0) for _ in range(8)]
    code = code_of(worlds[0], most_redemptions=3)
    found = together([partial(redeem, world, code) for world in worlds])
    assert sum(grant is not None for grant in found) == 3
    with as_operator():
        assert (Voucher.objects.get().redeemed, VoucherRedemption.objects.count()) == (3, 3)
    assert sum(int(world.wallet().limit) for world in worlds) == 15 * USD


@pytest.mark.django_db(transaction=True)
def test_one_tenant_that_redeems_many_times_at_once_redeems_once() -> None:
    world = World(mode="prepaid", credit=0)
    code = code_of(world, most_redemptions=100)
    found = together([partial(redeem, world, code) for _ in range(8)])
    assert sum(grant is not None for grant in found) == 1
    with as_operator():
        assert Voucher.objects.get().redeemed == 1
        assert credits.is_prepaid(world.tenant.id)
    assert world.wallet().limit == 5 * USD
