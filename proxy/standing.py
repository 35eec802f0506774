"""How routes and credentials stand: which may be tried for a call, in which order, and what each attempt shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from proxy import breakers
from proxy.admission import Candidate
from proxy.directory import Credential, Route
from proxy.health import Health
from proxy.routing import Order, cache_key
from proxy.upstream import NOT_THE_CALLERS, Failure, Kind


class Attempt(NamedTuple):
    """One route, with one credential, to try for one of the models that may answer; ``again`` if once more."""

    candidate: Candidate
    route: Route
    credential: Credential
    again: bool = False


class Sought(NamedTuple):
    """For whom attempts are sought: the models that may answer, and what the caller says belongs together."""

    candidates: tuple[Candidate, ...]
    tenant_id: int
    session: object = b""


class Trail:
    """How far the attempts of one call have come: the model, the last attempt and how it failed, its cache's key."""

    __slots__ = ("candidate", "failure", "key", "last")

    def __init__(self, candidate: Candidate, last: Attempt | None = None, failure: Failure | None = None) -> None:
        self.candidate = candidate
        self.failure = failure
        self.last = last
        self.key = b""


class Standing:
    """What one process knows of them all."""

    def __init__(self, health: Health) -> None:
        self._health = health
        health.on_factors = self._weighed
        self._order = Order()
        self._routes = breakers.of_routes()
        self._credentials = breakers.of_credentials()
        self._turn = 0

    def obvious(self, candidate: Candidate) -> Attempt | None:
        """The only attempt there can be: a model's one route, with its one credential, neither of them in trouble."""
        routes = candidate.entry.routes
        if len(routes) != 1:
            return None
        route = routes[0]
        credentials = route.target.credentials
        if len(credentials) != 1 or route.id in self._routes.states:
            return None
        credential = credentials[0]
        if credential.mark in self._credentials.states:
            return None
        return Attempt(candidate, route, credential)

    def attempts(self, sought: Sought, trail: Trail) -> Iterator[Attempt]:
        """What may be tried now, each found when the one before has failed; at last the last one once more.

        The routes of the model that was asked for come first, then those of its fallbacks. Where all of them rest,
        the least bad one is tried, by one call at a time.
        """
        first = trail.last
        for candidate in sought.candidates:
            entry = candidate.entry
            several = sought.session and len(entry.routes) > 1
            trail.key = cache_key(sought.tenant_id, entry.name, sought.session) if several else b""
            for route in self._order.routes(entry.routes, trail.key):
                if first is None or route is not first.route:
                    yield from self._on(route, candidate, trail)
        if trail.last is None:
            if (attempt := self._least_bad(sought.candidates)) is not None:
                yield attempt
        else:
            yield trail.last._replace(again=True)

    def _on(self, route: Route, candidate: Candidate, trail: Trail) -> Iterator[Attempt]:
        """A route's credentials in turn: another one only where the failure was the credential's."""
        credentials = route.target.credentials
        self._turn += 1
        for place in range(len(credentials)):
            credential = credentials[(self._turn + place) % len(credentials)]
            if not self._routes.allows(route.id):
                return
            if not self._credentials.allows(credential.mark):
                self._routes.left(route.id)
                continue
            yield Attempt(candidate, route, credential)
            if trail.failure is None or not trail.failure.of_credential:
                return

    def _least_bad(self, candidates: tuple[Candidate, ...]) -> Attempt | None:
        """Of what rests, the first that may be tried before its time."""
        for candidate in candidates:
            for route in candidate.entry.routes:
                if route.id in self._routes.states and self._routes.least_bad((route.id,)) is None:
                    continue
                credentials = {credential.mark: credential for credential in route.target.credentials}
                free = next((mark for mark in credentials if mark not in self._credentials.states), None)
                mark = self._credentials.least_bad(credentials) if free is None else free
                if mark is not None:
                    return Attempt(candidate, route, credentials[mark])
                self._routes.left(route.id)
        return None

    def wait_ms(self, candidates: tuple[Candidate, ...]) -> int:
        """Until something of what could answer may be tried again."""
        routes = [route for candidate in candidates for route in candidate.entry.routes]
        return min((self._route_wait_ms(route) for route in routes), default=1000)

    def _route_wait_ms(self, route: Route) -> int:
        wait = self._routes.wait_ms((route.id,))
        marks = [credential.mark for credential in route.target.credentials]
        if any(mark not in self._credentials.states for mark in marks):
            return wait
        return max(wait, self._credentials.wait_ms(marks))

    def succeeded(self, attempt: Attempt) -> None:
        """An answer came, or the beginning of one."""
        if self._routes.states:
            self._routes.succeeded(attempt.route.id)
        if self._credentials.states:
            self._credentials.succeeded(attempt.credential.mark)

    def failed(self, attempt: Attempt, failure: Failure, tenant_id: int) -> None:
        """What a failure says of the route and of the credential; a fault of the client's says that they work."""
        route, credential = attempt.route, attempt.credential
        self._health.failed(route.id, failure.kind)
        if failure.kind is Kind.REFUSED:
            if failure.status:
                self.succeeded(attempt)
            else:
                self.left(attempt)
        elif failure.kind is Kind.AUTH:
            self._routes.left(route.id)
            self._credentials.failed(credential.mark, caller=None if failure.certain else tenant_id)
            self._health.refused(route.target, credential, failure.status)
        elif failure.of_credential and len(route.target.credentials) > 1:
            self._routes.left(route.id)
            self._credentials.failed(credential.mark, retry_after_s=failure.retry_after_s)
        else:
            caller = None if failure.kind in NOT_THE_CALLERS else tenant_id
            self._routes.failed(route.id, caller=caller, retry_after_s=failure.retry_after_s)
            self._credentials.left(credential.mark)

    def left(self, attempt: Attempt) -> None:
        """An attempt ended, or was not made, without showing anything."""
        self._routes.left(attempt.route.id)
        self._credentials.left(attempt.credential.mark)

    def answered(self, trail: Trail) -> None:
        """The last attempt answered: its route's cache is warm."""
        if trail.key and trail.last is not None:
            self._order.used(trail.key, trail.last.route.id)

    def _weighed(self, factors: Mapping[int, float]) -> None:
        self._order.factors = factors
