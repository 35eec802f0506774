"""How the sandbox sends an event stream, at its pace and with the faults a model name asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from proxy.sandbox import answers
from proxy.sandbox.answers import Envelope, Plan
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.ledger import ABORTED, Entry, Ledger
from proxy.sandbox.wire import STREAM_HEAD, Connection

DONE = b"data: [DONE]"
GARBAGE = b'data: {"id":"chatcmpl-broken","choices":[{"delta":{"content":'
CUTTING = ("drop", "truncated", "midstream-error")
FRAMES_PER_TURN = 32
SPLIT_PAUSE_SECONDS = 0.001

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer under way: what to say, where, and the entry it is charged to."""

    plan: Plan
    envelope: Envelope
    behaviour: Behaviour
    connection: Connection
    ledger: Ledger
    entry: Entry
    head: bytes

    def charge(self, tokens: int) -> None:
        """Count tokens as generated; 0 for a chunk without any."""
        self.entry.completion_tokens += tokens
        self.entry.chunks += 1
        self.ledger.changed(self.entry)


async def send(answer: Answer, *, with_usage: bool) -> None:
    """Send the stream until its end, its fault, or the client's hang-up, charging each token before it is written."""
    connection, behaviour = answer.connection, answer.behaviour
    connection.write(STREAM_HEAD + answer.head + b"\r\n")
    pace = behaviour.second / 1000 if behaviour.kind == "paced" else 0.0
    due = connection.loop.time()
    content_sent = 0
    for number, (frame, tokens) in enumerate(answer.envelope.frames(answer.plan, with_usage=with_usage)):
        if behaviour.kind in CUTTING and tokens and content_sent >= behaviour.first:
            break
        if pace and tokens:
            due += pace
            await asyncio.sleep(due - connection.loop.time())
        elif number % FRAMES_PER_TURN == 0:
            await asyncio.sleep(0)  # lets a hang-up be noticed within a stream that is sent at full speed
        if behaviour.kind == "malformed" and content_sent == behaviour.first and tokens:
            await _write_event(answer, GARBAGE)
        answer.charge(tokens)
        content_sent += tokens
        await _write_event(answer, b"data: " + encode(frame))
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
            body = answers.error("The server had an error while processing your request.", "server_error", None)
            await _write_event(answer, b"data: " + encode(body))
        case "truncated":
            pass
        case _:
            await _write_event(answer, DONE)
    connection.write(b"0\r\n\r\n")


async def _write_event(answer: Answer, event: bytes) -> None:
    connection = answer.connection
    match answer.behaviour.kind:
        case "crlf":
            connection.write_chunk(event + b"\r\n\r\n")
        case "comments":
            connection.write_chunk(b": keepalive\n\n" + event + b"\n:\n: SANDBOX PROCESSING\n\n")
        case "split":
            for part in cut_characters(event + b"\n\n"):
                connection.write_chunk(part)
                await asyncio.sleep(SPLIT_PAUSE_SECONDS)
        case _:
            connection.write_chunk(event + b"\n\n")
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
