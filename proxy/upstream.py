"""Calls to upstreams over pooled connections, and what their failures mean for the client and for the other routes."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from proxy.addresses import AddressProblem
from proxy.dialects.shape import FailureMessage, MalformedAnswer, UpstreamCall
from proxy.directory import Credential, Target
from proxy.errors import ODDITIES, BadRequest, GatewayError, Unavailable, unreadable
from proxy.http_client import ClientProblem, Connection, NotConnected, Pool, TimedOut

logger = logging.getLogger(__name__)

FILTERS = frozenset({"content_policy", "content_policy_violation", "moderation_blocked", "data_inspection_failed"})
"""What upstreams call it when their filter refuses a prompt."""
MOST_HEADS = 1000
OPERATORS = frozenset({"invalid_api_key", "insufficient_quota"})
"""Codes of what is wrong between the operator and the upstream, whatever the status they come with."""
BAD_KEY = re.compile(r"(?:incorrect|invalid) api key", re.IGNORECASE)
"""What some say with status 400 and no such code: the key can only be the operator's."""


class Kind(IntEnum):
    """How an attempt ended, as it is counted per route; the order is that of note_route_health's numbers."""

    SUCCESS = 0
    REFUSED = 1
    """The client's own doing: no fault of the route's."""
    TIMEOUT = 2
    SERVER = 3
    OVERLOADED = 4
    AUTH = 5
    UNREACHABLE = 6
    BROKEN = 7


NOT_THE_CALLERS = frozenset({Kind.OVERLOADED, Kind.AUTH, Kind.UNREACHABLE})
"""Failures that no request can bring about by what is in it."""


