"""The operators' pages of re-ratings: asked for, shown, decided."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing import catalog, reratings, tasks
from billing.meters import Usage
from billing.models import Charge, Rerating
from billing.periods import last_ended
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from tests.billing.world import World
from tests.portal.cast import signed_in


def staff(name: str = "one") -> Client:
    return signed_in(User.objects.create_superuser(f"{name}@tollgate.test", None))


@pytest.fixture
def world(db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    start = last_ended(now(), "Europe/Paris").start
    monkeypatch.setattr("tests.billing.world.START", start)
    world = World()
    world.use(Usage(input=10**6))
    return world


def ask(client: Client, world: World, **values: str) -> Any:
    period = last_ended(now(), "Europe/Paris")
    with as_operator():
        book = catalog.default_book().pk
    form = {
        "tenant": "", "book": book, "models": world.model, "starts_at": f"{period.start:%Y-%m-%d %H:%M}",
        "ends_at": f"{period.end:%Y-%m-%d %H:%M}", "basis": "share", "percent": "-10", "prices": "", "note": "agreed",
    }  # fmt: skip
    return client.post(reverse("admin:billing_rerating_add"), {**form, **values}, follow=True)


def address() -> str:
    with as_operator():
        return reverse("admin:billing_rerating_change", args=[Rerating.objects.latest("id").pk])


def work() -> None:
    with as_operator():
        tasks.rerate()


def charged() -> list[int]:
    with as_operator():
        return [int(exact) for exact in Charge.objects.filter(kind="rerated").values_list("exact", flat=True)]


def test_it_is_counted_shown_and_then_charged(world: World) -> None:
    client = staff()
    assert "is being counted" in ask(client, world).content.decode()
    work()
    page = client.get(address()).content.decode()
    assert "Nothing is charged yet" in page
    assert "-0.015" in page
    assert world.tenant.slug in page
    assert charged() == []
    assert "0 of" in client.post(address(), {"confirm": "1"}, follow=True).content.decode()
    work()
    assert "Charged, decided by" in client.get(address()).content.decode()
    assert charged() == [-15_000 * 10**6]
    with as_operator():
        acts = list(
            AuditEntry.objects.filter(action__startswith="rerating.").order_by("id").values_list("action", flat=True)
        )
    assert acts == ["rerating.preview", "rerating.running"]
    assert client.get(reverse("admin:billing_rerating_changelist")).status_code == 200


def test_under_four_eyes_another_operator_approves_it_on_its_page(world: World, settings: Any) -> None:
    settings.FOUR_EYES = True
    one, other = staff(), staff("other")
    ask(one, world, basis="typed", prices=f"{world.model}: input 0.20, output 0.60")
    work()
    assert "Waits for another operator" in one.post(address(), {"confirm": "1"}, follow=True).content.decode()
    assert "another operator" in one.post(address(), {"approve": "1"}, follow=True).content.decode()
    assert charged() == []
    other.post(address(), {"approve": "1"})
    work()
    assert charged() == [50_000 * 10**6]


def test_it_is_dropped_with_a_reason(world: World) -> None:
    client = staff()
    ask(client, world, basis="admitted")
    work()
    assert "Say why" in client.post(address(), {"reject": "1"}, follow=True).content.decode()
    assert "a mistake" in client.post(address(), {"reject": "1", "reason": "a mistake"}, follow=True).content.decode()
    with as_operator():
        assert reratings.unfinished() == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"models": "nobody"}, "Never priced: nobody"),
        ({"basis": "typed", "prices": "x"}, "is no line such as"),
        ({"basis": "typed", "prices": "x: speed 1"}, "is not a token class"),
        ({"basis": "typed", "prices": ""}, "being counted"),
        ({"basis": "typed", "prices": "x: input 1, output 1"}, "Every model needs its new prices"),
        ({"ends_at": "2099-01-01 00:00"}, "is past"),
    ],
)
def test_it_says_what_is_wrong(world: World, values: dict[str, str], says: str) -> None:
    assert says in ask(staff(), world, **values).content.decode()


def test_who_may_not_publish_prices_sees_nothing(world: World) -> None:
    ask(staff(), world)
    clerk = signed_in(User.objects.create_user("clerk@tollgate.test", None, is_staff=True))
    assert clerk.get(address()).status_code == 404
    assert clerk.get(reverse("admin:billing_rerating_add")).status_code == 403
