"""The pump of a stream: upstream bytes through the translator to the client, with the back-pressure of both sides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from proxy.dialects.shape import AnswerStream
from proxy.errors import ODDITIES, Unavailable, unreadable
from proxy.http_client import ClientProblem, Connection, TimedOut
from proxy.live import LiveStream, LiveStreams

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def first_bytes(reader: Connection, translator: AnswerStream) -> bytes:
    """Translated bytes up to the first that say something; empty when the whole stream said nothing.

    Until these are there the client has seen nothing, so a failure can still be a real status or another route. With
    them it is a failure in the middle, even if it came in the same read: how bytes are split must change no bill.
    """
    out = b""
    while not out and not translator.done and translator.failure is None:
        chunk = await reader.read_chunk()
        if chunk is None:
            out += translator.close()
            break
        out += translator.feed(chunk)
    return out


async def pump(first: bytes, reader: Connection, translator: AnswerStream, live: LiveStream) -> None:
    """Relay ``first`` and what follows until the answer is complete, the upstream ends or breaks, or the stream is cut.

    Never raises for these: the translator's ``failure`` says what went wrong.
    """
    loop_time = asyncio.get_running_loop().time
    send, feed, read = live.send, translator.feed, reader.read_chunk
    try:
        await say(live, first)
        while not translator.done and translator.failure is None:
            chunk = await read()
            if chunk is None:
                await say(live, translator.close())
                break
            out = feed(chunk)
            now = live.upstream_at = loop_time()
            if out and (not live.client_gone_at or live.tell_on):
                live.spoke_at = live.sending_since = now
                await send({"type": "http.response.body", "body": out, "more_body": True})
                live.sending_since = 0.0
    except ClientProblem as problem:
        if translator.complete():
            await say(live, translator.close())
        elif isinstance(problem, TimedOut):
            translator.failure = Unavailable(504, "The stream took longer than it may.", "timeout")
        else:
            translator.failure = Unavailable(502, "The upstream broke off.", "bad_gateway")
    except ODDITIES:
        logger.exception("a chunk of an odd shape")
        translator.failure = unreadable()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if live.reason is None or task is None:
            raise
        task.uncancel()
        translator.failure = live.reason


async def say(live: LiveStream, out: bytes) -> None:
    """Send bytes unless the client is gone."""
    if out and (not live.client_gone_at or live.tell_on):
        live.spoke_at = live.sending_since = asyncio.get_running_loop().time()
        await live.send({"type": "http.response.body", "body": out, "more_body": True})
        live.sending_since = 0.0


async def watch(receive: Receive, live: LiveStream, streams: LiveStreams) -> None:
    """Notice that the client hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    streams.client_gone(live)
