"""Idempotency keys: a call that is repeated within a day gets the answer of the first, and is charged once.

How an endpoint uses it, once it has authenticated and read the body::

    once = Once(idempotency, grant, path, body)
    try:
        ...  # refuse what may not be called
        await once.claim(exchange)
        ...  # serve the call
    except Repeated as repeated:
        await exchange.respond(repeated.answer.status, ...)  # a stream's bytes, all at once
    finally:
        await once.settle()

Only a whole answer of status 2xx is kept; after anything else the key is free again. What is kept is sealed with
AES-256-GCM, under a key for this purpose alone, bound to the tenant and the idempotency key.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import asyncpg
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from billing.sealing import derive
from proxy.directory import KeyGrant
from proxy.errors import BadRequest, Conflict, Mismatch, Unavailable, retry_after
from proxy.exchange import Exchange
from proxy.postgres import AWAY, Connections

logger = logging.getLogger(__name__)

CLAIM = "SELECT outcome, request_id, status, sealed FROM claim_idempotency($1, $2, $3, $4, $5, $6, $7)"
FINISH = "SELECT finish_idempotency($1, $2, $3, $4, $5, $6, $7)"
DROP = "SELECT drop_idempotency($1, $2, $3, $4)"

KEPT_S = 24 * 3600
STALE_S = 15
"""How long a gateway process is silent before its claims may be taken over."""
LONGEST_KEY = 255
MOST_KEPT = 16 * 1024 * 1024
"""Larger answers are not kept: the key is free again, and a repeated call runs, and costs, anew."""
LARGE = 256 * 1024
"""More bytes than this are digested and sealed in a thread."""
AGAIN_S, MOST_TRIES, MOST_WAITING = 1.0, 60, 256

_VERSION = b"\x01"
_NONCE = 12
_NOT_KEPT = (b"x-request-id", b"x-ratelimit-")
_STREAM = b"text/event-stream"
_WHOLE = (b"data: [DONE]", b"event: message_stop", b"event: response.completed", b"event: response.incomplete")
_LAST_EVENT = 1024 * 1024

Headers = tuple[tuple[bytes, bytes], ...]
Done = TypeVar("Done")
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Claimed(NamedTuple):
    """The right to run the call under a key, to be settled whatever becomes of it."""

    tenant_id: int
    key_hash: bytes
    request_id: str


class Replay(NamedTuple):
    """The stored answer. ``request_id`` (24 hex digits) is the call's that was charged."""

    status: int
    headers: Headers
    body: bytes
    stream: bool
    request_id: str


