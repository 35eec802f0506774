"""Prices change by new versions only, and never reach back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import catalog
from billing.catalog import PriceProblem
from billing.meters import Usage
from billing.models import Price, PriceBook
from portal.tenancy import as_operator
from tests.billing.world import PRICES, ROLES, World, as_role, run

HOURS = st.integers(-48, 48)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(HOURS, st.integers(1, 3), st.integers(0, 5)), max_size=12))
def test_invariant_4_price_versions_never_overlap_whatever_is_published(
    world: World, changes: list[tuple[int, int, int]]
) -> None:
    model = world.model + str(changes)[:150]
    with as_operator():
        book = catalog.default_book()
        for hours, number, later in changes:
            moment = world.clock + timedelta(hours=hours)
            prices = {"input": number, "output": number}
            try:
                catalog.publish(
                    book=book, model=model, prices=prices, effective_from=moment + timedelta(hours=later), now=moment
                )
            except PriceProblem:
                continue
        versions = list(Price.objects.filter(book=book, model=model).order_by("effective_from"))
    for earlier, following in pairwise(versions):
        assert earlier.effective_to is not None
        assert earlier.effective_to <= following.effective_from


def test_invariant_4_the_database_refuses_an_overlap_whoever_writes_it(world: World) -> None:
    with as_operator():
        row = Price.objects.get(pk=world.price.id)
        row.pk = None
        row.effective_from += timedelta(hours=1)
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save(force_insert=True)


def test_invariant_4_publishing_in_plain_words_refuses_the_past_and_what_is_agreed(world: World) -> None:
    hour = timedelta(hours=1)
    with pytest.raises(PriceProblem, match="past"):
        world.publish({"input": 9, "output": 9}, world.clock - hour)
    world.publish({"input": 9, "output": 9}, world.clock + hour)
    with pytest.raises(PriceProblem, match="already published"):
        world.publish({"input": 8, "output": 8}, world.clock + hour)
    with pytest.raises(PriceProblem, match="already published"):
        world.publish({"input": 8, "output": 8}, world.clock)


def test_invariant_4_a_hole_inside_a_contract_is_refused(world: World) -> None:
    with as_operator():
        Price.objects.filter(pk=world.price.id).update(effective_to=world.clock + timedelta(days=1))
    with pytest.raises(PriceProblem, match="no price from"):
        world.publish({"input": 9, "output": 9}, world.clock + timedelta(days=2))
    with pytest.raises(PriceProblem, match="ends only"):
        world.publish({"input": 9, "output": 9}, world.clock + timedelta(hours=2))
    assert world.publish({"input": 9, "output": 9}, world.clock + timedelta(days=1)).input == 9


def test_publishing_the_same_prices_changes_nothing(world: World) -> None:
    world.clock += timedelta(hours=1)
    assert world.publish(PRICES).id == world.price.id
    assert world.publish({**PRICES, "reasoning": 1}).id != world.price.id


@pytest.mark.parametrize(
    "prices",
    [{"input": 1}, {"output": 1}, {"input": -1, "output": 1}, {"input": 1, "output": 1, "speed": 1},
     {"input": True, "output": 1}, {"input": 1.0, "output": 1}, {"input": 10**13, "output": 1}],
)  # fmt: skip
def test_prices_that_are_none_are_refused_in_words(world: World, prices: dict[str, int]) -> None:
    with pytest.raises(PriceProblem):
        world.publish(prices)


@pytest.mark.parametrize("role", ROLES)
def test_invariant_5_a_stored_price_cannot_be_changed(world: World, role: str) -> None:
    with pytest.raises(DatabaseError, match=r"never changed|permission denied"), as_role(role):
        run("UPDATE billing_price SET input = 1 WHERE id = %s", world.price.id)


@pytest.mark.parametrize("end", [None, "2099-01-01T00:00:00Z"])
def test_invariant_5_the_end_of_a_stored_price_is_set_once(world: World, end: str | None) -> None:
    world.publish({"input": 9, "output": 9}, world.clock + timedelta(days=1))
    with pytest.raises(DatabaseError, match="never changed"), as_role("tollgate_operator"):
        run("UPDATE billing_price SET effective_to = %s WHERE id = %s", end, world.price.id)


def test_invariant_5_a_price_change_changes_no_stored_event_and_no_running_call(world: World) -> None:
    usage = Usage(input=1000, output=10)
    done = world.use(usage)
    running = world.opening()
    world.open([running])
    before, old = world.event(done).cost, world.price
    world.clock += timedelta(hours=1)
    world.price = world.publish({"input": 1, "output": 1})
    world.settle([world.ending(running, usage, price=old)])
    assert world.event(done).cost == world.event(running).cost == before
    assert world.event(running).price_id == old.id
    assert world.event(world.use(usage)).cost == 1010
    world.post()
    with as_operator():
        assert catalog.versions_by_id([old.id])[old.id] == replace(old, effective_to=world.clock)


def test_a_price_is_published_at_most_a_year_ahead(world: World) -> None:
    world.clock += timedelta(hours=1)
    far = world.clock + timedelta(days=367)
    with as_operator(), pytest.raises(PriceProblem, match="a year ahead"):
        catalog.publish(
            book=catalog.default_book(),
            model=world.model,
            prices={"input": 9, "output": 9},
            effective_from=far,
            now=world.clock,
        )
    assert world.publish({"input": 9, "output": 9}).input == 9


def test_a_tenants_own_book_stands_beside_the_default_one(world: World) -> None:
    with as_operator():
        own = PriceBook.objects.create(tenant=world.tenant, name="Own")
        catalog.publish(
            book=own, model=world.model, prices={"input": 3, "output": 3}, effective_from=world.clock, now=world.clock
        )
        found = catalog.price_list(own, world.model).at(world.clock)
        assert found
        assert found.input == 3
        assert catalog.price_list(catalog.default_book(), world.model).at(world.clock) == world.price
