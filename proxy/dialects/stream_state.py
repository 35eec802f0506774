"""What every stream of an upstream knows of itself, whatever it speaks."""

from __future__ import annotations

from typing import Any

from proxy.dialects.shape import Asked
from proxy.errors import GatewayError
from proxy.sse import EventDecoder


class StreamState:
    """The part of AnswerStream that is the same for all; see there."""

    __slots__ = (
        "_decoder",
        "_garbage",
        "asked",
        "done",
        "failure",
        "finish_reason",
        "reported_model",
        "service_tier",
        "thoughts",
        "usage_ignored",
    )

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.failure: GatewayError | None = None
        self.done = False
        self.finish_reason = ""
        self.reported_model = ""
        self.service_tier = ""
        self.thoughts: dict[str, list[dict[str, Any]]] = {}
        self.usage_ignored = False
        self._decoder = EventDecoder()
        self._garbage = 0