class Clients:
    """A pool of connections per upstream. Headers are built from scratch: nothing of the caller's goes."""

    def __init__(self, *, check_peer: Callable[[str, str], None]) -> None:
        """``check_peer`` raises AddressProblem for a base URL that led to an address nobody may call."""
        self._check_peer = check_peer
        self._pools: dict[tuple[str, int, int], Pool] = {}
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = {}

    async def send(
        self, target: Target, credential: Credential, call: UpstreamCall, request_id: str, deadline: float
    ) -> tuple[Pool, Connection]:
        """Send a call; the connection holds the head of its answer, and goes back to its pool. Raises ClientProblem.

        All attempts of a call share its ``deadline`` (of the monotonic clock): past it the row would be swept.
        """
        pool = self._pool(target)
        head = self._head(target, credential, call, pool)
        request = b"%scontent-length: %d\r\nx-request-id: req_%s\r\n\r\n%s" % (
            head,
            len(call.body),
            request_id.encode(),
            call.body,
        )
        return pool, await pool.send(request, min(target.total_timeout_s, deadline - time.monotonic()))

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()

    def _pool(self, target: Target) -> Pool:
        key = (target.base_url, target.connect_timeout_s, target.first_byte_timeout_s)
        pool = self._pools.get(key)
        if pool is None:
            base_url = target.base_url
            pool = self._pools[key] = Pool(
                base_url,
                connect_s=target.connect_timeout_s,
                silent_s=target.first_byte_timeout_s,
                check_peer=lambda address: self._check_peer(base_url, address),
            )
        return pool

    def _head(self, target: Target, credential: Credential, call: UpstreamCall, pool: Pool) -> bytes:
        """The head of a request but for its length and id, which is the same for all calls of a kind."""
        key = (target.base_url, call.path, (*credential.headers, *call.headers))
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) > MOST_HEADS:
                self._heads.clear()
            lines = [f"POST {pool.path}{call.path} HTTP/1.1", f"host: {pool.authority}", "user-agent: tollgate"]
            lines += [f"{name}: {value}" for name, value in key[2]]
            head = self._heads[key] = "\r\n".join(lines).encode() + b"\r\n"
        return head


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that brought no answer: what to tell the client, and whether another route may do better.

    ``unused`` is a request that never left: it may be sent again on the same route. ``status`` is the upstream's, 0
    where there was none; ``certain`` is a refusal that is the credential's for sure.
    """

    error: GatewayError
    next_route: bool
    retry_after_s: float | None = None
    unused: bool = False
    kind: Kind = Kind.SERVER
    status: int = 0
    certain: bool = False

    @property
    def of_credential(self) -> bool:
        """Whether another credential of the same upstream may do better."""
        return self.kind is Kind.AUTH or (self.kind is Kind.OVERLOADED and self.status == 429)


class NotSpoken(Unavailable):
    """The upstream has no words for this operation: nothing was sent."""


TROUBLE = (ClientProblem, AddressProblem, MalformedAnswer, GatewayError, *ODDITIES)
"""What an attempt raises instead of giving an answer."""


def failure_of(error: Exception) -> Failure:
    """What came instead of an answer; raises what is none of TROUBLE."""
    match error:
        case NotConnected():
            reached = Unavailable(502, "The upstream cannot be reached.", "bad_gateway")
            return Failure(reached, next_route=True, unused=True, kind=Kind.UNREACHABLE)
        case AddressProblem():
            refused = Unavailable(502, "The upstream's address may not be called.", "bad_gateway")
            return Failure(refused, next_route=True, kind=Kind.UNREACHABLE)
        case TimedOut():
            late = Unavailable(504, "The upstream did not answer in time.", "timeout")
            return Failure(late, next_route=False, kind=Kind.TIMEOUT)
        case ClientProblem():
            return Failure(
                Unavailable(502, "The upstream broke off.", "bad_gateway"), next_route=False, kind=Kind.BROKEN
            )
        case MalformedAnswer():
            return Failure(unreadable(), next_route=True, kind=Kind.BROKEN)
        case GatewayError():
            ours = error.status < 500 or isinstance(error, NotSpoken)
            return Failure(error, next_route=True, kind=Kind.REFUSED if ours else Kind.SERVER)
        case error if isinstance(error, ODDITIES):
            logger.error("an answer of an odd shape", exc_info=error)
            return Failure(unreadable(), next_route=True, kind=Kind.BROKEN)
    raise error


def judge(status: int, said: FailureMessage, retry_after: str | None) -> Failure:
    """What an upstream's status below or above 200 means for the client, and for the other routes."""
    wait = parse_retry_after(retry_after)
    if wait is None:  # Google says it in the body
        wait = said.extra.get("retry_after_s")
    wait_ms = None if wait is None else int(wait * 1000)
    because = f": {said.message}" if said.message else "."
    operators = status < 500 and (said.code in OPERATORS or BAD_KEY.match(said.message) is not None)
    if status in (401, 402, 403, 404) or operators:
        error = Unavailable(502, "The upstream refused our request; the operator must see to it.", "bad_gateway")
        if status == 404 and not operators:
            return Failure(error, True, status=status)
        return Failure(error, True, kind=Kind.AUTH, status=status, certain=operators or status == 401)
    if status in (400, 413, 422):
        refusal = BadRequest(said.message or "The upstream refused the request.", refusal_code(said), param=said.param)
        return Failure(refusal, False, kind=Kind.REFUSED, status=status)
    if status in (429, 503, 529):
        error = Unavailable(
            503, "The model is overloaded upstream. Try again.", "upstream_overloaded", retry_after_ms=wait_ms
        )
        return Failure(error, True, wait, kind=Kind.OVERLOADED, status=status)
    if status in (408, 504):
        error = Unavailable(504, "The upstream timed out.", "timeout")
        return Failure(error, True, kind=Kind.TIMEOUT, status=status)
    return Failure(Unavailable(502, f"The upstream failed{because}", "bad_gateway"), True, status=status)


def refusal_code(said: FailureMessage) -> str:
    """What a refused request is called here, whatever the upstream calls it."""
    if said.code in FILTERS:
        return "content_filter"
    return said.code or ("context_length_exceeded" if "context" in said.message.lower() else "invalid_value")


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` in seconds; a date or nonsense is None."""
    if value is None or not value.strip().isdecimal() or len(value.strip()) > 6:
        return None
    return float(value)
