"""Golden months: calls in, documents and ledger out, compared with what people have looked at and found right.

``TOLLGATE_GOLDEN=write pytest tests/billing/test_golden.py -n 0`` stores what comes out now, to be looked at again.
"""

from __future__ import annotations

import os
from difflib import unified_diff
from pathlib import Path

import pytest

from billing import books
from billing.models import Invoice
from portal.tenancy import as_operator
from tests.billing.golden_months import MONTHS, STORED, play
from tests.billing.papers import broken_rules, schema_problems

WRITE = os.environ.get("TOLLGATE_GOLDEN") == "write"


@pytest.mark.django_db
@pytest.mark.parametrize("name", MONTHS)
def test_a_golden_month_comes_out_as_it_was_found_right(name: str, settings: pytest.FixtureRequest) -> None:
    settings.SELLER = MONTHS[name].seller  # type: ignore[attr-defined]
    found = play(MONTHS[name])
    texts = {file: content.decode() for file, content in found.items() if not file.endswith(".pdf")}
    place = STORED / name
    if WRITE:
        place.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (place / file).write_text(text)
    assert [line for file, text in texts.items() for line in _difference(place / file, text)] == []
    assert {file.name for file in place.iterdir()} == set(texts)
    for file, text in texts.items():
        if file.endswith(".xml"):
            assert schema_problems(text.encode()) == []
            assert broken_rules(text.encode()) == set()


def _difference(file: Path, text: str) -> list[str]:
    return list(unified_diff(file.read_text().splitlines(), text.splitlines(), file.name, "now", n=0, lineterm=""))


@pytest.mark.django_db
@pytest.mark.parametrize("name", MONTHS)
def test_the_books_of_a_golden_month_balance(name: str, settings: pytest.FixtureRequest) -> None:
    settings.SELLER = MONTHS[name].seller  # type: ignore[attr-defined]
    play(MONTHS[name])
    with as_operator():
        tenant_id = Invoice.objects.filter(tenant__slug="golden").values_list("tenant_id", flat=True)[0]
        assert books.check(tenant_id=tenant_id).differences == ()
