"""Sends what is due: one thread talks to the database, others to endpoints, until nothing is due or time is over."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime

from django.conf import settings

from billing.sealing import SealProblem
from billing.webhooks import queue, sending, signing
from billing.webhooks.queue import Claim
from billing.webhooks.sending import Answer, Parcel

SLOTS = 32
SLOTS_FOR_SLOW = 16
"""Endpoints that fail or are slow share half of the slots: they cannot take all of them from the others."""
CLAIM_SECONDS = 5
"""A run claims no longer than that, so that a worker told to stop is soon done; the next run goes on."""
POLL_SECONDS = 1
logger = logging.getLogger(__name__)


class Courier:
    """Delivers in one process; any number of them work side by side. ``trust`` takes the place of the usual CAs."""

    def __init__(self, clock: Callable[[], datetime], *, trust: ssl.SSLContext | None = None) -> None:
        self._clock = clock
        self._trust = trust or sending.trusted()
        self._under_way: dict[Future[Answer], Claim] = {}

    def run(self) -> int:
        """Send everything that is due, and what becomes due meanwhile; returns how many tries were made."""
        ends_at = time.monotonic() + CLAIM_SECONDS
        tries = 0
        with ThreadPoolExecutor(SLOTS, thread_name_prefix="webhook") as threads:
            while True:
                if time.monotonic() < ends_at:
                    self._claim(threads)
                if not self._under_way:
                    return tries
                tries += self._record()

    def _claim(self, threads: ThreadPoolExecutor) -> None:
        free = SLOTS - len(self._under_way)
        if not free:
            return
        moment = self._clock()
        for claim in queue.claim(now=moment, most=free, most_slow=SLOTS_FOR_SLOW):
            try:
                parcel = _parcel(claim, moment)
            except SealProblem:
                logger.error("the secret of webhook endpoint %s does not open", claim.delivery.endpoint_id)
                queue.record(claim=claim, answer=Answer(None, 0, "Its secret does not open: rotate it."), now=moment)
                continue
            sent = threads.submit(
                sending.send, parcel, allow_private=settings.ALLOW_PRIVATE_WEBHOOKS, trust=self._trust
            )
            self._under_way[sent] = claim

    def _record(self) -> int:
        done, _running = wait(self._under_way, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        for sent in done:
            claim = self._under_way.pop(sent)
            queue.record(claim=claim, answer=_answer(sent), now=self._clock())
        return len(done)


def _answer(sent: Future[Answer]) -> Answer:
    """What came of a try; what nobody foresaw is one that failed, so that a single message never stops the others."""
    try:
        return sent.result()
    except Exception:
        logger.exception("sending a message failed in a way nobody foresaw")
        return Answer(None, 0, "It could not be sent.")


def _parcel(claim: Claim, now: datetime) -> Parcel:
    """The message as it goes out in this try: the same id and body each time, signed anew with the time."""
    message, endpoint = claim.delivery.message, claim.delivery.endpoint
    headers = signing.headers(
        message_id=message.pk, body=message.body, secrets=signing.secrets_of(endpoint, now=now), now=now
    )
    return Parcel(endpoint.url, message.body.encode(), headers)
