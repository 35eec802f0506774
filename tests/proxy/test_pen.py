"""The gateway's pen in the journal, on a real PostgreSQL whose answers get lost."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from proxy import journal, postgres
from proxy.journal import Journal, JournalAway, Opening, Settlement
from proxy.postgres import Connection
from proxy.request_id import RequestIds, as_uuid
from tests.proxy.town import Town

pytestmark = pytest.mark.timeout(120)


class Pen:
    """A journal of its own on the town's database, and calls like one that the gateway made."""

    def __init__(self, town: Town, key: str, folder: Path) -> None:
        self.town = town
        self.like = town.event(town.post(key).headers["x-request-id"])
        self.journal = Journal(town.product.database_url, folder, delivered=list)
        self.ids = RequestIds()

    def opening(self) -> Opening:
        now, like = datetime.now(UTC), self.like
        allowances = "{" + ",".join(map(str, like["allowances"])) + "}"
        return Opening(
            as_uuid(self.ids.next()), like["tenant_id"], like["project_id"], like["api_key_id"], like["model"],
            like["model"], like["price_id"], False, now, now + timedelta(minutes=5), 10**9, 5, allowances,
        )  # fmt: skip

    def settlement(self, opening: Opening, *, prompt: int = 5) -> Settlement:
        counts = (5, *(0,) * 5, 2, *(0,) * 5, prompt, 2, 1, 200, 1, 2, 7, 1)
        return Settlement(
            opening.id, opening.tenant_id, "settled", "exact", 13 * 10**6, 0, "sandbox", "m", "", "stop", counts
        )

    async def ended(self, opening: Opening) -> dict[str, Any]:
        return await asyncio.to_thread(self.town.event, opening.id[:24])


class Losing:
    """Makes the connection break after, or before, statements of one kind, while ``on``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, statement: str, *, after: bool) -> None:
        self.on = True
        fetch = Connection.fetch

        async def losing(connection: Connection, query: str, *arguments: Any) -> list[Any]:
            hit = self.on and query == statement
            if hit and not after:
                raise ConnectionResetError
            rows = await fetch(connection, query, *arguments)
            if hit:
                raise ConnectionResetError
            return rows

        monkeypatch.setattr(Connection, "fetch", losing)


async def test_it_voids_what_was_opened_behind_a_lost_answer(
    town: Town, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pen = Pen(town, key, tmp_path)
    losing = Losing(monkeypatch, journal.OPEN, after=True)
    await pen.journal.start()
    opening = pen.opening()
    with pytest.raises(JournalAway):
        await pen.journal.open(opening)
    row = await pen.ended(opening)
    assert (row["state"], row["cost"]) == ("voided", 0)
    losing.on = False
    following = pen.opening()
    assert await pen.journal.open(following) is None
    pen.journal.settle(pen.settlement(following))
    await pen.journal.stop(within_s=5)


@pytest.mark.parametrize("after", [False, True])
async def test_it_settles_once_what_the_spool_kept(
    town: Town, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    pen = Pen(town, key, tmp_path)
    await pen.journal.start()
    openings = [pen.opening() for _ in range(3)]
    assert await asyncio.gather(*map(pen.journal.open, openings)) == [None] * 3
    losing = Losing(monkeypatch, journal.SETTLE, after=after)
    for opening in openings:
        pen.journal.settle(pen.settlement(opening))
    await pen.journal.stop(within_s=0.5)
    assert len(os.listdir(tmp_path)) == 1
    assert pen.journal._spool._file is not None
    pen.journal._spool._file.close()  # as when the process ends
    losing.on = False
    following = Journal(town.product.database_url, tmp_path, delivered=list)
    await following.start()
    for opening in openings:
        row = await pen.ended(opening)
        assert (row["state"], row["basis"], row["cost"]) == ("settled", "exact", 13 * 10**6)
    assert os.listdir(tmp_path) == []
    await following.stop(within_s=5)


async def test_a_row_that_cannot_be_settled_keeps_no_other_back(town: Town, key: str, tmp_path: Path) -> None:
    pen = Pen(town, key, tmp_path)
    await pen.journal.start()
    good, bad, last = openings = [pen.opening() for _ in range(3)]
    assert await asyncio.gather(*map(pen.journal.open, openings)) == [None] * 3
    pen.journal.settle(pen.settlement(good))
    pen.journal.settle(pen.settlement(bad, prompt=6))  # not the sum of its classes
    pen.journal.settle(pen.settlement(last))
    assert [(await pen.ended(each))["basis"] for each in (good, last)] == ["exact", "exact"]
    assert [row["state"] for row in town.events("id = %s::uuid", bad.id)] == ["open"]
    pen.journal.settle(pen.settlement(bad))
    assert (await pen.ended(bad))["basis"] == "exact"
    await pen.journal.stop(within_s=5)


async def test_a_batch_refuses_only_what_does_not_fit(town: Town, key: str, tmp_path: Path) -> None:
    pen = Pen(town, key, tmp_path)
    await pen.journal.start()
    openings = [pen.opening()._replace(hold=10**18 if n % 2 else 10**6) for n in range(10)]
    refusals = await asyncio.gather(*map(pen.journal.open, openings))
    assert [refusal is None for refusal in refusals] == [True, False] * 5
    assert all(refusal is None or refusal.allowance_id in pen.like["allowances"] for refusal in refusals)
    for opening, refusal in zip(openings, refusals, strict=True):
        if refusal is None:
            pen.journal.settle(pen.settlement(opening))
    await pen.journal.stop(within_s=5)
    assert pen.journal.waiting == 0


async def test_it_voids_what_a_lock_kept_waiting_too_long(
    town: Town, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pen = Pen(town, key, tmp_path)
    await pen.journal.start()
    monkeypatch.setattr(postgres, "STATEMENT_TIMEOUT_S", 0.3)
    opening = pen.opening()
    blocker = await asyncpg.connect(postgres.unambiguous(town.product.database_url))
    try:
        async with blocker.transaction():
            await blocker.execute(
                "SELECT FROM billing_allowance WHERE id = ANY ($1) FOR UPDATE", pen.like["allowances"]
            )
            with pytest.raises(JournalAway):
                await pen.journal.open(opening)
    finally:
        await blocker.close()
    await pen.journal.stop(within_s=5)
    assert pen.journal.waiting == 0
    rows = await asyncio.to_thread(town.events, "id = %s::uuid", opening.id)
    assert [row["state"] for row in rows if row["state"] == "open"] == []
