"""The gateway's driver of the journal: the address it is given, a caller that leaves, a spool that is no good."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from asyncpg.protocol import protocol

from proxy.journal import Journal, Opening, Settlement, abandoned
from proxy.postgres import unambiguous
from proxy.spool import Spool
from tests.proxy.town import Town


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p@db:5433/name", "postgresql://u:p@db:5433/name"),
        ("postgresql://u@/name?host=/run", "postgresql://u@/name?host=/run"),
        ("postgresql://u@:5433/name?host=/run", "postgresql://u@/name?host=/run&port=5433"),
        ("postgresql://:5433/name?host=/run", "postgresql:///name?host=/run&port=5433"),
    ],
)
def test_it_finds_the_port_where_libpq_finds_it(dsn: str, expected: str) -> None:
    assert unambiguous(dsn) == expected


def test_it_still_finds_the_slow_question_that_asyncpg_asks_of_every_element() -> None:
    source = resources.files("asyncpg.protocol.codecs").joinpath("array.pyx").read_text()
    assert "isinstance(obj, IterableABC)" in source
    assert protocol.IterableABC == (list, tuple)


async def test_a_caller_cancelled_just_after_its_row_was_written_leaves_no_row_open(tmp_path: Path) -> None:
    journal = Journal("postgresql://nowhere", tmp_path, delivered=list)
    now = datetime.now(UTC)
    opening = Opening("0" * 32, 1, 1, 1, "m", "m", 1, False, now, now, 5, 1, "{1}")
    calling = asyncio.create_task(journal.open(opening))
    await asyncio.sleep(0)
    ((_, answer),) = journal._openings
    answer.set_result(None)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert journal._settlements == [abandoned(opening)]


async def test_it_keeps_only_what_can_be_stored_of_the_name_an_upstream_gives_its_model(tmp_path: Path) -> None:
    journal = Journal("postgresql://nowhere", tmp_path, delivered=list)
    for name in ("gpt\0-4", "a" * 100_000):
        journal.settle(Settlement("0" * 32, 1, "settled", "exact", 1, 0, "", "", "", "", (0,) * 20, 0, name))
    assert [one.reported_model for one in journal._settlements] == ["gpt-4", "a" * 200]


async def test_a_spooled_row_that_cannot_be_settled_stops_no_gateway_from_starting(town: Town, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "dead")
    ends = [("\0", "00"), ("", "01")]
    spool.write([Settlement(n * 16, 1, "voided", None, 0, 0, "", "", code, "", (0,) * 20) for code, n in ends])
    assert spool._file is not None
    spool._file.close()  # as when the process ends
    journal = Journal(town.product.database_url, tmp_path, delivered=list)
    await journal.start()
    assert os.listdir(tmp_path) == []
    await journal.stop(within_s=5)
