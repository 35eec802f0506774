"""Processes and servers that die under load: nothing is free, double or lost, and no limit is passed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from proxy import crash
from proxy.journal import BEAT_S
from tests.chaos.load import Load
from tests.conftest import SERVERS, WORKER
from tests.control import Control
from tests.deadline import until
from tests.product import Product
from tests.proxy.town import UPSTREAMS, Town, tenant_toml

pytestmark = pytest.mark.timeout(300)
KINDS = ("echo", "paced-400x10", "paced-20x20")
STREAMS, PER_SECOND = 50, 100
#: Seconds of delivery that a killed process may not have noted: a heartbeat, and writing it on a busy machine.
UNNOTED_S = BEAT_S + 2.0
#: Tokens by which the count of a running stream may be ahead of or behind the upstream's: chunks under way.
UNDER_WAY = 50


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """Two gateway processes on a PostgreSQL of their own.

    Not below pytest's folder: every session of the same user closes that to PostgreSQL's user again.
    """
    variables = {"TOLLGATE_ALLOW_PRIVATE_UPSTREAMS": "1"}
    product = Product(SERVERS, SERVERS.folder / f"chaos-{WORKER}", workers=2, private=True, variables=variables)
    try:
        product.start()
        town = Town(product)
        upstream = UPSTREAMS.split("[[upstreams]]")[1].format(url=product.sandbox.url)
        town.apply("\n".join(["[[upstreams]]" + upstream, *map(product.model_toml, KINDS), tenant_toml("acme")]))
        yield town
        town.close()
    finally:
        product.stop()


@pytest.fixture
def key(town: Town) -> str:
    town.sandbox.clear()
    return town.key()


def swept(town: Town) -> bool:
    town.control.manage("sweep")
    return not town.events("state = 'open'")


def assert_books_balance(town: Town) -> None:
    until(lambda: swept(town), seconds=60)
    assert town.books()["differences"] == []
    assert town.held() == 0
    log = town.product.postgres.log.read_text(errors="replace")
    assert "deadlock" not in log


def compare_with_upstream(town: Town, since: list[dict[str, Any]]) -> dict[str, int]:
    """Our output tokens and the sandbox's of the rows since a moment, and rows it never heard of."""
    charges = town.sandbox.stats()["detail"]
    before = {row["id"] for row in since}
    rows = [row for row in town.events() if row["id"] not in before]
    found = {"ours": 0, "theirs": 0, "rows": len(rows), "unheard": 0}
    for row in rows:
        charge = charges.get(f"req_{row['id'].hex[:24]}")
        found["ours"] += row["completion_tokens"]
        if charge is None:
            found["unheard"] += 1
        else:
            found["theirs"] += charge["completion_tokens"]
    assert {f"req_{row['id'].hex[:24]}" for row in rows} >= set(charges), "the upstream served what we have no row of"
    return found


def test_a_killed_process_loses_at_most_what_it_had_not_noted(town: Town, key: str) -> None:
    before = town.events()
    with Load(town, key, callers=STREAMS, once=True, model="sandbox/paced-400x10", stream=True) as load:
        until(lambda: len(load.chunks) == STREAMS and min(load.chunks.values()) > 20, seconds=30)
        running = len(town.events("state = 'open'"))
        killed = town.product.signal_worker(signal.SIGKILL)
        load.wait()
    until(lambda: killed not in town.product.gateway_pids() and len(town.product.gateway_pids()) == 2, seconds=60)
    assert running == STREAMS
    assert_books_balance(town)
    lost = [row for row in town.events("swept") if row["id"] not in {each["id"] for each in before}]
    assert 0 < len(lost) <= STREAMS
    assert all((row["basis"], row["error_code"]) == ("estimated", "gateway_lost") for row in lost)
    charges = town.sandbox.stats()["detail"]
    bound = PER_SECOND * UNNOTED_S + UNDER_WAY
    for row in lost:
        theirs = charges[f"req_{row['id'].hex[:24]}"]["completion_tokens"]
        assert -UNDER_WAY <= theirs - row["output"] <= bound
    counted = compare_with_upstream(town, before)
    assert counted["rows"] == STREAMS
    assert abs(counted["theirs"] - counted["ours"]) <= len(lost) * bound


def test_sigterm_leaves_nothing_to_the_sweep(town: Town, key: str) -> None:
    before = town.events()
    with Load(town, key, callers=20, once=True, model="sandbox/paced-400x10", stream=True) as load:
        until(lambda: len(load.chunks) == 20, seconds=30)
        town.product.stop_gateway()
        load.wait()
    rows = [row for row in town.events() if row["id"] not in {each["id"] for each in before}]
    assert [(row["state"], row["basis"], row["swept"]) for row in rows] == [("settled", "exact", False)] * 20
    assert all(outcome.text.endswith("data: [DONE]\n\n") for outcome in load.outcomes)
    town.product.start_gateway()
    assert_books_balance(town)
    counted = compare_with_upstream(town, before)
    assert counted["ours"] == counted["theirs"]


