"""What a caller asks of the gateway itself, in headers: a cap on a call, a run and its budget, patience. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from billing import money
from proxy.errors import BadRequest

MAX_COST, RUN_ID, RUN_BUDGET, TIMEOUT = b"x-max-cost", b"x-run-id", b"x-run-budget", b"x-stainless-timeout"
READ_TIMEOUT = b"x-stainless-read-timeout"
NAMES = frozenset({MAX_COST, RUN_ID, RUN_BUDGET, TIMEOUT, READ_TIMEOUT})

DEMANDING = frozenset({MAX_COST, RUN_ID, RUN_BUDGET})
MOST_USD = Decimal(1_000_000)
MOST_SECONDS = 3600.0

_AMOUNT = re.compile(rb"\d{1,7}(?:\.\d{1,12})?")
_RUN = re.compile(rb"[!-~]{1,128}")
_SECONDS = re.compile(rb"\d{1,6}(?:\.\d{1,6})?")


class Demands(NamedTuple):
    """``max_cost`` and ``run_budget`` in picodollars, None where there is none; ``patience`` in seconds.

    ``silence`` is how long the client waits without a byte: for a whole answer that is all it waits.
    """

    max_cost: int | None = None
    run_id: str = ""
    run_budget: int | None = None
    patience: float = MOST_SECONDS
    silence: float = MOST_SECONDS


NONE = Demands()


def read(headers: Mapping[bytes, bytes], sent: Iterable[tuple[bytes, bytes]] = ()) -> Demands:
    """The demands of a request; raises BadRequest naming the header, also for one that was ``sent`` twice."""
    if headers.keys().isdisjoint(NAMES):
        return NONE
    patience, silence = _patience(headers.get(TIMEOUT, b"")), _patience(headers.get(READ_TIMEOUT, b""))
    if DEMANDING.isdisjoint(headers):
        return Demands(patience=patience, silence=silence)
    only_once(DEMANDING, sent)
    run = headers.get(RUN_ID, b"").strip()
    if run and _RUN.fullmatch(run) is None:
        raise BadRequest("x-run-id takes 1 to 128 visible ASCII characters.", "invalid_value", param="x-run-id")
    budget = _amount(headers, RUN_BUDGET)
    if budget is not None and not run:
        raise BadRequest("x-run-budget needs an x-run-id.", "missing_required_parameter", param="x-run-id")
    return Demands(_amount(headers, MAX_COST), run.decode(), budget, patience, silence)


def only_once(names: Iterable[bytes], sent: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise BadRequest where one of these headers was sent twice: which of the two was meant nobody can tell."""
    given = [name for name, _ in sent]
    for name in names:
        if given.count(name) > 1:
            shown = name.decode()
            raise BadRequest(f"{shown} was sent more than once.", "invalid_value", param=shown)


def _amount(headers: Mapping[bytes, bytes], name: bytes) -> int | None:
    """US dollars with a point, as picodollars."""
    value = headers.get(name)
    if value is None:
        return None
    if _AMOUNT.fullmatch(value.strip()) is None or Decimal(value.strip().decode()) > MOST_USD:
        text = name.decode()
        raise BadRequest(
            f"{text} takes US dollars such as 0.05, at most {MOST_USD}, with up to 12 decimals.",
            "invalid_value",
            param=text,
        )
    return money.parse_usd(value.strip().decode())


@lru_cache(maxsize=256)
def _patience(value: bytes) -> float:
    """How long the SDK waits; what is no number of seconds is what it would be without."""
    value = value.strip()
    seconds = float(value) if _SECONDS.fullmatch(value) else MOST_SECONDS
    return min(seconds, MOST_SECONDS) or MOST_SECONDS
