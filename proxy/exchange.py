"""One HTTP exchange with a client: its credential and body on the way in, status, headers and bytes on the way out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from proxy import content_encoding
from proxy.content_encoding import BrokenEncoding, TooMuch, UnknownEncoding
from proxy.errors import BadRequest, GatewayError, RequestTimeout, TooLarge, UnsupportedEncoding
from proxy.json_bounds import MOST_VALUES, too_many_values
from proxy.patience import Patience

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

SILENCE_S, DRAIN_S = 1.0, 30.0
LARGE = 256 * 1024
"""Bodies above this are looked through before they are parsed, in a thread: below it nothing can hold the loop."""
LARGE_COMPRESSED = 16 * 1024
CREDENTIALS = (b"authorization", b"x-api-key", b"api-key")
EXPOSED = (
    b"x-request-id, request-id, openai-processing-ms, retry-after, retry-after-ms, x-should-retry, "
    b"x-ratelimit-limit-requests, "
    b"x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
    b"x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, x-tollgate-upstream, x-tollgate-model, "
    b"x-tollgate-cost, x-tollgate-overhead-ms, x-tollgate-attempts, x-tollgate-dropped, x-tollgate-reported-model, "
    b"idempotent-replayed"
)


CORS: Headers = ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED))


class HungUp(Exception):
    """The client left before its request was complete."""


class Exchange:
    """One request and its answer. ``headers`` are the client's, by lower-case name; of a name sent twice, the last.

    ``sent`` are all of them; ``charged`` says that the call was settled at a cost before its answer was sent.
    """

    __slots__ = (
        "_extra", "_most_body", "_named", "_patience", "_unread", "charged", "deployment", "headers",
        "late", "query", "receive", "recorded", "request_id", "send", "sent", "started",
    )  # fmt: skip

    def __init__(
        self,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        *,
        request_id: str,
        most_body: int,
        patience: Patience,
    ) -> None:
        self.sent: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(self.sent)
        self.receive = receive
        self.send = send
        self.request_id = request_id
        self.started = self.recorded = self.late = self.charged = False
        self.deployment = ""
        self._most_body = most_body
        self._patience = patience
        self._unread = self.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.headers
        self._extra: Headers = CORS if b"origin" in self.headers else ()
        shown = b"req_" + request_id.encode()
        self._named: Headers = ((b"x-request-id", shown), (b"request-id", shown))

    def name(self, request_id: str) -> None:
        """Answer under this request's id, in OpenAI's header and in Anthropic's: a repeated answer has the first's."""
        shown = b"req_" + request_id.encode()
        self._named = ((b"x-request-id", shown), (b"request-id", shown))

    @property
    def key(self) -> bytes | None:
        """The API key of ``Authorization: Bearer``, ``x-api-key`` or ``api-key``; two that differ are refused."""
        headers = self.headers
        usual, alone = headers.get(b"authorization", b""), b"x-api-key" not in headers and b"api-key" not in headers
        if alone and usual.startswith(b"Bearer ") and len(headers) == len(self.sent):
            return usual[7:].strip()
        given = [value for name, value in self.sent if name in CREDENTIALS]
        found = {credential for value in given if (credential := _credential(value))}
        if len(found) > 1:
            raise BadRequest("Two different API keys were sent.", "invalid_api_key")
        return found.pop() if found else None

    async def body(self) -> bytes:
        """The whole body, decompressed, at most ``most_body`` bytes and MOST_VALUES values, should it be JSON.

        Raises TooLarge, RequestTimeout, UnsupportedEncoding, BadRequest, HungUp.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 18 or int(length) > self._most_body):
            raise self._too_large()
        body = await self._in_time()
        encoding = self.headers.get(b"content-encoding", b"").strip()
        if not encoding and len(body) <= LARGE:
            return body
        if len(body) <= (LARGE_COMPRESSED if encoding else LARGE):
            return self._opened(body, encoding)
        return await asyncio.to_thread(self._opened, body, encoding)

    async def _in_time(self) -> bytes:
        """The body, if it comes in time."""
        self._patience.begin(self)
        try:
            message = await self.receive()
            if not message.get("more_body", True):
                self._unread = False
                whole: bytes = message["body"]
                if len(whole) > self._most_body:
                    raise self._too_large()
                return whole
            return await self._read(message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.late or task is None:
                raise
            task.uncancel()
            self._unread = False
            raise RequestTimeout("The body took too long to arrive.", "request_timeout") from None
        finally:
            self._patience.end(self)

    async def _read(self, message: dict[str, Any]) -> bytes:
        """The body as it was sent, of which ``message`` is the beginning."""
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                self._unread = False
                raise HungUp
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most_body:
                raise self._too_large()
            if not message.get("more_body", False):
                self._unread = False
                return b"".join(parts)
            message = await self.receive()

    async def drain(self) -> None:
        """Before a refusal: read and forget what is left of the body, as long as it keeps coming, within bounds.

        Node's clients, and others, lose the answer if the connection is closed while they still send. Who waits to be
        asked for the body is not asked for it.
        """
        if not self._unread or b"expect" in self.headers:
            return
        loop = asyncio.get_running_loop()
        end, left = loop.time() + DRAIN_S, 2 * self._most_body
        with contextlib.suppress(TimeoutError):
            while self._unread and left > 0 and loop.time() < end:
                async with asyncio.timeout(SILENCE_S):
                    message = await self.receive()
                left -= len(message.get("body", b""))
                self._unread = message.get("more_body", False)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of an answer."""
        self.started = True
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *self._named, *self._extra]}
        )

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        self.started = True
        length = ((b"content-length", b"%d" % len(body)),)
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, *length, *self._named, *self._extra],
            }
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def _opened(self, body: bytes, encoding: bytes) -> bytes:
        """The body as it was before it was compressed, and known to be quick to parse. May run in a thread."""
        try:
            if encoding:
                body = content_encoding.plain(body, encoding, most=self._most_body)
        except UnknownEncoding:
            raise UnsupportedEncoding(
                f"Bodies may be sent plain, or compressed by {content_encoding.TAKEN}.", "unsupported_content_encoding"
            ) from None
        except BrokenEncoding:
            raise BadRequest("The compressed body is broken.", "invalid_content_encoding") from None
        except TooMuch:
            raise self._too_large() from None
        if len(body) > LARGE and too_many_values(body):
            raise BadRequest(f"The body has more than {MOST_VALUES} values.", "invalid_json")
        return body

    def _too_large(self) -> GatewayError:
        return TooLarge(f"The body is larger than {self._most_body} bytes.", "request_too_large")


def _credential(value: bytes) -> bytes:
    """A credential without its scheme."""
    value = value.strip()
    kind, _, credential = value.partition(b" ")
    return credential.strip() if kind.lower() == b"bearer" else value
