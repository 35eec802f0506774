"""The reference of parameters: the page and the file say what the table checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from proxy import reference
from proxy.parameter_table import TABLE

FILE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"


def test_the_file_is_what_the_table_says() -> None:
    """Made anew by ``manage.py api_reference > docs/parameters.md``."""
    assert FILE.read_text(encoding="utf-8") == "\n".join(reference.markdown()) + "\n"


def test_every_parameter_that_is_taken_says_what_it_is_for() -> None:
    assert [row.name for row in reference.rows() if not row.meaning] == []
    assert {row.name for row in reference.rows()} | set(reference.refused()) >= {row.name for row in TABLE}


@pytest.mark.parametrize(
    ("name", "said"),
    [("temperature", "0 to 2"), ("top_logprobs", "0 to 20"), ("n", "1 to 128"), ("user", "up to 512 characters")],
)
def test_it_tells_ranges(name: str, said: str) -> None:
    assert next(row.range for row in reference.rows() if row.name == name) == said


@pytest.mark.django_db
def test_the_page_shows_every_parameter_to_everybody(client: Client) -> None:
    answer = client.get("/docs/api")
    assert answer.status_code == 200
    page = answer.content.decode()
    assert all(f'id="{row.name}"' in page for row in reference.rows())
    assert "<code>api_base</code>" in page