class Recorder:
    """An ASGI ``send`` that passes messages on and keeps what was sent.

    A client that is gone stops nothing here: what the endpoint goes on to send is still kept, should it send it.
    ``keep`` is awaited before the last message goes out: whoever has the whole answer can repeat the call.
    """

    __slots__ = ("_keep", "_parts", "_send", "_size", "ended", "headers", "settled", "status")

    def __init__(self, send: Send, *, keep: Callable[[Recorder], Awaitable[None]] | None = None) -> None:
        self._send = send
        self._keep = keep
        self.settled = False
        self._parts: list[bytes] = []
        self._size = 0
        self.status = 0
        self.headers: Headers = ()
        self.ended = False

    async def __call__(self, message: dict[str, Any]) -> None:
        """Keep a message, then send it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple((name, value) for name, value in message["headers"] if _kept(name))
        elif message["type"] == "http.response.body":
            part = message.get("body", b"")
            self._size += len(part)
            if self._size <= MOST_KEPT:
                self._parts.append(part)
            else:
                self._parts.clear()
            self.ended = not message.get("more_body", False)
            if self.ended and self._keep is not None:
                await self._keep(self)
        await self._send(message)

    def answer(self) -> bytes | None:
        """The body of a whole, successful answer that is not too large to keep; else None."""
        if not self.ended or not 200 <= self.status < 300 or self._size > MOST_KEPT:
            return None
        whole = b"".join(self._parts)
        return whole if not is_stream(self.headers) or ended_well(whole) else None


class Idempotency:
    """Claims of one gateway process. Fails closed: without PostgreSQL a call with a key does not run."""

    def __init__(self, dsn: str, *, owner: str, master_key: str) -> None:
        """``owner`` is the journal's: its heartbeats tell others that claims of this process are alive."""
        self._connections = Connections(dsn, most=3)
        self._owner = owner
        self._cipher = AESGCM(derive(master_key, b"tollgate idempotent answers", 32))
        self._writing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up what could not be written; its claims can be taken over once this process is silent."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._connections.close()

    async def claim(
        self, grant: KeyGrant, key: bytes, method_path: bytes, body: bytes, *, request_id: str
    ) -> Claimed | Replay:
        """The right to run, or what was answered before to the same request under this key of the tenant.

        ``key`` is the header's value, 1 to 255 visible characters. Raises BadRequest, Conflict (409 while the first
        runs), Mismatch (422, another request) or Unavailable.
        """
        check(key)
        key_hash, body_hash = hashlib.sha256(key).digest(), await _digest(method_path, body)
        arguments = (grant.tenant_id, key_hash, body_hash, request_id, self._owner, STALE_S, KEPT_S)
        try:
            ((outcome, first, status, sealed),) = await self._connections.fetch(CLAIM, *arguments)
        except AWAY as error:
            logger.warning("PostgreSQL is away: %s", error)
            message = "Your idempotency key cannot be checked at the moment. Try again."
            raise Unavailable(503, message, "shutting_down") from None
        claimed = Claimed(grant.tenant_id, key_hash, request_id)
        if outcome == "claimed":
            return claimed
        if outcome == "running":
            raise Conflict(
                f"The call req_{first} with this idempotency key is still running. Try again.",
                "idempotency_in_progress",
                headers=(*retry_after(1000), (b"x-should-retry", b"true")),
            )
        if outcome == "mismatch":
            message = f"This idempotency key was used for another request, req_{first}."
            raise Mismatch(message, "idempotency_mismatch", headers=((b"x-should-retry", b"false"),))
        return await self._replay(claimed, first, status, sealed)

    async def settle(self, claimed: Claimed, recorder: Recorder) -> None:
        """Keep what was answered if it is whole and was a success; else free the key. Once; never fails."""
        if recorder.settled:
            return
        recorder.settled = True
        answer = recorder.answer()
        if answer is None:
            await self.drop(claimed)
        else:
            await self.finish(claimed, recorder.status, recorder.headers, answer)

    async def finish(self, claimed: Claimed, status: int, headers: Headers, body: bytes) -> None:
        """Keep an answer for a day; one that is no success, or too large, frees the key."""
        if not 200 <= status < 300 or len(body) > MOST_KEPT:
            await self.drop(claimed)
            return
        sealed = await _aside(len(body), lambda: self._seal(claimed, headers, body))
        await self._write(FINISH, *claimed, self._owner, status, sealed, KEPT_S)

    async def drop(self, claimed: Claimed) -> None:
        """Free the key: nothing was answered that is worth repeating."""
        await self._write(DROP, *claimed, self._owner)

    async def _write(self, query: str, *arguments: Any) -> None:
        """Write once, whatever becomes of the caller; while PostgreSQL is away, for a minute in the background."""
        task = asyncio.create_task(self._try(query, arguments), name="idempotency")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        await asyncio.wait({task}, timeout=AGAIN_S)

    async def _try(self, query: str, arguments: tuple[Any, ...]) -> None:
        for _ in range(MOST_TRIES):
            try:
                await self._connections.fetch(query, *arguments)
            except AWAY as error:
                logger.warning("PostgreSQL is away: %s", error)
            except asyncpg.PostgresError:
                logger.exception("an idempotency key was not settled")
                break
            else:
                return
            if len(self._writing) > MOST_WAITING:
                break
            await asyncio.sleep(AGAIN_S)
        logger.error("the claim of req_%s stays, its answer is lost", arguments[2])

    async def _replay(self, claimed: Claimed, first: str, status: int, sealed: bytes) -> Replay:
        try:
            headers, body = await _aside(len(sealed), lambda: self._open(claimed, sealed))
        except InvalidTag:
            message = "The answer kept for this idempotency key can no longer be read. Use another key."
            raise Mismatch(message, "idempotency_mismatch", headers=((b"x-should-retry", b"false"),)) from None
        return Replay(status, headers, body, is_stream(headers), first)

    def _seal(self, claimed: Claimed, headers: Headers, body: bytes) -> bytes:
        """``version + nonce + box``; in the box the headers as JSON, a line feed, and the body."""
        nonce = os.urandom(_NONCE)
        names = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
        return _VERSION + nonce + self._cipher.encrypt(nonce, orjson.dumps(names) + b"\n" + body, _bound_to(claimed))

    def _open(self, claimed: Claimed, sealed: bytes) -> tuple[Headers, bytes]:
        if sealed[:1] != _VERSION:
            raise InvalidTag
        nonce, box = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        names, _, body = self._cipher.decrypt(nonce, box, _bound_to(claimed)).partition(b"\n")
        return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(names)), body


