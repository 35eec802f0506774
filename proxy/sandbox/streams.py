"""How the sandbox sends an event stream, at its pace and with the faults a model name asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.ledger import ABORTED, Entry, Ledger
from proxy.sandbox.plans import Event, Plan
from proxy.sandbox.voices import Voice
from proxy.sandbox.wire import STREAM_HEAD, Connection

CUTTING = ("drop", "truncated", "midstream-error")
FRAMES_PER_TURN = 32
SPLIT_PAUSE_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer under way: what to say, in whose words, where, and the entry it is charged to."""

    plan: Plan
    voice: Voice
    behaviour: Behaviour
    connection: Connection
    ledger: Ledger
    entry: Entry

    def begin(self) -> None:
        """Count what is used before the first token is sent."""
        plan, entry = self.plan, self.entry
        hidden = 0 if plan.thought else plan.n * plan.reasoning
        entry.prompt_tokens, entry.cached_tokens = plan.prompt, plan.cached
        entry.reasoning_tokens, entry.completion_tokens = hidden, hidden + plan.audio_out
        entry.cache_write_1h_tokens = plan.written if plan.hour else 0
        entry.cache_write_5m_tokens = plan.written - entry.cache_write_1h_tokens
        entry.input_audio_tokens, entry.output_audio_tokens = plan.audio_in, plan.audio_out
        entry.web_searches = plan.searches
        self.ledger.changed(entry)

    def charge(self, event: Event) -> None:
        """Count the tokens of an event as generated."""
        entry = self.entry
        entry.completion_tokens += event.tokens
        entry.reasoning_tokens += event.thought
        if event.drawn:
            entry.output_image_tokens += event.drawn
            entry.images += 1
        entry.chunks += 1
        self.ledger.changed(entry)

    def charge_all(self) -> None:
        """Count the whole answer as generated."""
        plan, entry = self.plan, self.entry
        entry.completion_tokens = plan.completion
        entry.reasoning_tokens = plan.n * plan.reasoning
        entry.output_image_tokens, entry.images = plan.drawn, plan.images


async def send(answer: Answer) -> None:
    """Send the stream until its end, its fault, or the client's hang-up, charging each token before it is written."""
    connection, behaviour = answer.connection, answer.behaviour
    connection.write(STREAM_HEAD + answer.voice.head + b"\r\n")
    pace = behaviour.second / 1000 if behaviour.kind == "paced" else 0.0
    due = connection.loop.time()
    content_sent = 0
    for number, event in enumerate(answer.voice.events(answer.plan)):
        if behaviour.kind in CUTTING and event.tokens and content_sent >= behaviour.first:
            break
        if pace and event.tokens:
            due += pace
            await asyncio.sleep(due - connection.loop.time())
        elif number % FRAMES_PER_TURN == 0:
            await asyncio.sleep(0)  # lets a hang-up be noticed within a stream that is sent at full speed
        if behaviour.kind == "malformed" and content_sent == behaviour.first and event.tokens:
            await _write_event(answer, answer.voice.garbage())
        answer.charge(event)
        content_sent += event.tokens
        await _write_event(answer, event.data)
    await _end(answer)


async def _end(answer: Answer) -> None:
    connection = answer.connection
    match answer.behaviour.kind:
        case "drop":
            answer.entry.state = ABORTED
            await asyncio.sleep(0)  # what was written leaves before the connection is cut
            connection.transport.abort()
            return
        case "midstream-error":
            await _write_event(answer, answer.voice.failing())
        case "truncated":
            pass
        case _:
            await _write_event(answer, answer.voice.ending())
    connection.write(b"0\r\n\r\n")


async def _write_event(answer: Answer, event: bytes) -> None:
    connection, newline = answer.connection, answer.voice.newline
    if not event:
        return
    match answer.behaviour.kind:
        case "crlf":
            connection.write_chunk(event.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n")
        case "comments":
            connection.write_chunk(b": keepalive\n\n" + event + b"\n:\n: SANDBOX PROCESSING\n\n")
        case "split":
            for part in cut_characters(event + newline + newline):
                connection.write_chunk(part)
                await asyncio.sleep(SPLIT_PAUSE_SECONDS)
        case _:
            connection.write_chunk(event + newline + newline)
    await connection.drain()


def cut_characters(data: bytes) -> Iterator[bytes]:
    """The bytes in parts that end inside every character of more than one byte, and inside every line end."""
    start = 0
    for position in range(1, len(data)):
        inside_character = data[position] & 0xC0 == 0x80
        if inside_character or (data[position] == 0x0A and data[position - 1] == 0x0A):
            yield data[start:position]
            start = position
    yield data[start:]
