"""Everything that upstreams were seen to send, through the translators: the same words and counts at every cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from proxy.sandbox.replay import load
from tests.proxy.corpus_case import CORPUS, cases, check, streamed, whole

EVERY_CUT_UP_TO = 1500
RANDOM_CUTS = 40
SLOW = 100_000


@pytest.mark.parametrize(("dialect", "path"), cases(".sse"), ids=lambda value: getattr(value, "stem", value))
def test_it_reads_the_stream_as_it_comes(dialect: str, path: Path) -> None:
    case = load(path)
    check(case, streamed(dialect, case, [case.data]))


@pytest.mark.parametrize(("dialect", "path"), cases(".sse"), ids=lambda value: getattr(value, "stem", value))
def test_it_reads_the_stream_the_same_wherever_it_is_cut(dialect: str, path: Path) -> None:
    case = load(path)
    data = case.data
    wanted = streamed(dialect, case, [data])
    if len(data) <= EVERY_CUT_UP_TO:
        places = [[place] for place in range(1, len(data))]
    else:
        draw = random.Random(path.stem)
        rounds = RANDOM_CUTS if len(data) < SLOW else 3
        places = [sorted(draw.sample(range(1, len(data)), min(20, len(data) - 1))) for _ in range(rounds)]
    for cuts in places:
        parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert streamed(dialect, case, parts) == wanted, cuts


@pytest.mark.parametrize(("dialect", "path"), cases(".sse"), ids=lambda value: getattr(value, "stem", value))
def test_it_reads_the_stream_byte_by_byte(dialect: str, path: Path) -> None:
    case = load(path)
    if len(case.data) < SLOW:
        check(case, streamed(dialect, case, [case.data[place : place + 1] for place in range(len(case.data))]))


@pytest.mark.parametrize(("dialect", "path"), cases(".txt"), ids=lambda value: getattr(value, "stem", value))
def test_it_reads_the_whole_answer(dialect: str, path: Path) -> None:
    case = load(path)
    check(case, whole(dialect, case))


def test_every_case_has_one_name_and_tells_what_it_is_about() -> None:
    files = [path for path in CORPUS.glob("*/*") if path.suffix in (".sse", ".txt")]
    assert len({path.stem for path in files}) == len(files) > 200
    assert {path.with_suffix(".json") for path in files} == set(CORPUS.glob("*/*.json"))
    assert all(load(path).told["about"] for path in files)
