"""The thirty-seven invariants of money each have a test named by their number, and a place in the document."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
DOCUMENT = TESTS.parent / "docs" / "invariants.md"
NUMBERS = range(1, 38)
NAME = re.compile(r"test_invariant_((?:\d+_)+)\w+")


def numbered() -> dict[int, set[str]]:
    """The tests of each invariant: ``test_invariant_<n>_…``, or several numbers in a row."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := NAME.fullmatch(node.name)):
                for number in match[1].strip("_").split("_"):
                    found[int(number)].add(path.relative_to(TESTS).as_posix())
    return found


@pytest.fixture(scope="module")
def tests() -> dict[int, set[str]]:
    return numbered()


@pytest.mark.parametrize("number", NUMBERS)
def test_every_invariant_has_a_test_named_by_its_number(tests: dict[int, set[str]], number: int) -> None:
    assert tests[number]


def test_no_test_is_named_by_a_number_there_is_not(tests: dict[int, set[str]]) -> None:
    assert set(tests) <= set(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_document_names_files_that_hold_an_invariant(tests: dict[int, set[str]], number: int) -> None:
    rows = re.findall(rf"^\| {number} \|.*$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == 1
    named = set(re.findall(r"`([\w/]+\.py)`", rows[0]))
    assert named
    assert named <= tests[number]
