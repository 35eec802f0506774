"""What a surface is: how a client's requests read, and how its answers, streams and errors are written. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, Protocol

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects.shape import Answer, ChunkWriter
from proxy.errors import ODDITIES, GatewayError, unreadable

P = ParamSpec("P")


class Surface(Protocol):
    """One way to speak to the gateway.

    ``speaks`` are its words. ``id_prefix`` goes before the ids of its answers; None is the installation's choice.
    ``keepalive`` is what it says while a stream is silent.
    """

    speaks: str
    id_prefix: str | None
    keepalive: bytes

    def parse(self, raw: bytes) -> ChatRequest:
        """Bytes → request; raises BadRequest naming the parameter."""

    def answer(self, chat: ChatRequest, answer: Answer, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """A whole answer to ``chat``. ``usage`` is what was booked; ``extras`` are members to add: cost, tollgate."""

    def error(self, error: GatewayError) -> bytes:
        """An error's JSON body."""

    def error_event(self, error: GatewayError) -> bytes:
        """An error after the first byte of a stream."""

    def writer(self, chat: ChatRequest, answer_id: str, created: int) -> ChunkWriter:
        """What writes a stream of OpenAI chunks for a client that does not read them."""


def reading(answer: Callable[P, bytes]) -> Callable[P, bytes]:
    """A surface's ``answer``, for which what an upstream sent in an odd shape is the upstream's fault and not ours."""

    @wraps(answer)
    def read(*args: P.args, **kwargs: P.kwargs) -> bytes:
        try:
            return answer(*args, **kwargs)
        except ODDITIES as error:
            raise unreadable() from error

    return read
