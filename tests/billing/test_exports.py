"""Exports: the same rows and sums as CSV, as Parquet and in the books, exact, and safe to open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command

from billing import charges, closing, reports
from billing.charges import Wanted
from billing.exports import files, pages
from billing.exports.columns import Column, Type
from billing.exports.kinds import EXPORTS
from billing.exports.span import Span
from billing.meters import Usage
from billing.models import LedgerEntry, UsageEvent
from billing.periods import month
from portal.environment import ROOT
from portal.tenancy import as_operator, as_tenant
from tests.billing.world import USD, World

MARCH = month("2027-03", "Europe/Paris")


@pytest.fixture
def busy(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A month of calls in small pages, closed, with a charge whose words look like a formula."""
    monkeypatch.setattr(pages, "PAGE", 3)
    with as_operator():
        for number in range(11):
            at = world.clock + timedelta(hours=7 * number)
            world.use(
                Usage(input=1000 + number, cache_read=7, output=33 * number + 1), at=at, key=world.keys[number % 2]
            )
        world.post()
        charges.bring_to(
            tenant=world.tenant, period=MARCH, wanted=Wanted("other", "x", "=1+1", 12_345_678_901), now=world.clock
        )
        closing.close(tenant=world.tenant, month="2027-03", now=world.clock + timedelta(days=40), finalise=True)
        yield world


def read_csv(world: World, kind: str) -> list[dict[str, str]]:
    parts = files.csv_parts(EXPORTS[kind].columns, found(world, kind))
    return list(csv.DictReader(io.StringIO(b"".join(parts).decode(), newline="")))


def read_parquet(world: World, kind: str) -> list[dict[str, Any]]:
    target = io.BytesIO()
    files.write_parquet(target, EXPORTS[kind].columns, found(world, kind))
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(target.getvalue())).to_pylist()
    return rows


def found(world: World, kind: str) -> Iterator[list[Any]]:
    end = world.clock + timedelta(days=60)
    return EXPORTS[kind].pages(Span(world.tenant, MARCH.start, end))


@pytest.mark.parametrize("kind", sorted(EXPORTS))
def test_invariant_33_csv_and_parquet_hold_the_same(busy: World, kind: str) -> None:
    texts, rows = read_csv(busy, kind), read_parquet(busy, kind)
    assert len(texts) == len(rows) >= (1 if kind == "documents" else 4)
    for text, row in zip(texts, rows, strict=True):
        for column in EXPORTS[kind].columns:
            if column.type in (Type.USD, Type.NUMBER, Type.MINOR) and text[column.name]:
                assert Decimal(text[column.name]) == row[column.name]
            elif column.type is Type.TEXT:
                assert text[column.name] == (row[column.name] or "")


def test_invariant_33_calls_and_usage_sum_to_the_months_cost(busy: World) -> None:
    cost = sum(event.cost for event in UsageEvent.objects.filter(tenant_id=busy.tenant.id))
    for kind in ("calls", "usage"):
        assert sum(Decimal(row["cost_usd"]) for row in read_csv(busy, kind)) * USD == cost
        assert sum(row["cost_usd"] for row in read_parquet(busy, kind)) * USD == cost
    end = MARCH.end or MARCH.start
    assert reports.totals(tenant_id=busy.tenant.id, start=MARCH.start, end=end).cost == cost


def test_invariant_33_the_ledger_sums_to_nothing_and_invoices_to_their_totals(busy: World) -> None:
    rows = read_parquet(busy, "ledger")
    assert len(rows) == LedgerEntry.objects.filter(tenant=busy.tenant).count()
    assert sum(row["amount"] for row in rows) == 0
    lines = read_parquet(busy, "invoices")
    (invoice,) = {row["number"] for row in lines}
    assert invoice is not None
    assert (
        sum(row["exact_usd"] for row in lines) * USD
        == sum(event.cost for event in UsageEvent.objects.filter(tenant_id=busy.tenant.id)) + 12_345_678_901
    )


def test_no_cell_of_a_persons_words_is_a_formula(busy: World) -> None:
    (charge,) = [row for row in read_csv(busy, "invoices") if row["description"]]
    assert charge["description"] == "'=1+1"
    words = Column("words", Type.WORDS, "", "")
    for text in ("@SUM(A1)", "+1", "-1", "\tx", "\rx"):
        assert b"".join(files.csv_parts([words], [[(text,)]])).splitlines()[1].strip(b'"').startswith(b"'")


@pytest.mark.parametrize("kind", sorted(EXPORTS))
def test_invariant_32_a_tenant_sees_its_own_rows_alone(busy: World, kind: str) -> None:
    other = World()
    whole = read_csv(busy, kind)
    with as_tenant(busy.tenant.id):
        assert read_csv(busy, kind) == whole
    with as_tenant(other.tenant.id):
        assert read_csv(busy, kind) == []


def test_every_column_is_documented() -> None:
    text = (ROOT / "docs" / "exports.md").read_text()
    for export in EXPORTS.values():
        rows = "\n".join(f"| `{column.name}` | {column.about} |" for column in export.columns)
        assert f"## {export.name}\n" in text
        assert rows in text


def test_the_command_writes_whole_files_and_says_what_is_wrong(busy: World, tmp_path: Path) -> None:
    for name in ("calls.csv", "calls.parquet"):
        call_command("export", "calls", str(tmp_path / name), "--tenant", busy.tenant.slug, "--from", "2027-03")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.csv", "calls.parquet"]
    assert len((tmp_path / "calls.csv").read_text().splitlines()) == 12
    assert pyarrow.parquet.read_metadata(tmp_path / "calls.parquet").num_rows == 11
    for wrong in (
        ("calls", "x.txt", "--tenant", busy.tenant.slug, "--from", "2027-03"),
        ("calls", "x.csv", "--tenant", "nobody", "--from", "2027-03"),
        ("calls", "x.csv", "--tenant", busy.tenant.slug, "--from", "March"),
        ("calls", "x.csv", "--tenant", busy.tenant.slug, "--from", "2027-03", "--to", "2027-02"),
    ):
        with pytest.raises(CommandError):
            call_command("export", wrong[0], str(tmp_path / wrong[1]), *wrong[2:])
    assert len(list(tmp_path.iterdir())) == 2
