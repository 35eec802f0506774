"""One meter per admitted request: whatever becomes of the request, it ends in exactly one settlement."""

from __future__ import annotations

import time
from typing import NamedTuple

from billing.meters import NOTHING, Usage
from billing.pricing import PriceVersion, PricingProblem, rate
from proxy.directory import KeyGrant
from proxy.journal import Journal, Opening, Settlement
from proxy.rates import Limiter

CLIENT_GONE, USAGE_IGNORED = 1, 4


class Outcome(NamedTuple):
    """How a call ended: the upstream's counts if they can be true, and output tokens delivered by our own estimate.

    The counts are ``partial`` where the answer broke off: what was read is right, more may have been written.
    """

    usage: Usage | None
    delivered: int
    status: int = 200
    error_code: str = ""
    finish_reason: str = ""
    usage_ignored: bool = False
    output_bytes: int = 0
    partial: bool = False


class UsageMeter:
    """Counts one request and settles it once; a second end is ignored."""

    __slots__ = (
        "_grant",
        "_journal",
        "_limiter",
        "_opening",
        "_price",
        "_rated_tokens",
        "attempts",
        "client_gone",
        "cost",
        "deadline",
        "dropped",
        "ended",
        "first_byte_at",
        "likely_input",
        "reported_model",
        "request_id",
        "route_id",
        "service_tier",
        "started",
        "upstream",
        "upstream_model",
        "upstream_s",
        "usage",
    )

    def __init__(
        self, request_id: str, grant: KeyGrant, price: PriceVersion, journal: Journal, limiter: Limiter
    ) -> None:
        self.request_id = request_id
        self.started = time.monotonic()
        self.deadline = self.started + 600.0
        self.first_byte_at = 0.0
        self.upstream_s = 0.0
        self.attempts = 0
        self.upstream = ""
        self.upstream_model = ""
        self.reported_model = ""
        self.route_id = 0
        self.service_tier = ""
        self.dropped: tuple[str, ...] = ()
        self.client_gone = False
        self.likely_input = 0
        self.cost: int | None = None
        self.usage = NOTHING
        self.ended = False
        self._grant = grant
        self._price = price
        self._journal = journal
        self._limiter = limiter
        self._opening: Opening | None = None
        self._rated_tokens = 0

    @property
    def tenant_id(self) -> int:
        """Whose call it is."""
        return self._grant.tenant_id

    def rated(self, tokens: int) -> None:
        """The rates let it pass as this many tokens; the difference is corrected at the end."""
        self._rated_tokens = tokens

    def opened(self, opening: Opening) -> None:
        """The row and its holds are committed: from here on there must be an end."""
        self._opening = opening

    def reprice(self, price: PriceVersion) -> None:
        """Another model goes on with it, and the row says so: from here on its price rates."""
        self._price = price

    def settle(self, outcome: Outcome) -> int:
        """Book what was used, and return its cost in picodollars.

        Where the upstream gave no counts that can be true, or counted what has no price, the input and what was
        delivered are estimated; ``likely_input`` stands for a better estimate than admission's. A stream that broke is
        booked the same way: what came is paid. The variant of the price is the one for what was used, in the service
        tier that answered.
        """
        usage, basis, ignored = outcome.usage, "exact", outcome.usage_ignored
        if usage is not None and outcome.partial:
            basis = "estimated"
            unseen = max(0, outcome.delivered - usage.completion_tokens)
            usage = usage._replace(output=usage.output + unseen)
        cost, price = None, self._price
        if usage is not None:
            try:
                price = self._price.chosen(usage, self.service_tier)
                cost = rate(usage, price)
            except PricingProblem:
                ignored = True
        if usage is None or cost is None:
            basis = "estimated"
            written_down = self._opening.input_estimate if self._opening else 0
            usage = Usage(input=self.likely_input or written_down, output=outcome.delivered)
            price = self._price.chosen(usage, self.service_tier)
            cost = rate(usage, price)
        self.cost, self.usage, self._price = cost, usage, price
        self._end("settled", basis, usage, outcome, ignored=ignored)
        return cost

    def void(self, status: int, error_code: str) -> None:
        """Nothing is owed: the call brought nothing."""
        self.cost = 0
        self._end("voided", None, NOTHING, Outcome(None, 0, status=status, error_code=error_code))

    def _end(self, state: str, basis: str | None, usage: Usage, outcome: Outcome, *, ignored: bool = False) -> None:
        if self.ended:
            return
        self.ended = True
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        grant, opening = self._grant, self._opening
        if grant.rates:
            self._limiter.finish(self.request_id, grant, taken=self._rated_tokens, used=prompt + completion)
        if opening is None:
            return
        flags = (CLIENT_GONE if self.client_gone else 0) | (USAGE_IGNORED if ignored else 0)
        self._journal.settle(
            Settlement(
                opening.id,
                opening.tenant_id,
                state,
                basis,
                self.cost or 0,
                flags,
                self.upstream,
                self.upstream_model,
                outcome.error_code,
                outcome.finish_reason,
                (*usage, prompt, completion, self.attempts, outcome.status, *self._timings(outcome.output_bytes)),
                self._price.id,
                self.reported_model,
                self.route_id,
            )
        )

    def _timings(self, output_bytes: int) -> tuple[int, int, int, int]:
        """First byte and duration in ms, bytes written, and our own share of the duration in ms."""
        duration = time.monotonic() - self.started
        first = self.first_byte_at - self.started if self.first_byte_at else 0.0
        ours = max(0.0, (first or duration) - self.upstream_s)  # what follows a stream's first byte is the upstream's
        return int(first * 1000), int(duration * 1000), output_bytes, int(ours * 1000)
