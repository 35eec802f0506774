"""Every check of the books is kept: what it saw, how many differences, how long it took."""

from __future__ import annotations

import pytest

from billing import books_history, tasks
from billing.meters import Usage
from billing.models import BooksCheck
from portal.tenancy import as_operator
from tests.billing.world import World, as_role, run


@pytest.fixture
def world(db: None) -> World:
    world = World()
    world.use(Usage(input=10**6))
    world.post()
    return world


def test_it_records_what_a_check_saw(world: World) -> None:
    with as_operator():
        books_history.run(now=world.clock, tenant_id=world.tenant.id)
        check = BooksCheck.objects.get(tenant=world.tenant)
    assert (check.differences, check.progress) == (0, "")
    assert check.finished_at is not None
    (sums,) = check.found["sums"]
    assert sums["a_events"] == sums["d_invoices"] == str(15 * 10**10)


def test_it_records_differences(world: World) -> None:
    with as_role("none"):
        run("UPDATE billing_usagerollup SET cost = cost - 1 WHERE tenant_id = %s", world.tenant.id)
    with as_operator():
        books_history.run(now=world.clock, tenant_id=world.tenant.id)
        check = BooksCheck.objects.get(tenant=world.tenant)
    assert check.differences == len(check.found["differences"]) > 0


def test_a_check_that_was_asked_for_is_made_once(world: World) -> None:
    with as_operator():
        asked = books_history.ask(now=world.clock)
        assert books_history.running(now=world.clock) == asked
        tasks.check_books(check=asked.pk)
        made = books_history.latest()
        assert made == asked
        tasks.check_books(check=asked.pk)
        assert BooksCheck.objects.filter(tenant=None).count() == 1


def test_sums_of_all_tenants_are_kept_of_the_last_check_alone(world: World) -> None:
    with as_operator():
        books_history.run(now=world.clock)
        books_history.run(now=world.clock)
        first, second = BooksCheck.objects.filter(tenant=None).order_by("id")
    assert "sums" not in first.found
    assert second.found["sums"]