def test_without_redis_rates_still_bind_and_money_is_exact(town: Town) -> None:
    town.sandbox.clear()
    free, limited = town.key(), town.key("--rpm", "10")
    before = town.events()
    with Load(town, free, callers=6) as load:
        until(lambda: load.statuses()[200] > 20)
        town.product.redis.kill()
        killed = time.monotonic()
        until(lambda: load.statuses(killed)[200] > 20, seconds=30)
        answers = [town.post(limited).status_code for _ in range(30)]
        assert 1 <= answers.count(200) <= 10
        assert set(answers) == {200, 429}
        town.product.redis.start()
        back = time.monotonic()
        until(lambda: load.statuses(back)[200] > 20, seconds=30)
        fresh = town.key("--rpm", "10")

        def counted_in_redis() -> bool:
            return "x-ratelimit-limit-requests" in town.post(fresh).headers

        until(counted_in_redis)
    assert set(load.statuses()) == {200}
    assert_books_balance(town)
    counted = compare_with_upstream(town, before)
    assert counted["ours"] == counted["theirs"]


def test_without_postgres_nothing_is_admitted_and_what_runs_is_settled_later(town: Town, key: str) -> None:
    before = town.events()
    assert town.post(key).status_code == 200
    with (
        Load(town, key, callers=10, once=True, model="sandbox/paced-400x10", stream=True) as streams,
        Load(town, key, callers=6) as load,
    ):
        until(lambda: len(streams.chunks) == 10 and load.statuses()[200] > 20, seconds=30)
        town.product.postgres.stop()
        stopped = time.monotonic()
        until(lambda: load.statuses(stopped)[503] > 20, seconds=30)
        streams.wait()
        until(lambda: time.monotonic() - stopped > 10, seconds=20)
        began_again = time.monotonic()
        town.product.postgres.start()
        until(lambda: load.statuses(began_again)[200] > 20, seconds=60)
    assert all(outcome.text.endswith("data: [DONE]\n\n") for outcome in streams.outcomes)
    during = [outcome for outcome in load.outcomes if stopped + 0.5 < outcome.began < began_again]
    assert {outcome.status for outcome in during} == {503}
    assert all(outcome.retry_after for outcome in during)
    town.control.stop()
    town.control = Control(town.product)  # its connection went with the server
    assert_books_balance(town)
    counted = compare_with_upstream(town, before)
    assert counted["ours"] == counted["theirs"]
    spools = list((town.product.folder / "home" / "spool").glob("*.jsonl"))
    until(lambda: not [path for path in spools if path.exists()])


def test_overlapping_batches_sweeps_and_posting_never_deadlock(town: Town, key: str) -> None:
    other = town.key(tenant=town.tenant(monthly_budget="100"))
    budget = town.key("--budget", "50")
    before = town.events()
    with (
        Load(town, key, callers=10),
        Load(town, other, callers=10) as load,
        Load(town, budget, callers=10, model="sandbox/paced-20x20", stream=True),
    ):
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            town.control.manage("sweep")
            town.control.manage("post")
        assert load.statuses()[200] > 20
    assert_books_balance(town)
    counted = compare_with_upstream(town, before)
    assert counted["ours"] == counted["theirs"]


def test_a_crash_at_every_named_point_ends_every_row_once(town: Town, key: str) -> None:
    crashed = {point: crash_once(town, key, point) for point in crash.POINTS}
    restart_gateway(town)
    assert_books_balance(town)
    charges = town.sandbox.stats()["detail"]
    assert crashed.pop("before_open_commit") == []
    for point, ids in crashed.items():
        (row,) = town.events("id = ANY (%s)", ids)
        served = f"req_{row['id'].hex[:24]}" in charges
        assert served == (point not in ("after_open_commit", "before_upstream")), point
        ended = (row["state"], row["basis"], row["swept"], row["output"])
        exact = point == "after_settle_commit"
        assert ended == ("settled", "exact" if exact else "estimated", not exact, 3 if exact else 0), point
        assert exact or row["input"] == row["input_estimate"]
    assert len(charges) == len(crash.POINTS) - 3


def crash_once(town: Town, key: str, point: str) -> list[object]:
    """Let one call run into a crash point; returns the ids of the rows it left."""
    before = {row["id"] for row in town.events()}
    restart_gateway(town, CRASH_AT=point)
    pids = town.product.gateway_pids()
    with Load(town, key, callers=1, once=True, text="one two three") as load:
        load.wait()
        until(lambda: not all(map(alive, pids)))
    town.product.kill_gateway()
    answered = {200} if point == "after_settle_commit" else {0, 200} if point == "before_settle_commit" else {0}
    assert load.outcomes[0].status in answered, point
    return [row["id"] for row in town.events() if row["id"] not in before]


def restart_gateway(town: Town, **variables: str) -> None:
    town.product.kill_gateway()
    town.product.more.pop("CRASH_AT", None)
    town.product.more.update(variables)
    town.product.start_gateway()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"
