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
    """What one process knows of them all.

    Where an upstream has several credentials, one that it refuses for sure rests for all routes, and one that it
    refuses or holds back at a route rests there. The only credential is not told from its route.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        health.on_factors = self._weighed
        self._order = Order()
        self._routes = breakers.of_routes()
        self._credentials = breakers.of_credentials()
        self._turn = 0

    def obvious(self, candidate: Candidate) -> Attempt | None:
        """The only attempt there can be: a model's one route, which does not fail, with its one credential."""
        routes = candidate.entry.routes
        if len(routes) != 1:
            return None
        route = routes[0]
        credentials = route.target.credentials
        if len(credentials) != 1 or route.id in self._routes.states:
            return None
        return Attempt(candidate, route, credentials[0])

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
            if len(credentials) > 1 and not self._allows(route, credential):
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
                credential = self._least_bad_credential(route)
                if credential is not None:
                    return Attempt(candidate, route, credential)
                self._routes.left(route.id)
        return None

    def _least_bad_credential(self, route: Route) -> Credential | None:
        if len(route.target.credentials) == 1:
            return route.target.credentials[0]
        resting: dict[int, Credential] = {}
        for credential in route.target.credentials:
            marks = [mark for mark in (credential.mark, narrow(route, credential)) if mark in self._credentials.states]
            if not marks:
                return credential
            resting[marks[0]] = credential
        mark = self._credentials.least_bad(resting)
        return None if mark is None else resting[mark]

    def _allows(self, route: Route, credential: Credential) -> bool:
        if not self._credentials.allows(credential.mark):
            return False
        if self._credentials.allows(narrow(route, credential)):
            return True
        self._credentials.left(credential.mark)
        return False

    def wait_ms(self, candidates: tuple[Candidate, ...]) -> int:
        """Until something of what could answer may be tried again."""
        routes = [route for candidate in candidates for route in candidate.entry.routes]
        return min((self._route_wait_ms(route) for route in routes), default=1000)

    def _route_wait_ms(self, route: Route) -> int:
        wait = self._routes.wait_ms((route.id,))
        if len(route.target.credentials) == 1:
            return wait
        waits = (
            self._credentials.wait_ms((credential.mark, narrow(route, credential)))
            for credential in route.target.credentials
        )
        return max(wait, min(waits))

    def routes_at_rest(self) -> set[int]:
        """The routes that calls are kept off."""
        return {route_id for route_id, state in self._routes.states.items() if state.rests_until}

    def succeeded(self, attempt: Attempt) -> None:
        """An answer came, or the beginning of one."""
        if self._routes.states:
            self._routes.succeeded(attempt.route.id)
        if self._credentials.states:
            self._credentials.succeeded(attempt.credential.mark)
            self._credentials.succeeded(narrow(attempt.route, attempt.credential))

    def failed(self, attempt: Attempt, failure: Failure, tenant_id: int) -> None:
        """What a failure says of the route and of the credential; a fault of the client's says that they work."""
        route, credential = attempt.route, attempt.credential
        self._health.failed(route.id, failure.kind)
        if failure.kind is Kind.REFUSED:
            if failure.status:
                self.succeeded(attempt)
            else:
                self.left(attempt)
            return
        if failure.kind is Kind.AUTH:
            self._health.refused(route.target, credential, failure.status)
        theirs = failure.kind in NOT_THE_CALLERS and (failure.kind is not Kind.AUTH or failure.certain)
        caller = None if theirs else tenant_id
        if len(route.target.credentials) == 1 or not failure.of_credential:
            self._routes.failed(route.id, caller=caller, retry_after_s=failure.retry_after_s)
            self._left_credential(attempt)
            return
        self.left(attempt)
        mark = credential.mark if failure.certain else narrow(route, credential)
        rest = failure.retry_after_s
        if rest is None and failure.kind is Kind.OVERLOADED:
            rest = breakers.REST_S
        self._credentials.failed(mark, caller=caller, retry_after_s=rest)

    def left(self, attempt: Attempt) -> None:
        """An attempt ended, or was not made, without showing anything."""
        self._routes.left(attempt.route.id)
        self._left_credential(attempt)

    def _left_credential(self, attempt: Attempt) -> None:
        if self._credentials.states:
            self._credentials.left(attempt.credential.mark)
            self._credentials.left(narrow(attempt.route, attempt.credential))

    def answered(self, trail: Trail) -> None:
        """The last attempt answered: its route's cache is warm."""
        if trail.key and trail.last is not None:
            self._order.used(trail.key, trail.last.route.id)

    def _weighed(self, factors: Mapping[int, float]) -> None:
        self._order.factors = factors


def narrow(route: Route, credential: Credential) -> int:
    """A credential at one route: limits and permissions are often those of one model, and so is what they refuse."""
    return hash((credential.mark, route.id))
