"""The sandbox's paths, and the course of one chat completion from request to charge."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from proxy.sandbox import answers, behaviour, faces, failures, replay, streams
from proxy.sandbox.answers import Call, Envelope
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import JSON, Failure
from proxy.sandbox.fast import FastAnswers
from proxy.sandbox.ledger import ABORTED, ENDED, REFUSED, RUNNING, Entry, Ledger
from proxy.sandbox.voices import BENT_USAGE, Face, Job, OpenAIVoice, Refusal
from proxy.sandbox.wire import STREAM_HEAD, Connection, Request

COMPLETIONS = ("/v1/chat/completions", "/chat/completions")

SHORT_503 = Behaviour("503", 0, 0)
LASTING_500 = Behaviour("500", 0, 0)
UNKNOWN_CREDENTIAL = Behaviour("401", 0, 0)
REFUSED_CREDENTIAL = "refused-by-the-sandbox"
"""A chat completion, or a question for the models, whose credential ends so is answered with 401."""
WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
Failing = Callable[[Behaviour], Failure | None]

encode = msgspec.json.Encoder().encode
decode_call = msgspec.json.Decoder(Call).decode


class Sandbox:
    """Answers requests and charges them to ``ledger``; ``fast`` takes what the benchmark asks for, uncharged.

    ``replays`` is the folder of what is replayed.
    """

    def __init__(self, ledger: Ledger, fast: FastAnswers | None, replays: Path | None = None) -> None:
        self.ledger = ledger
        self.fast = fast
        self.replays = replays
        self.failed: Counter[str] = Counter()

    def answer(self, request: Request, connection: Connection) -> Awaitable[None] | None:
        """Answer one request: at once, or by the work that is returned."""
        if request.method == "POST" and request.path in COMPLETIONS:
            return self.complete(request, connection)
        face = faces.of(request.path) if request.method == "POST" else None
        if face is not None:
            return self.face(face, request, connection)
        self._send(connection, faces.models(request) or self._page(request))
        connection.finish()
        return None

    def complete(self, request: Request, connection: Connection) -> Awaitable[None] | None:
        """``POST /v1/chat/completions``."""
        try:
            call = decode_call(request.body)
        except msgspec.MsgspecError as problem:
            self._send(connection, failures.refused(400, str(problem), "invalid_json"))
            connection.finish()
            return None
        asked = behaviour.parse(call.model)
        if self.fast is None and request.header(b"authorization").endswith(REFUSED_CREDENTIAL):
            asked = UNKNOWN_CREDENTIAL
        if asked is None:
            message = f"The model `{call.model[:64]}` does not exist."
            self._send(connection, failures.refused(404, message, "model_not_found", "model"))
            connection.finish()
            return None
        if self.fast is not None and self.fast.takes(asked):
            self.fast.answer(call, asked, connection)
            return None
        return self._charged(request, _job(call, asked), failures.failure, connection)

    def face(self, face: Face, request: Request, connection: Connection) -> Awaitable[None] | None:
        """A request in another wire format."""
        try:
            job = face.read(request)
        except Refusal as refusal:
            entry = self.ledger.open(_request_id(request), refusal.model)
            entry.state, entry.status = REFUSED, refusal.failure.status
            self.ledger.changed(entry)
            job = refusal.failure
        if isinstance(job, Failure):
            self._send(connection, job)
            connection.finish()
            return None
        return self._charged(request, job, face.failure, connection)

    async def _charged(self, request: Request, job: Job, fail: Failing, connection: Connection) -> None:
        """A completion with its entry in the ledger, whose state always ends."""
        entry = self.ledger.open(_request_id(request), job.model)
        try:
            failed = fail(SHORT_503 if self._fails_once_more(request, job) else job.asked)
            if failed is None and job.asked.kind == "midstream-error" and not job.stream:
                failed = fail(LASTING_500)
            if failed is None:
                await self._say(job, connection, entry)
            else:
                entry.state, entry.status = REFUSED, failed.status
                self._send(connection, failed)
        finally:
            if entry.state == RUNNING:
                entry.state = ABORTED
            self.ledger.changed(entry)

    async def _say(self, job: Job, connection: Connection, entry: Entry) -> None:
        """Answer the call, whole or in a stream, with the faults that come after its acceptance."""
        asked = job.asked
        if asked.kind == "replay":
            await self._replay(asked, connection, entry)
            return
        if asked.kind == "timeout":
            await asyncio.Event().wait()
        if asked.kind in ("slow", "fixed"):
            await asyncio.sleep(asked.first / 1000)
        answer = streams.Answer(job.plan, job.voice(entry.request_id), asked, connection, self.ledger, entry)
        answer.begin()
        if job.stream:
            await streams.send(answer)
        else:
            await self._whole(answer)
        if entry.state == RUNNING:
            entry.state = ENDED

    async def _replay(self, asked: Behaviour, connection: Connection, entry: Entry) -> None:
        """Send the bytes of a case, cut where its seed says."""
        case = None if self.replays is None else replay.find(self.replays, asked.case)
        if case is None:
            entry.state, entry.status = REFUSED, 404
            self._send(connection, failures.refused(404, "There is no such case.", "model_not_found", "model"))
            return
        case.charge(entry)
        self.ledger.changed(entry)
        if case.streamed:
            connection.write(STREAM_HEAD + b"\r\n")
        else:
            connection.write(WHOLE_HEAD % len(case.data))
        for part in replay.cut(case.data, asked.first):
            if case.streamed:
                connection.write_chunk(part)
            else:
                connection.write(part)
            await connection.drain()
            await asyncio.sleep(streams.SPLIT_PAUSE_SECONDS)
        if case.streamed:
            connection.write(b"0\r\n\r\n")
        entry.state = ENDED

    async def _whole(self, answer: streams.Answer) -> None:
        """The answer in one piece; faults of streams have their likeness here."""
        asked, connection = answer.behaviour, answer.connection
        if asked.kind == "paced":
            await asyncio.sleep(asked.first * asked.second / 1000)
        answer.charge_all()
        body = answer.voice.whole(answer.plan)
        if asked.kind in ("malformed", "truncated"):
            body = body[: len(body) // 2]
        if asked.kind == "drop":
            answer.entry.state = ABORTED
            connection.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n" + body
            )
            await asyncio.sleep(0)
            connection.transport.abort()
            return
        connection.send(200, body, JSON, answer.voice.head)

    def _fails_once_more(self, request: Request, job: Job) -> bool:
        """Whether a flaky model has not yet failed often enough for this user."""
        if job.asked.kind != "flaky":
            return False
        who = f"{job.who or request.header(b'authorization')} {job.model}"
        self.failed[who] += 1
        return self.failed[who] <= job.asked.first

    def _page(self, request: Request) -> Failure:
        """Every path but completions, as a whole answer."""
        path = request.path.rstrip("/")
        match request.method, path:
            case "GET", "/health":
                return Failure(200, b'{"status":"ok"}')
            case "GET", "/v1/models" | "/models":
                refused = request.header(b"authorization").endswith(REFUSED_CREDENTIAL)
                failed = failures.failure(UNKNOWN_CREDENTIAL) if refused else None
                return failed or Failure(200, encode(answers.model_list(list(behaviour.DEFAULTS))))
            case "GET", "/stats":
                return Failure(200, encode(self._stats(detail="detail=1" in request.query)))
            case "DELETE", "/stats":
                self.ledger.clear()
                self.failed.clear()
                return Failure(200, encode(self._stats(detail=False)))
            case "GET", _ if path.startswith("/stats/"):
                charge = self.ledger.charge(path.removeprefix("/stats/"))
                return (
                    Failure(200, encode(charge)) if charge else failures.refused(404, "No such request.", "not_found")
                )
            case _, "/v1/redirected":
                self.ledger.redirected += 1
                return Failure(200, b"{}")
        return failures.refused(404, f"Invalid URL ({request.method} {path[:64]})", "unknown_url")

    def _stats(self, *, detail: bool) -> dict[str, object]:
        stats: dict[str, object] = dict(self.ledger.totals())
        if self.fast is not None:
            stats["fast"] = self.fast.served
        if detail:
            stats["detail"] = {request_id: self.ledger.charge(request_id) for request_id in self.ledger.attempts}
        return stats

    def _send(self, connection: Connection, failure: Failure) -> None:
        connection.send(failure.status, failure.body, failure.content_type, failure.headers)


def _job(call: Call, asked: Behaviour) -> Job:
    """A chat completion as OpenAI answers it."""

    def voice(request_id: str) -> OpenAIVoice:
        usage = asked.kind if asked.kind in BENT_USAGE else ""
        ident = "chatcmpl-" + request_id.removeprefix("req_")
        head = b"x-request-id: %s\r\nopenai-processing-ms: 1\r\n" % request_id.encode("latin-1", "replace")
        return OpenAIVoice(Envelope(ident, call.model, int(time.time()), usage), head, call.wants_usage)

    return Job(call.model, asked, answers.plan(call, asked), bool(call.stream), voice, call.user or "")


def _request_id(request: Request) -> str:
    return request.header(b"x-request-id") or "req_" + secrets.token_hex(12)
