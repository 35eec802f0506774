"""The table of errors: it has every error the code can give, and the file and clients agree with it."""

from __future__ import annotations

from pathlib import Path

import httpx2
import openai
import pytest

from proxy import error_table
from proxy.error_table import ERRORS
from tests.proxy import raised

FILE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "errors.md"
THEIRS = {(400, "content_filter"), (400, "context_length_exceeded")}
"""Codes that only upstreams give, and that pass."""
HUNG_UP = 499
"""The status of receipts, which nobody is sent."""
CAUGHT_BEFORE = {(400, "invalid_request_error", "insufficient_quota")}
"""Anthropic's word for the operator's empty account, which is 502 before it could be the client's 400."""


def test_the_file_is_what_the_table_says() -> None:
    """Made anew by ``manage.py error_reference > docs/guide/errors.md``."""
    assert FILE.read_text(encoding="utf-8") == "\n".join(error_table.markdown()) + "\n"


def test_every_error_the_code_raises_is_in_the_table() -> None:
    known = {(row.status, row.type, row.code) for row in ERRORS} | CAUGHT_BEFORE
    found = raised.everywhere()
    assert {error: place for error, place in found.items() if error not in known and error[0] != HUNG_UP} == {}


def test_everything_in_the_table_is_raised_somewhere() -> None:
    found = {(status, code) for status, _, code in raised.everywhere()} | THEIRS
    assert [row for row in ERRORS if (row.status, row.code) not in found] == []


def test_a_code_is_in_the_table_once_for_a_status() -> None:
    assert len({(row.status, row.code) for row in ERRORS}) == len(ERRORS)


@pytest.mark.parametrize("row", error_table.statuses(), ids=lambda row: str(row.status))
def test_the_class_is_what_the_sdk_makes_of_the_status(row: error_table.StatusRow) -> None:
    with openai.OpenAI(api_key="sk", base_url="http://127.0.0.1") as client:
        answer = httpx2.Response(row.status, request=httpx2.Request("POST", "http://127.0.0.1"))
        assert type(client._make_status_error("", body=None, response=answer)).__name__ == row.openai