class Repeated(Exception):
    """The call was made before: ``answer`` is what it gets."""

    def __init__(self, answer: Replay) -> None:
        super().__init__(answer.request_id)
        self.answer = answer


class Once:
    """One call under the idempotency key of its headers, from the claim to what is kept of its answer."""

    __slots__ = ("_claimed", "_grant", "_idempotency", "_path", "_recorder", "body")

    def __init__(self, idempotency: Idempotency, grant: KeyGrant, path: str, body: bytes) -> None:
        self._idempotency = idempotency
        self._grant = grant
        self._path = path.encode()
        self.body = body
        self._claimed: Claimed | None = None
        self._recorder: Recorder | None = None

    async def claim(self, exchange: Exchange) -> None:
        """Take the key, and record what the exchange answers from here on; raises Repeated, or as Idempotency.claim."""
        idempotency = self._idempotency
        claimed = await idempotency.claim(
            self._grant,
            exchange.headers[b"idempotency-key"],
            self._path,
            self.body,
            request_id=exchange.request_id,
        )
        if isinstance(claimed, Replay):
            raise Repeated(claimed)
        self._claimed = claimed
        self._recorder = Recorder(exchange.send, keep=lambda done: idempotency.settle(claimed, done))
        exchange.send = self._recorder
        exchange.recorded = True

    async def settle(self) -> None:
        """Keep the answer or free the key, if it was taken."""
        if self._claimed is not None and self._recorder is not None:
            await self._idempotency.settle(self._claimed, self._recorder)


def check(key: bytes) -> None:
    """Raise BadRequest for what is no idempotency key."""
    if not 1 <= len(key) <= LONGEST_KEY or any(not 0x21 <= byte <= 0x7E for byte in key):
        raise BadRequest(
            f"An idempotency key has 1 to {LONGEST_KEY} visible ASCII characters.",
            "invalid_idempotency_key",
            param="Idempotency-Key",
        )


def is_stream(headers: Headers) -> bool:
    """Whether an answer with these headers is a stream of events."""
    return any(name == b"content-type" and value.startswith(_STREAM) for name, value in headers)


def ended_well(stream: bytes) -> bool:
    """Whether a stream has the end of a whole one, in the words of any surface: one cut off or failed has not."""
    tail = stream[-_LAST_EVENT:].replace(b"\r\n", b"\n").rstrip(b"\n")
    last = tail[tail.rfind(b"\n\n") + 2 :] if b"\n\n" in tail else tail
    return last.startswith(_WHOLE)


def _kept(name: bytes) -> bool:
    return name == b"content-type" or (name.startswith(b"x-") and not name.startswith(_NOT_KEPT))


def _bound_to(claimed: Claimed) -> bytes:
    return b"tenant:%d:key:" % claimed.tenant_id + claimed.key_hash


async def _digest(method_path: bytes, body: bytes) -> bytes:
    return await _aside(len(body), lambda: hashlib.sha256(method_path + b"\n" + body).digest())


async def _aside(size: int, work: Callable[[], Done]) -> Done:
    """Do it here, or in a thread where it takes long."""
    return await asyncio.to_thread(work) if size > LARGE else work()
