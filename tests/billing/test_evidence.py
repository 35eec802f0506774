"""Evidence packs: the rows behind an invoice, the same bytes for ever, the same sums as the invoice."""

from __future__ import annotations

import csv
import hashlib
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from billing import charges, closing, evidence, evidence_format, invoice_pdf, invoices
from billing.charges import Wanted
from billing.evidence import EvidenceProblem
from billing.meters import COUNTERS, Usage
from billing.models import Evidence, Invoice
from billing.money import usd
from billing.periods import month_of
from portal.models import Project
from portal.tenancy import as_operator
from tests.billing.test_documents import text_of
from tests.billing.world import USD, World, as_role, run

MARCH = "2027-03"


def close(world: World, month: str = MARCH, *, finalise: bool = True) -> Invoice:
    with as_operator():
        return closing.close(tenant=world.tenant, month=month, now=world.clock, finalise=finalise)


def used(world: World) -> Invoice:
    """An invoice of calls, of a correction to an estimate, and of a charge that has a comma and quotes in its name."""
    world.clock += timedelta(hours=1)
    world.use(Usage(input=1_000_000, cache_read=77, output=5, reasoning=3))
    world.use(Usage(input=12))
    late = world.opening()
    world.open([late])
    world.sweep()
    world.post()
    world.settle([world.ending(late, Usage(input=500))])
    with as_operator():
        wanted = Wanted("other", "support", 'Support, "gold"\nand more', 3 * USD + 1, {})
        charges.bring_to(
            tenant=world.tenant, period=month_of(world.clock, "Europe/Paris"), wanted=wanted, now=world.clock
        )
    return close(world)


def csv_of(invoice: Invoice) -> bytes:
    with as_operator(), evidence.csv_of(invoice) as file:
        return file.read()


def parquet_of(invoice: Invoice) -> bytes:
    with as_operator(), evidence.parquet_of(invoice) as file:
        return file.read()


def seal_of(invoice: Invoice) -> Evidence:
    with as_operator():
        return Evidence.objects.get(invoice=invoice)


def rows_in(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text.decode(), newline="")))


def test_it_holds_every_row_and_hashes_to_what_the_invoice_says(world: World) -> None:
    invoice = used(world)
    text = csv_of(invoice)
    rows = rows_in(text)
    assert [row["record"] for row in rows] == ["event", "event", "event", "adjustment", "charge"]
    assert rows[-1]["description"] == 'Support, "gold"\nand more'
    seal = invoice.snapshot["evidence"]
    assert seal["sha256"] == hashlib.sha256(text).hexdigest() == seal_of(invoice).sha256
    assert (seal["rows"], seal_of(invoice).size) == (5, len(text))
    assert {"events": 3, "adjustments": 1, "charges": 1}.items() <= seal["counts"].items()


def test_invariant_25_the_pack_sums_to_the_invoice_exactly(world: World) -> None:
    invoice = used(world)
    rows = rows_in(csv_of(invoice))
    assert sum(int(row["picodollars"]) for row in rows) == int(invoice.exact) == int(seal_of(invoice).exact)
    with as_operator():
        for name in COUNTERS[:10]:
            lines = sum(invoice.lines.filter(token_class=name).values_list("quantity", flat=True))
            assert sum(int(row[name] or 0) for row in rows) == lines == seal_of(invoice).counts[name]


@pytest.mark.parametrize("model", ['a,b "c"', "d\re", "\\.", " f\n", "ünï"])
def test_the_csv_is_the_same_whoever_writes_it(world: World, model: str) -> None:
    """PostgreSQL writes the lines of calls where it quotes as Python does; the file must be the same in any case."""
    world.use(Usage(input=3, output=2))
    world.use(Usage(input=10**6), at=world.clock + timedelta(seconds=1, microseconds=7))
    world.post()
    with as_role("none"):
        run("UPDATE billing_usageevent SET model = %s WHERE tenant_id = %s AND input = 3", model, world.tenant.id)
    with as_operator():
        draft = invoices.draft(tenant=world.tenant, month=MARCH, now=world.clock)
        seal, tally = evidence.seal(invoice=draft, now=world.clock), evidence_format.Tally()
        text = b"".join(evidence_format.as_csv(evidence.rows_of(draft), tally))
    assert seal["sha256"] == hashlib.sha256(text).hexdigest() == tally.sha256
    assert (seal["rows"], seal["exact"], seal["counts"]) == (2, str(tally.exact), tally.counts())


