"""The reference of parameters: the page and the file say what the table checks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from django.test import Client

from proxy import reference
from proxy.error_table import ERRORS
from proxy.inquiries import Inquiries
from proxy.parameter_table import TABLE
from proxy.surfaces import SURFACES

FILE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"


def test_the_file_is_what_the_table_says() -> None:
    """Made anew by ``manage.py api_reference > docs/parameters.md``."""
    assert FILE.read_text(encoding="utf-8") == "\n".join(reference.markdown()) + "\n"


def test_the_rules_in_the_docs_are_those_there_are() -> None:
    """Made anew by ``manage.py api_reference --rules``."""
    docs = (FILE.parent / "operating.md").read_text(encoding="utf-8")
    assert "\n".join(reference.rules_markdown()) in docs


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
    for section in reference.sections():
        assert section.path in page
        assert all(f'id="{section.prefix}{row.name}"' in page for row in section.rows)
    assert all(f"<code>{row.code}</code>" in page for row in ERRORS if row.code)
    assert "<code>max_tokens</code>: its price is held" in page


@pytest.mark.django_db
def test_an_anchor_of_the_page_leads_to_one_place(client: Client) -> None:
    page = client.get("/docs/api").content.decode()
    anchors = re.findall(r' id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)


def test_every_endpoint_is_told_here_and_in_the_docs() -> None:
    told = {endpoint.path.removeprefix("/v1") for endpoint in reference.ENDPOINTS}
    inquiries = Inquiries(*[cast(Any, None)] * 3)
    asked = {*inquiries._exact, *(f"{path}{{id}}" for path in inquiries._below)}
    assert told == {*SURFACES, *asked}
    guide = "".join(page.read_text(encoding="utf-8") for page in (FILE.parent / "guide").glob("*.md"))
    assert [path for path in told if f"/v1{path}" not in guide] == []
