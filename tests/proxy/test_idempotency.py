"""Idempotency keys: one claim wins, what it answered comes again sealed in between, and failures free the key."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from proxy import idempotency
from proxy.directory import KeyGrant
from proxy.errors import BadRequest, Conflict, GatewayError, Mismatch, Unavailable
from proxy.idempotency import MOST_KEPT, Claimed, Idempotency, Recorder, Replay, ended_well
from tests.proxy.rows import Rows

MASTER_KEY = "m" * 40
PLACE = b"POST /v1/chat/completions"
JSON = ((b"content-type", b"application/json"),)


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Rows(connection, database_url)


class Process:
    """The idempotency of one gateway process, and its heartbeat."""

    def __init__(self, rows: Rows, *, master_key: str = MASTER_KEY) -> None:
        self.rows = rows
        self.owner = str(uuid.uuid4())
        self.part = Idempotency(rows.url, owner=self.owner, master_key=master_key)
        self._serial = 0
        rows.beat(self.owner)

    async def claim(self, tenant: int, key: bytes = b"k", body: bytes = b"{}", place: bytes = PLACE) -> Any:
        self._serial += 1
        return await self.part.claim(grant(tenant), key, place, body, request_id=f"{self._serial:024x}")


@pytest_asyncio.fixture
async def process(rows: Rows) -> AsyncIterator[Process]:
    one = Process(rows)
    yield one
    await one.part.close()


@pytest_asyncio.fixture
async def another(rows: Rows) -> AsyncIterator[Process]:
    one = Process(rows)
    yield one
    await one.part.close()


def grant(tenant: int) -> KeyGrant:
    return KeyGrant(tenant, 1, 1, "0" * 12, None, None, (), (), None, False)


async def outcome(claim: Any) -> str:
    try:
        return type(await claim).__name__
    except GatewayError as error:
        return str(error.code)


async def recorded(*messages: dict[str, Any]) -> tuple[Recorder, list[dict[str, Any]]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    recorder = Recorder(send)
    for message in messages:
        await recorder(message)
    return recorder, sent


def start(status: int, kind: bytes = b"application/json") -> dict[str, Any]:
    names = [(b"content-type", kind), (b"x-tollgate-cost", b"1"), (b"x-request-id", b"req_1"), (b"date", b"now")]
    return {"type": "http.response.start", "status": status, "headers": names}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_one_of_fifty_claims_at_once_wins(rows: Rows, process: Process, another: Process) -> None:
    tenant = rows.tenant()
    claims = [outcome(each.claim(tenant)) for each in (process, another) for _ in range(25)]
    found = await asyncio.gather(*claims)
    assert sorted(found) == ["Claimed"] + ["idempotency_in_progress"] * 49


async def test_it_repeats_what_was_answered_in_every_process(rows: Rows, process: Process, another: Process) -> None:
    tenant = rows.tenant()
    claimed = await process.claim(tenant)
    with pytest.raises(Conflict) as running:
        await another.claim(tenant)
    assert {(b"retry-after", b"1"), (b"x-should-retry", b"true")} <= set(running.value.headers)
    recorder, sent = await recorded(start(200), part(b'{"a":', more=True), part(b"1}"))
    await process.part.settle(claimed, recorder)
    replay = await another.claim(tenant)
    kept = (*JSON, (b"x-tollgate-cost", b"1"))
    assert replay == Replay(200, kept, b'{"a":1}', False, claimed.request_id)
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * 2


async def test_it_repeats_a_stream_byte_for_byte(rows: Rows, process: Process) -> None:
    tenant = rows.tenant()
    whole = b'data: {"choices":[]}\n\n: keepalive\n\ndata: [DONE]\n\n'
    recorder, _ = await recorded(start(200, b"text/event-stream; charset=utf-8"), part(whole, more=True), part(b""))
    await process.part.settle(await process.claim(tenant), recorder)
    replay = await process.claim(tenant)
    assert (replay.body, replay.stream) == (whole, True)


@pytest.mark.parametrize(
    ("end", "whole"),
    [
        (b"data: [DONE]\n\n", True),
        (b"data: [DONE]", True),
        (b"data: {}\r\n\r\ndata: [DONE]\r\n\r\n", True),
        (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', True),
        (b"event: response.completed\ndata: {}\n\n", True),
        (b"event: response.incomplete\ndata: {}\n\n", True),
        (b"event: response.failed\ndata: {}\n\n", False),
        (b"event: error\ndata: {}\n\n", False),
        (b'data: {"error":{"message":"data: [DONE]"}}\n\n', False),
        (b'data: {"choices":[]}\n\n', False),
        (b"", False),
    ],
)
def test_it_knows_a_whole_stream_by_its_end(end: bytes, whole: bool) -> None:
    assert ended_well(b'data: {"choices":[]}\n\n' + end) is whole


@pytest.mark.parametrize(
    "messages",
    [
        [start(500), part(b"{}")],
        [start(429), part(b"{}")],
        [start(200), part(b"{", more=True)],
        [start(200, b"text/event-stream"), part(b'data: {"error":{}}\n\n')],
        [start(200), part(b"x" * MOST_KEPT, more=True), part(b"x")],
        [],
    ],
    ids=["error", "refusal", "cut off", "broken stream", "too large", "nothing"],
)
async def test_what_is_no_whole_success_frees_the_key(
    rows: Rows, process: Process, messages: list[dict[str, Any]]
) -> None:
    tenant = rows.tenant()
    recorder, sent = await recorded(*messages)
    assert sent == messages
    await process.part.settle(await process.claim(tenant), recorder)
    assert isinstance(await process.claim(tenant, body=b"another"), Claimed)


async def test_a_client_that_left_does_not_lose_its_answer(rows: Rows, process: Process) -> None:
    async def send(message: dict[str, Any]) -> None:
        raise ConnectionResetError

    tenant, recorder = rows.tenant(), Recorder(send)
    claimed = await process.claim(tenant)
    for message in (start(200), part(b"{}")):
        with pytest.raises(ConnectionResetError):
            await recorder(message)
    await process.part.settle(claimed, recorder)
    assert isinstance(await process.claim(tenant), Replay)


async def test_whoever_has_the_whole_answer_can_repeat_the_call(rows: Rows, process: Process, another: Process) -> None:
    tenant = rows.tenant()
    claimed, repeated = await process.claim(tenant), []

    async def send(message: dict[str, Any]) -> None:
        repeated.append(await outcome(another.claim(tenant)))

    recorder = Recorder(send, keep=lambda done: process.part.settle(claimed, done))
    for message in (start(200), part(b"{", more=True), part(b"}")):
        await recorder(message)
    assert repeated == ["idempotency_in_progress"] * 2 + ["Replay"]
    await process.part.settle(claimed, recorder)
    assert (await process.claim(tenant)).body == b"{}"


async def test_another_request_under_a_key_is_refused_running_or_done(rows: Rows, process: Process) -> None:
    tenant = rows.tenant()
    claimed = await process.claim(tenant)
    for _ in range(2):
        for other in ({"body": b"{} "}, {"place": b"POST /v1/messages"}):
            with pytest.raises(Mismatch) as refused:
                await process.claim(tenant, **other)
            assert (refused.value.status, refused.value.code) == (422, "idempotency_mismatch")
        await process.part.finish(claimed, 200, JSON, b"{}")


async def test_a_key_is_one_tenants_alone(rows: Rows, process: Process) -> None:
    mine, theirs = rows.tenant(), rows.tenant()
    await process.part.finish(await process.claim(mine), 200, JSON, b"mine")
    claimed = await process.claim(theirs)
    assert isinstance(claimed, Claimed)
    rows.copy_answer(mine, theirs)
    with pytest.raises(Mismatch):  # what is sealed for one tenant opens for no other
        await process.claim(theirs)


async def test_a_claim_is_taken_over_once_its_process_is_silent(
    rows: Rows, process: Process, another: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = rows.tenant()
    monkeypatch.setattr(idempotency, "STALE_S", 1)
    rows.beat(process.owner, ago_s=0)
    first = await process.claim(tenant)
    rows.wait_since_start(2)
    rows.beat(process.owner, ago_s=0)
    with pytest.raises(Conflict):
        await another.claim(tenant)
    rows.beat(process.owner, ago_s=2)
    with pytest.raises(Mismatch):
        await another.claim(tenant, body=b"another")
    second = await another.claim(tenant)
    assert isinstance(second, Claimed)
    await process.part.finish(first, 200, JSON, b"of the silent one")
    await process.part.drop(first)
    with pytest.raises(Conflict):
        await process.claim(tenant)
    await another.part.finish(second, 200, JSON, b"of the second")
    assert (await process.claim(tenant)).body == b"of the second"


async def test_a_key_is_free_again_after_a_day(rows: Rows, process: Process) -> None:
    tenant = rows.tenant()
    await process.part.finish(await process.claim(tenant), 200, JSON, b"{}")
    rows.expire_answers()
    assert isinstance(await process.claim(tenant, body=b"another"), Claimed)


@pytest.mark.parametrize("key", [b"", b"k" * 256, b"a b", b"a\x7f", "é".encode()])
async def test_it_refuses_what_is_no_key(rows: Rows, process: Process, key: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        await process.claim(1, key)
    assert refused.value.param == "Idempotency-Key"


async def test_what_is_kept_cannot_be_read_in_the_database_or_with_another_master_key(
    rows: Rows, process: Process
) -> None:
    tenant = rows.tenant()
    await process.part.finish(await process.claim(tenant), 200, JSON, b"a secret answer")
    assert b"secret" not in rows.sealed(tenant)
    stranger = Process(rows, master_key="n" * 40)
    with pytest.raises(Mismatch):
        await stranger.claim(tenant)
    await stranger.part.close()


async def test_large_answers_are_kept_up_to_the_bound(rows: Rows, process: Process) -> None:
    tenant, body = rows.tenant(), bytes(range(256)) * 4096 * 16
    assert len(body) == MOST_KEPT
    await process.part.finish(await process.claim(tenant), 200, JSON, body)
    await asyncio.gather(*process.part._writing)  # nobody waits for a slow disk longer than a second
    assert (await process.claim(tenant)).body == body


async def test_without_the_database_a_call_with_a_key_does_not_run() -> None:
    part = Idempotency("postgresql://nobody@127.0.0.1:9/none", owner=str(uuid.uuid4()), master_key=MASTER_KEY)
    with pytest.raises(Unavailable):
        await part.claim(grant(1), b"k", PLACE, b"{}", request_id="0" * 24)
    await part.close()
