"""A translated stream in the words of a surface that does not speak OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing.meters import Usage
from proxy.dialects.shape import AnswerStream, ChunkWriter
from proxy.errors import GatewayError


class Rewritten:
    """An AnswerStream whose OpenAI chunks a writer turns into the client's own events."""

    def __init__(self, inner: AnswerStream, writer: ChunkWriter) -> None:
        self._inner = inner
        self._writer = writer

    @property
    def usage(self) -> Usage | None:
        """See AnswerStream."""
        return self._inner.usage

    @property
    def usage_ignored(self) -> bool:
        """See AnswerStream."""
        return self._inner.usage_ignored

    @property
    def finish_reason(self) -> str:
        """See AnswerStream."""
        return self._inner.finish_reason

    @property
    def failure(self) -> GatewayError | None:
        """See AnswerStream."""
        return self._inner.failure

    @failure.setter
    def failure(self, error: GatewayError | None) -> None:
        self._inner.failure = error

    @property
    def done(self) -> bool:
        """See AnswerStream."""
        return self._inner.done

    @property
    def reported_model(self) -> str:
        """See AnswerStream."""
        return self._inner.reported_model

    @property
    def service_tier(self) -> str:
        """See AnswerStream."""
        return self._inner.service_tier

    @property
    def thoughts(self) -> dict[str, list[dict[str, Any]]]:
        """See AnswerStream."""
        return self._inner.thoughts

    @property
    def most_bytes(self) -> int:
        """See AnswerStream."""
        return self._inner.most_bytes

    @most_bytes.setter
    def most_bytes(self, most: int) -> None:
        self._inner.most_bytes = most

    def feed(self, chunk: bytes) -> bytes:
        """See AnswerStream."""
        return self._rewritten(self._inner.feed(chunk))

    def close(self) -> bytes:
        """See AnswerStream."""
        return self._rewritten(self._inner.close())

    def delivered(self) -> int:
        """See AnswerStream."""
        return self._inner.delivered()

    def said(self) -> int:
        """See AnswerStream."""
        return self._inner.said()

    def complete(self) -> bool:
        """See AnswerStream."""
        return self._inner.complete()

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """See AnswerStream."""
        return self._writer.tail(usage, extras)

    def _rewritten(self, out: bytes) -> bytes:
        """Chunks are our own writing or a block of plain ones: one event a line, nothing between but blank lines."""
        if not out:
            return b""
        chunk = self._writer.chunk
        return b"".join(chunk(orjson.loads(line[6:])) for line in out.split(b"\n") if line.startswith(b"data: {"))
