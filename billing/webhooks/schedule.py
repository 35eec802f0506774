"""When a message that was not taken is sent again. Pure.

The delays are those that the Standard Webhooks specification recommends, each with up to a tenth more, so that what
failed together does not come again together.
"""

from __future__ import annotations

from datetime import timedelta

DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
LONGEST_ASKED = timedelta(hours=24)
GIVEN_UP_AFTER = timedelta(days=5)
"""An endpoint that took nothing for so long is disabled."""


def delay_after(step: int, *, jitter: int, asked_s: int = 0) -> timedelta | None:
    """How long to wait after the try number ``step`` (0 is the first); None when that was the last.

    ``jitter`` is 0 to 100 and adds that many thousandths; ``asked_s`` is what the endpoint asked for by Retry-After.
    """
    if step >= len(DELAYS):
        return None
    delay = DELAYS[step] + DELAYS[step] * jitter // 1000
    return max(delay, min(timedelta(seconds=asked_s), LONGEST_ASKED))
