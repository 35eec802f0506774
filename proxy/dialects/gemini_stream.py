"""A stream of Gemini's on its way to the client. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from billing.meters import Usage
from proxy.dialects import failures, gemini_answer
from proxy.dialects.chunks import TranslatedStream
from proxy.dialects.gemini_answer import PICTURE_SIZE
from proxy.dialects.shape import Asked

MOST_COUNTS = 8
"""How many of the last counts are kept until somebody asks: should the very last not be true, one before it is."""


class GeminiStream(TranslatedStream):
    """One stream. Its end has no mark: why a candidate finished is told at the close, as more of it may still come."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._reading = gemini_answer.Reading(asked.answer_id)
        self._ends: dict[int, str] = {}
        self._over = False
        self._counts: deque[Any] = deque(maxlen=MOST_COUNTS)
        self.thoughts = self._reading.thoughts

    def event(self, event: dict[str, Any]) -> None:
        """One GenerateContentResponse. Its counts are those of all so far: the last that can be true win."""
        if event.get("error"):
            error = failures.embedded(event)
            self.fail(error.message, error)
            return
        self.reported_model = gemini_answer.reported_model(event) or self.reported_model
        self.service_tier = gemini_answer.service_tier(event) or self.service_tier
        for place, candidate in enumerate(gemini_answer.candidates_of(event)):
            self._candidate(candidate, place)
        if gemini_answer.blocked(event):
            for index in range(self.asked.choices):
                self._ends.setdefault(index, "content_filter")
        self._counts.append(event.get("usageMetadata"))

    @property
    def usage(self) -> Usage | None:
        """See AnswerStream. Every event has counts, so they are read when somebody asks, in their order."""
        while self._counts:
            self._count(self._counts.popleft())
        return self.counted

    def complete(self) -> bool:
        """See AnswerStream. A stream that ended may have brought fewer candidates than were asked for."""
        return len(self._ends) >= self.asked.choices or (
            self._over and bool(self._ends) and self._begun <= {*self._ends}
        )

    def close(self) -> bytes:
        """See AnswerStream."""
        self._over = True
        out = super().close()
        return out if self.failure is not None else out + self._endings()

    def delivered(self) -> int:
        """As usual, and what pictures are."""
        return super().delivered() + self._reading.images * PICTURE_SIZE // 4

    def said(self) -> int:
        """As usual, and what pictures are."""
        return super().said() + self._reading.images * PICTURE_SIZE

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """See AnswerStream. Endings are still there where the connection broke after the last event."""
        return self._endings() + super().tail(usage, extras)

    def _candidate(self, candidate: dict[str, Any], place: int) -> None:
        index = candidate.get("index")
        index = index if type(index) is int else place
        delta, size = self._reading.delta(gemini_answer.parts_of(candidate), index)
        logprobs = gemini_answer.logprobs_of(candidate)
        if delta or logprobs:
            self.say(delta, size=size, index=index, logprobs=logprobs)
        reason = candidate.get("finishReason")
        if reason:
            self._ends[index] = gemini_answer.finish_reason(reason, called=self._reading.called(index))
            self.finish_reason = self._ends[index]
        elif self._ends.get(index) == "stop" and self._reading.called(index):
            self._ends[index] = self.finish_reason = "tool_calls"

    def _count(self, counts: object) -> None:
        images = self._reading.images
        read, ignored = gemini_answer.read_usage(counts, self.asked.context_window, images)
        if read is not None:
            self.counted, self.usage_ignored = read, False
        elif self.counted is not None:
            self.counted = self.counted._replace(images=images)
        else:
            self.usage_ignored = self.usage_ignored or ignored

    def _endings(self) -> bytes:
        for index, reason in sorted(self._ends.items()):
            self.finish(reason, index=index)
        out = b"".join(self._out)
        self._out.clear()
        return out
