"""Circuit breakers, for routes and for credentials: what fails rests, then one call tries whether it works again."""

from __future__ import annotations

import time
from collections.abc import Iterable

FAILURES_TO_OPEN = 5
REST_S = 5.0
MOST_REST_S = 60.0
MOST_QUARANTINE_S = 900.0
ALONE_FAILURES, ALONE_S = 5, 2.0
MOST_LEVEL = 16


class State:
    """How one thing has been doing: failures in a row, whose they were, and until when it rests.

    ``told`` is a rest that the upstream asked for.
    """

    __slots__ = ("callers", "failures", "level", "probing", "rests_until", "since", "sure", "told")

    def __init__(self, now: float) -> None:
        self.failures = self.sure = self.level = 0
        self.since = now
        self.rests_until = 0.0
        self.probing = self.told = False
        self.callers: set[int] = set()


class Breaker:
    """Keeps calls off what fails. After a rest one call probes; its success opens it again.

    A caller's own request may be what makes an upstream fail, so that failures of a single caller (a tenant) open
    nothing for the others: there must be two of them, or one that failed for a while in which nobody else succeeded.
    A failure without a caller is no caller's doing.
    """

    __slots__ = ("_failures_to_open", "_growth", "_most_rest_s", "_wary", "states")

    def __init__(
        self,
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        growth: int = 2,
        most_rest_s: float = MOST_REST_S,
        wary: bool = False,
    ) -> None:
        """A ``wary`` one rests shortly after any failure, though the times grow for those that count alone."""
        self._failures_to_open = failures_to_open
        self._growth = growth
        self._most_rest_s = most_rest_s
        self._wary = wary
        self.states: dict[int, State] = {}

    def allows(self, ident: int) -> bool:
        """Whether something may be tried now; taking the single probe of a resting one."""
        state = self.states.get(ident)
        if state is None or not state.rests_until:
            return True
        if state.probing or time.monotonic() < state.rests_until:
            return False
        state.probing = True
        return True

    def least_bad(self, idents: Iterable[int]) -> int | None:
        """Of some that all rest, the one to try all the same, as its probe; None where all must be left alone.

        One that its upstream asked to leave alone is left alone.
        """
        states = ((ident, self.states.get(ident)) for ident in idents)
        found = [(state.rests_until, ident) for ident, state in states if state and not state.probing | state.told]
        if not found:
            return None
        ident = min(found)[1]
        self.states[ident].probing = True
        return ident

    def wait_ms(self, idents: Iterable[int]) -> int:
        """Until when the first of some resting ones rests; a second at least."""
        now = time.monotonic()
        rests = [state.rests_until - now for ident in idents if (state := self.states.get(ident)) is not None]
        return max(1000, int(min(rests, default=1.0) * 1000))

    def succeeded(self, ident: int) -> None:
        """It works."""
        if ident in self.states:
            del self.states[ident]

    def left(self, ident: int) -> None:
        """A call ended without saying how it is: if that was the probe, the next call is."""
        state = self.states.get(ident)
        if state is not None:
            state.probing = False

    def failed(self, ident: int, *, caller: int | None = None, retry_after_s: float | None = None) -> None:
        """It failed; it rests after several failures in a row, or as long as its upstream asked."""
        now = time.monotonic()
        state = self.states.get(ident)
        if state is None:
            state = self.states[ident] = State(now)
        state.failures += 1
        state.probing = False
        if caller is None:
            state.sure += 1
        elif len(state.callers) < 2:
            state.callers.add(caller)
        if retry_after_s is not None:
            state.told = True
            state.rests_until = now + min(retry_after_s, MOST_REST_S)
        elif self._counts(state, now):
            rest = REST_S * float(self._growth) ** min(state.level, MOST_LEVEL)
            state.level += 1
            state.told = False
            state.rests_until = now + min(rest, self._most_rest_s)
        elif self._wary:
            state.told = False
            state.rests_until = now + REST_S

    def _counts(self, state: State, now: float) -> bool:
        """Whether there were enough failures, and not one caller's alone."""
        if max(state.sure, state.failures if len(state.callers) > 1 else 0) >= self._failures_to_open:
            return True
        return state.failures >= ALONE_FAILURES and now - state.since >= ALONE_S


def of_routes() -> Breaker:
    """For routes: five failures, a rest of 5 s, and twice as long each time, up to a minute."""
    return Breaker()


def of_credentials() -> Breaker:
    """For credentials: one refusal, a rest of 5 s, and four times as long each time, up to a quarter of an hour."""
    return Breaker(failures_to_open=1, growth=4, most_rest_s=MOST_QUARANTINE_S, wary=True)


class RetryBudget:
    """Retries are at most a tenth of calls, so that a failing upstream is not hit twice as hard.

    Each tenant has a budget of its own for each model: calls that fail must not use up what lets other calls fail over.
    """

    SHARE = 0.1
    MOST_SAVED = 10.0
    MOST_KEPT = 10_000

    __slots__ = ("spent",)

    def __init__(self) -> None:
        self.spent: dict[tuple[int, str], float] = {}

    def earn(self, tenant_id: int, model: str) -> None:
        """A call was made."""
        spent = self.spent.pop((tenant_id, model), 0.0) - self.SHARE
        if spent > 0:
            self.spent[tenant_id, model] = spent

    def spend(self, tenant_id: int, model: str) -> bool:
        """Whether one more retry fits."""
        spent = self.spent.pop((tenant_id, model), 0.0) + 1
        fits = spent <= self.MOST_SAVED
        self.spent[tenant_id, model] = spent if fits else spent - 1
        if len(self.spent) > self.MOST_KEPT:
            del self.spent[next(iter(self.spent))]
        return fits
