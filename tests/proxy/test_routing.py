"""Which route and credential a call goes to, and what rests after failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from proxy import breakers, live, routing
from proxy.admission import Candidate
from proxy.breakers import Breaker, RetryBudget
from proxy.dialects.shape import FailureMessage
from proxy.directory import NO_RULES, Credential, ModelEntry, Route, Target
from proxy.health import Health
from proxy.http_client import NotConnected
from proxy.live import LiveStream, LiveStreams
from proxy.routing import Order, cache_key, factor
from proxy.standing import Attempt, Sought, Standing, Trail
from proxy.upstream import failure_of, judge

KEYS = tuple(cache_key(1, "m", f"session-{number}") for number in range(2_000))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("proxy.breakers.time.monotonic", lambda: now[0])
    return now


def route(number: int, priority: int = 1, weight: int = 1, credentials: int = 1) -> Route:
    keys = tuple(Credential(place, f"000{place}", (), 10 * number + place) for place in range(1, credentials + 1))
    target = Target(number, "u", "openai", "http://u", (), NO_RULES, 1, 1, 1, 1, None, keys)
    return Route(number, target, "m", priority, weight)


def candidate(*routes: Route, name: str = "m") -> Candidate:
    entry = ModelEntry(name, 0, 1000, 100, NO_RULES, (), routes, MappingProxyType({}))
    price: Any = None  # no matter here
    return Candidate(entry, price, 100, 0)


# -- breakers


def test_a_breaker_opens_after_failures_in_a_row_and_probes_once(clock: list[float]) -> None:
    breaker = Breaker()
    for _ in range(breakers.FAILURES_TO_OPEN - 1):
        breaker.failed(1)
        assert breaker.allows(1)
    breaker.failed(1)
    assert not breaker.allows(1)
    assert breaker.allows(2)
    clock[0] += breakers.REST_S
    assert [breaker.allows(1) for _ in range(3)] == [True, False, False]
    breaker.failed(1)
    clock[0] += breakers.REST_S
    assert not breaker.allows(1)  # twice as long
    clock[0] += breakers.REST_S
    assert breaker.allows(1)
    breaker.succeeded(1)
    assert all(breaker.allows(1) for _ in range(3))


def test_a_breaker_counts_failures_in_a_row_alone(clock: list[float]) -> None:
    breaker = Breaker()
    for _ in range(3 * breakers.FAILURES_TO_OPEN):
        breaker.failed(1)
        breaker.succeeded(1)
    assert breaker.allows(1)


def test_a_route_rests_as_long_as_its_upstream_asked(clock: list[float]) -> None:
    breaker = Breaker()
    breaker.failed(1, retry_after_s=7)
    assert not breaker.allows(1)
    assert breaker.wait_ms((1,)) == 7_000
    assert breaker.least_bad((1,)) is None
    clock[0] += 7
    assert breaker.allows(1)
    breaker.failed(2, retry_after_s=10**6)
    clock[0] += breakers.MOST_REST_S
    assert breaker.allows(2)


def test_one_callers_failures_open_nothing_for_the_others(clock: list[float]) -> None:
    breaker = Breaker()
    for _ in range(10 * breakers.FAILURES_TO_OPEN):
        breaker.failed(1, caller=7)
    assert breaker.allows(1)
    breaker.failed(1, caller=8)
    assert not breaker.allows(1)


def test_one_callers_failures_open_where_nobody_succeeds_for_a_while(clock: list[float]) -> None:
    breaker = Breaker()
    for _ in range(breakers.ALONE_FAILURES):
        assert breaker.allows(1)
        breaker.failed(1, caller=7)
        clock[0] += breakers.ALONE_S / breakers.ALONE_FAILURES * 1.3
    assert not breaker.allows(1)


def test_quarantine_grows_with_every_refusal(clock: list[float]) -> None:
    breaker = breakers.of_credentials()
    for rest in (5, 20, 80, 320, 900, 900):
        breaker.failed(1)
        clock[0] += rest - 0.1
        assert not breaker.allows(1)
        clock[0] += 0.2
        assert breaker.allows(1)


def test_retries_are_a_tenth_of_calls() -> None:
    budget = RetryBudget()
    assert sum(budget.spend(1, "model") for _ in range(100)) == RetryBudget.MOST_SAVED
    for _ in range(100):
        budget.earn(1, "model")
    assert 9 <= sum(budget.spend(1, "model") for _ in range(100)) <= 10


def test_no_caller_and_no_model_uses_up_the_retries_of_another() -> None:
    budget = RetryBudget()
    while budget.spend(1, "model"):
        pass
    assert budget.spend(2, "model")
    assert budget.spend(1, "another")
    assert not budget.spend(1, "model")


def test_retries_of_long_ago_are_forgotten() -> None:
    budget = RetryBudget()
    for tenant_id in range(RetryBudget.MOST_KEPT + 10):
        budget.spend(tenant_id, "model")
    assert len(budget.spent) == RetryBudget.MOST_KEPT
    for _ in range(11):
        budget.earn(RetryBudget.MOST_KEPT, "model")
    assert (RetryBudget.MOST_KEPT, "model") not in budget.spent


# -- the order of routes


def test_routes_go_by_priority_and_share_by_weight() -> None:
    routes = (route(1, 2), route(2, 1, 9), route(3, 1, 1), route(4, 3))
    orders = [[each.id for each in Order().routes(routes)] for _ in range(2_000)]
    assert all(sorted(order) == [1, 2, 3, 4] and order[2:] == [1, 4] for order in orders)
    first = Counter(order[0] for order in orders)
    assert 0.85 < first[2] / 2_000 < 0.95
    assert list(Order().routes(())) == []


def test_a_key_draws_the_same_route_in_every_process_and_keys_share_by_weight() -> None:
    routes = (route(1, 1, 9), route(2), route(3, 2))
    drawn = [[each.id for each in Order().routes(routes, key)] for key in KEYS]
    assert drawn == [[each.id for each in Order().routes(routes[::-1], key)] for key in KEYS]
    assert all(order[2] == 3 for order in drawn)
    assert 0.86 < sum(order[0] == 1 for order in drawn) / len(KEYS) < 0.94


def test_a_route_that_comes_takes_its_share_of_keys_and_moves_no_others() -> None:
    few, more = (route(1), route(2)), (route(1), route(2), route(3))
    before = [next(Order().routes(few, key)).id for key in KEYS]
    after = [next(Order().routes(more, key)).id for key in KEYS]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {3}
    assert 0.28 < len(moved) / len(KEYS) < 0.39


def test_a_key_stays_where_its_cache_is_warm_within_the_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("proxy.routing.time.monotonic", lambda: now[0])
    routes = (route(1), route(2), route(3, 2))
    order = Order()
    drawn = next(order.routes(routes, KEYS[0])).id
    other = 3 - drawn
    order.used(KEYS[0], other)
    assert [each.id for each in order.routes(routes, KEYS[0])] == [other, drawn, 3]
    order.used(KEYS[0], 3)
    assert [each.id for each in order.routes(routes, KEYS[0])] == [drawn, other, 3]
    order.used(KEYS[0], other)
    now[0] += routing.WARM_S
    assert next(order.routes(routes, KEYS[0])).id == drawn


def test_what_is_remembered_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MOST_WARM", 10)
    order = Order()
    for key in KEYS:
        order.used(key, 1)
    assert len(order._warm) == 10


def test_keys_of_two_tenants_are_two_keys() -> None:
    assert cache_key(1, "m", "chat") != cache_key(2, "m", "chat") != cache_key(2, "n", "chat")


def test_a_route_that_often_fails_gets_less_but_never_nothing() -> None:
    assert [factor(100, good) for good in (100, 90, 80, 50, 0)] == [1, 1, 0.5, 0.25, routing.NOT_LESS]
    assert factor(routing.LEAST_CALLS - 1, 0) == 1
    order = Order()
    order.factors = {2: routing.NOT_LESS}
    firsts = Counter(next(order.routes((route(1), route(2)))).id for _ in range(2_000))
    assert 0.05 < firsts[2] / 2_000 < 0.14


# -- credentials, and what is tried after what


class Walk:
    """Attempts of calls whose outcome is decided here: what is not named in ``failing`` answers."""

    def __init__(self) -> None:
        self.standing = Standing(Health())
        self.failing: dict[tuple[int, int], Any] = {}

    def call(self, *candidates: Candidate, tenant: int = 1) -> list[tuple[int, int]]:
        """The (route, credential) tried one after another."""
        tried = []
        trail = Trail(candidates[0])
        attempts: Iterator[Attempt] = self.standing.attempts(Sought(candidates, tenant), trail)
        for attempt in attempts:
            if attempt.again:
                break
            trail.last = attempt
            place = (attempt.route.id, attempt.credential.id)
            tried.append(place)
            failure = self.failing.get(place)
            if failure is None:
                self.standing.succeeded(attempt)
                break
            trail.failure = failure
            self.standing.failed(attempt, failure, tenant)
        return tried


REFUSED = judge(401, FailureMessage(), None)
FORBIDDEN = judge(403, FailureMessage(), None)
BROKEN = judge(500, FailureMessage(), None)


def test_calls_are_spread_over_credentials() -> None:
    walk, only = Walk(), candidate(route(1, credentials=3))
    assert Counter(walk.call(only)[0][1] for _ in range(30)) == {1: 10, 2: 10, 3: 10}


def test_a_refused_credential_is_left_alone_and_the_next_one_tried(clock: list[float]) -> None:
    walk, models = Walk(), candidate(route(1, credentials=2), route(2, 2))
    walk.failing[1, 1] = REFUSED
    tried = [walk.call(models) for _ in range(10)]
    assert sum((1, 1) in call for call in tried) == 1
    assert all(call[-1] == (1, 2) for call in tried)
    clock[0] += 6
    assert sum((1, 1) in walk.call(models) for _ in range(10)) == 1


def test_the_next_route_is_tried_when_all_credentials_are_refused(clock: list[float]) -> None:
    walk, models = Walk(), candidate(route(1, credentials=2), route(2, 2))
    walk.failing = {(1, 1): REFUSED, (1, 2): REFUSED}
    assert walk.call(models)[2:] == [(2, 1)]
    assert walk.call(models) == [(2, 1)]


def test_too_many_calls_rest_the_credential_where_there_are_others_and_else_the_route(clock: list[float]) -> None:
    walk, models = Walk(), candidate(route(1, credentials=2), route(2, 2))
    walk.failing[1, 1] = judge(429, FailureMessage(), "30")
    tried = [walk.call(models) for _ in range(6)]
    assert sum((1, 1) in call for call in tried) == 1
    assert all(call[-1] == (1, 2) for call in tried)
    alone = Walk()
    alone.failing[1, 1] = judge(429, FailureMessage(), "30")
    one = candidate(route(1))
    assert alone.call(one) == [(1, 1)]
    assert alone.call(one) == []
    assert alone.standing.wait_ms((one,)) == 30_000


def test_one_tenants_requests_do_not_quarantine_a_credential_for_long(clock: list[float]) -> None:
    walk, only = Walk(), candidate(route(1, credentials=2))
    walk.failing[1, 1] = FORBIDDEN
    for _ in range(4):
        while (1, 1) not in walk.call(only, tenant=7):
            pass
        clock[0] += breakers.REST_S
    assert any((1, 1) in walk.call(only, tenant=7) for _ in range(2))


def test_other_failures_go_to_the_next_route_and_not_to_the_next_credential() -> None:
    walk, models = Walk(), candidate(route(1, credentials=3), route(2, 2))
    walk.failing = {(1, place): BROKEN for place in (1, 2, 3)}
    assert [number for number, _ in walk.call(models)] == [1, 2]


def test_the_least_bad_is_tried_by_one_call_at_a_time_where_all_rest(clock: list[float]) -> None:
    walk, only = Walk(), candidate(route(1))
    walk.failing[1, 1] = failure_of(NotConnected())
    for _ in range(breakers.FAILURES_TO_OPEN):
        walk.call(only)
    first = next(walk.standing.attempts(Sought((only,), 1), Trail(only)))
    assert first.route.id == 1
    assert next(walk.standing.attempts(Sought((only,), 1), Trail(only)), None) is None
    walk.standing.succeeded(first)
    assert walk.standing.obvious(only) is not None


def test_a_changed_secret_is_not_held_responsible_for_the_old_one(clock: list[float]) -> None:
    def with_mark(mark: int) -> Candidate:
        keys = (Credential(1, "aaaa", (), mark), Credential(2, "bbbb", (), 9))
        target = Target(1, "u", "openai", "http://u", (), NO_RULES, 1, 1, 1, 1, None, keys)
        return candidate(Route(1, target, "m", 1, 1))

    walk = Walk()
    walk.failing[1, 1] = REFUSED
    for _ in range(2):
        walk.call(with_mark(1))
    assert not any((1, 1) in walk.call(with_mark(1)) for _ in range(4))
    assert any((1, 1) in walk.call(with_mark(2)) for _ in range(2))


def test_what_is_refused_at_one_route_does_not_rest_elsewhere_unless_it_is_the_credential(clock: list[float]) -> None:
    first, second = route(1, credentials=2), route(2)
    second = Route(2, first.target, "m", 1, 1)
    for failure, everywhere in ((FORBIDDEN, False), (judge(429, FailureMessage(), "9"), False), (REFUSED, True)):
        walk = Walk()
        walk.failing[1, 1] = failure
        for _ in range(2):
            walk.call(candidate(first))
        assert not any((1, 1) in walk.call(candidate(first)) for _ in range(4))
        assert any((2, 1) in walk.call(candidate(second)) for _ in range(4)) is not everywhere


def test_the_only_credential_is_not_told_from_its_route(clock: list[float]) -> None:
    walk, only = Walk(), candidate(route(1))
    walk.failing[1, 1] = REFUSED
    tried = [walk.call(only) for _ in range(breakers.FAILURES_TO_OPEN)]
    assert tried == [[(1, 1)]] * breakers.FAILURES_TO_OPEN
    assert walk.standing.routes_at_rest() == {1}


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(Credential(1, "cret", (("authorization", "Bearer secret"),), 5))


# -- what a hang-up leaves running


def test_streams_are_drained_for_a_bounded_time_and_in_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_DRAINING", 2)

    async def scene() -> None:
        streams = LiveStreams()
        left = []
        for number in range(3):
            options: Any = {"send": None, "translator": None}  # nothing is sent
            stream = LiveStream(id=str(number), tenant_id=1, api_key_id=1, drain=True, idle_timeout_s=60, **options)
            stream.task = None
            streams.add(stream)
            streams.client_gone(stream)
            left.append(stream)
        assert [stream.reason is not None for stream in left] == [False, False, True]
        gone_at = left[0].client_gone_at
        await streams._look_after(left[0], gone_at + live.DRAIN_S - 1)
        assert left[0].reason is None
        await streams._look_after(left[0], gone_at + live.DRAIN_S + 1)
        assert left[0].reason is not None

    asyncio.run(scene())
