"""The headers of answers: who served it, what is left of the rates, and how long it took. Pure."""

from __future__ import annotations

import time
from functools import lru_cache

from proxy.metering import UsageMeter
from proxy.rates import Exceeded, Taken

Headers = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")
REPLAYED = (b"idempotent-replayed", b"true")
MOST_VALUE = 1024
STREAM: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


def of_answer(taken: Taken, meter: UsageMeter, cost: bytes) -> Headers:
    """A whole answer's, with what it cost in USD."""
    return (JSON, (b"x-tollgate-cost", cost), *of_call(taken, meter))


def of_stream(taken: Taken, meter: UsageMeter) -> Headers:
    """A stream's."""
    return (*STREAM, *of_call(taken, meter))


def of_call(taken: Taken, meter: UsageMeter) -> Headers:
    """What every answer of an admitted call tells."""
    elapsed = time.monotonic() - meter.started
    told: list[tuple[bytes, bytes]] = [
        (b"openai-processing-ms", b"%d" % (elapsed * 1000)),
        (b"x-tollgate-overhead-ms", b"%.1f" % ((elapsed - meter.upstream_s) * 1000)),
        (b"x-tollgate-attempts", b"%d" % meter.attempts),
    ]
    if meter.upstream:
        told += _served(meter.upstream, meter.upstream_model)
    if meter.reported_model and meter.reported_model != meter.upstream_model:
        told.append((b"x-tollgate-reported-model", _latin(meter.reported_model)))
    if meter.dropped:
        told.append((b"x-tollgate-dropped", _latin(", ".join(meter.dropped))))
    requests, requests_left, requests_reset_ms, tokens, tokens_left, tokens_reset_ms = taken
    if requests >= 0:
        told += (
            (b"x-ratelimit-limit-requests", b"%d" % requests),
            (b"x-ratelimit-remaining-requests", b"%d" % requests_left),
            (b"x-ratelimit-reset-requests", duration(requests_reset_ms)),
        )
    if tokens >= 0:
        told += (
            (b"x-ratelimit-limit-tokens", b"%d" % tokens),
            (b"x-ratelimit-remaining-tokens", b"%d" % (tokens_left if tokens_left > 0 else 0)),
            (b"x-ratelimit-reset-tokens", duration(tokens_reset_ms)),
        )
    return tuple(told)


def of_exceeded(exceeded: Exceeded) -> Headers:
    """What a refusal by a rate per minute tells of it."""
    if exceeded.kind not in ("requests", "tokens"):
        return ()
    unit = exceeded.kind.encode()
    return (
        (b"x-ratelimit-limit-" + unit, b"%d" % exceeded.limit),
        (b"x-ratelimit-remaining-" + unit, b"0"),
        (b"x-ratelimit-reset-" + unit, duration(exceeded.wait_ms)),
    )


@lru_cache(maxsize=4096)
def duration(milliseconds: int) -> bytes:
    """As OpenAI writes it: ``20ms``, ``1s``, ``6m0s``."""
    if milliseconds < 1000:
        return b"%dms" % max(0, milliseconds)
    minutes, seconds = divmod(-(-milliseconds // 1000), 60)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds


@lru_cache(maxsize=4096)
def _served(upstream: str, model: str) -> Headers:
    """Who answered."""
    return ((b"x-tollgate-upstream", _latin(upstream)), (b"x-tollgate-model", _latin(model)))


@lru_cache(maxsize=4096)
def _latin(text: str) -> bytes:
    """A name as a header value: visible ASCII only, and not longer than any reader takes."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:MOST_VALUE]).encode()
