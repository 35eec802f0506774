"""The small parts of the gateway: ids, spans of limits, the spool, headers, verdicts on upstreams."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from billing.pricing import PriceList, PriceVersion
from proxy.dialects.shape import FailureMessage
from proxy.directory import NO_RULES, ModelEntry
from proxy.errors import excerpt, retry_after
from proxy.headers import duration
from proxy.journal import Settlement, abandoned, restored
from proxy.request_id import RequestIds, as_uuid
from proxy.snapshot import build_spans
from proxy.spool import Spool
from proxy.upstream import judge

# -- request ids


def test_ids_are_unique_ordered_uuids_of_24_digits() -> None:
    ids = RequestIds()
    made = [ids.next() for _ in range(100_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    for each in made[::10_000]:
        value = UUID(as_uuid(each))
        assert len(each) == 24
        assert value.version == 7
        assert value.variant == "specified in RFC 4122"
        assert value.int & 0xFFFFFFFF == 0
        assert abs((value.int >> 80) / 1000 - datetime.now(UTC).timestamp()) < 60


def test_ids_go_on_when_their_count_wraps() -> None:
    ids = RequestIds()
    ids._count = 0x3FFFFFFFFFF - 1
    assert len({ids.next() for _ in range(5)}) == 5


def test_ids_of_two_processes_differ() -> None:
    makers = [RequestIds() for _ in range(20)]
    made = [maker.next() for _ in range(1_000) for maker in makers]
    assert len(set(made)) == len(made)


# -- spans of limits

START = datetime(2026, 11, 1, tzinfo=UTC)


def allowance(number: int, start: int | None, end: int | None, scope: str | None = "tenant") -> dict[str, Any]:
    day = timedelta(days=1)
    return {
        "id": number,
        "starts_at": START - timedelta(days=1000) if start is None else START + start * day,
        "ends_at": None if end is None else START + end * day,
        "scope": scope,
        "scope_id": 1 if scope else None,
        "window": "month" if scope else None,
        "mode": "postpaid",
    }


def test_spans_tile_the_windows_of_every_limit() -> None:
    rows = [allowance(1, None, None, None), allowance(2, 0, 30), allowance(3, 30, 61), allowance(4, 29, 30, "api_key")]
    rows.append(allowance(5, 30, 31, "api_key"))
    spans = list(build_spans(rows, needed=3))
    assert [(span.start.day, span.end and span.end.day, span.literal) for span in spans] == [
        (30, 1, "{1,2,4}"),
        (1, 2, "{1,3,5}"),
    ]
    assert spans[0].names[1].scope == "wallet"
    assert spans[1].names[5].resets_at == START + timedelta(days=31)


def test_a_stretch_that_lacks_a_limit_is_no_span() -> None:
    rows = [allowance(1, None, None, None), allowance(2, 0, 30), allowance(3, 40, 50)]
    spans = list(build_spans(rows, needed=2))
    assert [(span.start, span.literal) for span in spans] == [
        (START, "{1,2}"),
        (START + timedelta(days=40), "{1,3}"),
    ]
    assert list(build_spans(rows, needed=3)) == []
    assert list(build_spans([], needed=1)) == []
    assert [span.end for span in build_spans(rows[:1], needed=1)] == [None]


def test_two_windows_of_one_limit_at_once_are_no_span() -> None:
    rows = [allowance(1, None, None, None), allowance(2, 0, 30), allowance(3, 20, 50)]
    spans = [span.literal for span in build_spans(rows, needed=2)]
    assert spans == ["{1,2}", "{1,3}"]


# -- prices


def test_a_price_agreed_for_later_leaves_the_default_one_in_force_until_then() -> None:
    def version(number: int, start: int, end: int | None) -> PriceVersion:
        day = timedelta(days=1)
        return PriceVersion(number, START + start * day, None if end is None else START + end * day, *(number,) * 10)

    prices = {None: PriceList((version(1, 0, None),)), 7: PriceList((version(2, 10, 20),))}
    entry = ModelEntry("m", 0, 1000, 100, NO_RULES, (), (), prices)
    found = [(day, entry.price_at(START + timedelta(days=day), 7)) for day in (-1, 0, 10, 19, 20)]
    assert [(day, price and price.id) for day, price in found] == [(-1, None), (0, 1), (10, 2), (19, 2), (20, 1)]
    later = entry.price_at(START + timedelta(days=15), None)
    assert later
    assert later.id == 1


# -- the spool


def settlement(number: int) -> Settlement:
    counts = (number, *(0,) * 19)
    return Settlement(f"{number:032x}", 1, "settled", "exact", number, 0, "u", "m", "", "stop", counts, 7, "m-0613", 9)


def test_the_spool_keeps_what_a_dead_process_wrote(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "dead")
    spool.write([settlement(1), settlement(2)])
    spool.write([settlement(1), settlement(2), settlement(3)])
    assert spool._file is not None
    spool._file.close()  # the lock goes with the process
    (leftover,) = Spool(tmp_path, "next").leftovers()
    assert [restored(row) for row in leftover.rows] == [settlement(1), settlement(2), settlement(3)]
    leftover.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_spool_drops_a_last_line_that_was_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "dead")
    spool.write([settlement(1), settlement(2)])
    assert spool._file is not None
    spool._file.close()
    path = tmp_path / "dead.jsonl"
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        (leftover,) = Spool(tmp_path, "next").leftovers()
        leftover.file.close()
        assert len(leftover.rows) == data[:cut].count(b"\n")


def test_nobody_takes_the_spool_of_a_living_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "living")
    spool.write([settlement(1)])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(count_leftovers, (tmp_path,)) == 0
    spool.clear()
    assert list(tmp_path.iterdir()) == []
    spool.write([settlement(1)])
    assert len((tmp_path / "living.jsonl").read_bytes().splitlines()) == 1
    spool.clear()


def count_leftovers(folder: Path) -> int:
    return len(Spool(folder, "other").leftovers())


def test_an_abandoned_call_costs_nothing() -> None:
    class Row:
        id, tenant_id = "0" * 32, 7

    end = abandoned(Row())  # type: ignore[arg-type]
    assert (end.state, end.basis, end.cost, len(end.counts), end.flags) == ("voided", None, 0, 20, 1)


# -- headers and errors


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(-5, b"0ms"), (0, b"0ms"), (20, b"20ms"), (999, b"999ms"), (1000, b"1s"), (1001, b"2s"), (59_001, b"1m0s"),
     (60_000, b"1m0s"), (360_000, b"6m0s"), (61_500, b"1m2s")],
)  # fmt: skip
def test_durations_read_as_openais(milliseconds: int, text: bytes) -> None:
    assert duration(milliseconds) == text


def test_retry_after_is_whole_seconds_and_at_most_two_minutes() -> None:
    assert retry_after(1) == ((b"retry-after", b"1"), (b"retry-after-ms", b"1"))
    assert retry_after(1001)[0] == (b"retry-after", b"2")
    assert retry_after(10**9) == ((b"retry-after", b"120"), (b"retry-after-ms", b"120000"))
    assert retry_after(-1)[1] == (b"retry-after-ms", b"1")


def test_excerpts_are_short_and_printable() -> None:
    assert excerpt("a" * 100) == "a" * 64
    assert excerpt("a\0\r\n\x1b[31m") == "a\ufffd\ufffd\ufffd\ufffd[31m"


# -- upstreams


@pytest.mark.parametrize(
    ("status", "shown", "code", "next_route"),
    [
        (400, 400, "invalid_value", False),
        (413, 400, "invalid_value", False),
        (422, 400, "invalid_value", False),
        (401, 502, "bad_gateway", True),
        (402, 502, "bad_gateway", True),
        (403, 502, "bad_gateway", True),
        (404, 502, "bad_gateway", True),
        (408, 504, "timeout", True),
        (429, 503, "upstream_overloaded", True),
        (500, 502, "bad_gateway", True),
        (502, 502, "bad_gateway", True),
        (503, 503, "upstream_overloaded", True),
        (504, 504, "timeout", True),
        (529, 503, "upstream_overloaded", True),
        (301, 502, "bad_gateway", True),
        (307, 502, "bad_gateway", True),
        (204, 502, "bad_gateway", True),
    ],
)
def test_every_status_of_an_upstream_has_a_verdict(status: int, shown: int, code: str, next_route: bool) -> None:
    failure = judge(status, FailureMessage("said"), None)
    assert (failure.error.status, failure.error.code, failure.next_route) == (shown, code, next_route)


def test_what_is_the_operators_problem_is_not_told_to_the_client() -> None:
    for status in (401, 402, 403, 404):
        assert "said" not in judge(status, FailureMessage("said: sk-123"), None).error.message


def test_a_refused_request_keeps_the_upstreams_reason() -> None:
    error = judge(400, FailureMessage("too long", "context_length_exceeded", "messages"), None).error
    assert (error.message, error.code, error.param) == ("too long", "context_length_exceeded", "messages")
    assert judge(400, FailureMessage("exceeds the Context window"), None).error.code == "context_length_exceeded"


def test_retry_after_of_an_upstream_is_passed_on() -> None:
    failure = judge(429, FailureMessage(), "7")
    assert failure.retry_after_s == 7
    assert dict(failure.error.headers)[b"retry-after"] == b"7"
    for nonsense in (None, "", "soon", "-1", "1.5", "9999999", "Fri, 31 Dec 1999 23:59:59 GMT"):
        assert judge(503, FailureMessage(), nonsense).retry_after_s is None


def test_the_counter_of_ids_starts_anywhere() -> None:
    starts = {RequestIds().next()[13:] for _ in zip(range(50), count(), strict=False)}
    assert len(starts) == 50


def test_two_windows_of_one_limit_do_not_stand_for_another() -> None:
    rows = [allowance(1, None, None, None), allowance(2, 0, 30), allowance(3, 0, 30)]
    assert list(build_spans(rows, needed=3)) == []