def test_invariant_33_csv_parquet_and_pdf_have_the_same_totals(world: World, tmp_path: Path) -> None:
    invoice = used(world)
    (tmp_path / "pack.csv").write_bytes(csv_of(invoice))
    (tmp_path / "pack.parquet").write_bytes(parquet_of(invoice))
    text, parquet = (evidence_format.measure(tmp_path / name) for name in ("pack.csv", "pack.parquet"))
    assert (text.sha256, text.counts(), text.exact) == (parquet.sha256, parquet.counts(), parquet.exact)
    table = pq.read_table(tmp_path / "pack.parquet")
    assert sum(int(cost) for cost in table["picodollars"].to_pylist()) == int(invoice.exact)
    assert table.schema.metadata[b"tollgate.csv_sha256"].decode() == text.sha256
    with as_operator():
        page = text_of(invoice_pdf.render(invoice))
    assert usd(text.exact) in page
    assert text.sha256 in page.replace("\n", "").replace("\u200b", "")


def test_invariant_26_the_pack_is_the_same_bytes_whatever_changes_later(world: World) -> None:
    invoice = used(world)
    first, parquet = csv_of(invoice), parquet_of(invoice)
    with as_operator():
        Project.objects.filter(tenant=world.tenant).update(name="Renamed")
    world.clock += timedelta(days=30)
    world.use(Usage(input=9))
    close(world, "2027-04")
    assert (csv_of(invoice), parquet_of(invoice)) == (first, parquet)


def test_a_draft_built_anew_is_sealed_anew(world: World) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    with as_operator():
        before = evidence.seal(invoice=draft, now=world.clock)
        assert evidence.seal(invoice=draft, now=world.clock + timedelta(days=1)) == before
    world.use(Usage(input=10**6))
    after = close(world).snapshot["evidence"]
    assert (before["rows"], after["rows"]) == (1, 2)


def test_rows_that_do_not_make_up_their_invoice_are_not_sealed(world: World) -> None:
    world.use(Usage(input=10**6))
    draft = close(world, finalise=False)
    draft.exact = int(draft.exact) + 1
    with as_operator(), pytest.raises(EvidenceProblem, match="sum to"):
        evidence.seal(invoice=draft, now=world.clock)


@pytest.mark.parametrize("statement", ["UPDATE billing_evidence SET rows = 0", "DELETE FROM billing_evidence"])
def test_the_seal_of_a_finalised_invoice_cannot_be_changed(world: World, statement: str) -> None:
    used(world)
    with pytest.raises(DatabaseError, match="finalised"), as_role("tollgate_operator"):
        run(statement)


def test_a_draft_has_no_pack(world: World) -> None:
    world.use(Usage(input=10**6))
    with pytest.raises(EvidenceProblem, match="gets its number"):
        csv_of(close(world, finalise=False))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_pack_can_be_verified(world: World, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    invoice = used(world)
    file = tmp_path / f"pack.{suffix}"
    file.write_bytes(csv_of(invoice) if suffix == "csv" else parquet_of(invoice))
    with as_operator():
        call_command("verify_evidence", str(file))
        assert f"invoice {invoice.number} was sealed with" in capsys.readouterr().out


def test_a_changed_pack_is_told_apart_and_how(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invoice = used(world)
    file = tmp_path / "pack.csv"
    file.write_bytes(csv_of(invoice).replace(b",1000000,", b",1000001,"))
    with as_operator():
        with pytest.raises(CommandError, match="No invoice was sealed"):
            call_command("verify_evidence", str(file))
        with pytest.raises(CommandError, match=f"not the rows of invoice {invoice.number}"):
            call_command("verify_evidence", str(file), invoice=invoice.number)
    assert "input: sealed 1000512, found 1000513" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1 but not really"])
def test_what_is_no_pack_is_said_to_be_none(world: World, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CommandError, match="is no evidence pack"):
        call_command("verify_evidence", str(tmp_path / "x"))
