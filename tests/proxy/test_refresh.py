"""Which upstreams the loader lets be called, when names resolve, do not, or take too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from proxy import refresh
from proxy.addresses import AddressProblem, Unresolvable
from proxy.directory import Directory
from proxy.refresh import Refresher

UPSTREAMS = [{"id": n, "name": name, "base_url": f"https://{name}/v1"} for n, name in enumerate(("a", "b"), 1)]


def refresher(check: Callable[[str], None]) -> Refresher:
    return Refresher(
        "postgresql://nowhere",
        Directory(),
        unseal=lambda *_: "",
        check_address=check,
        on_revoked=lambda *_: None,
    )


class Names:
    """What happens to each name: nothing, or an error."""

    def __init__(self) -> None:
        self.problems: dict[str, Exception] = {}

    def check(self, base_url: str) -> None:
        if base_url in self.problems:
            raise self.problems[base_url]


async def test_a_name_that_stops_resolving_takes_no_upstream_away() -> None:
    names = Names()
    names.problems["https://b/v1"] = Unresolvable("b cannot be resolved from here.")
    loader = refresher(names.check)
    assert await loader.refused_upstreams(UPSTREAMS) == {2}
    names.problems["https://a/v1"] = names.problems.pop("https://b/v1")
    assert await loader.refused_upstreams(UPSTREAMS) == set()


async def test_a_name_that_leads_elsewhere_takes_its_upstream_away_until_it_is_well_again() -> None:
    names = Names()
    loader = refresher(names.check)
    assert await loader.refused_upstreams(UPSTREAMS) == set()
    for problem in (AddressProblem("a leads to 10.0.0.1"), Unresolvable("a cannot be resolved from here.")):
        names.problems["https://a/v1"] = problem
        assert await loader.refused_upstreams(UPSTREAMS) == {1}
    names.problems.clear()
    assert await loader.refused_upstreams(UPSTREAMS) == set()


async def test_slow_names_do_not_keep_notices_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "RESOLVE_S", 0.05)
    ended = threading.Event()

    def check(base_url: str) -> None:
        ended.wait(30)

    loader = refresher(check)
    try:
        rows: list[Any] = [*UPSTREAMS, {"id": 3, "name": "c", "base_url": "https://c/v1"}]
        assert await loader.refused_upstreams(rows) == {1, 2, 3}
    finally:
        ended.set()
