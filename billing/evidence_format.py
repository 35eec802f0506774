"""The rows of an evidence pack as CSV and Parquet. Pure: no database.

The CSV is the evidence: its bytes are laid down here (UTF-8, a header, RFC 4180 quotes where needed, line feeds, times
in UTC with microseconds, amounts in whole picodollars), so that its SHA-256 is the same for ever. The Parquet file
holds the same rows and is checked by writing them as CSV again: its own bytes depend on the library that made it.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from billing.meters import COUNTERS

FORMAT = 1
BATCH = 10_000
Row = tuple[Any, ...]

TEXTS = ("record", "id", "operation", "model", "basis", "description")
TIMES = ("opened_at", "settled_at")
COLUMNS = (
    "record", "id", "opened_at", "settled_at", "project_id", "api_key_id", "model", "operation", "basis", "price_id",
    "transfer_id", *COUNTERS, "picodollars", "description",
)  # fmt: skip
"""``record`` is event, adjustment or charge; an adjustment has the id of its event; what does not apply is empty."""

COST = COLUMNS.index("picodollars")
FIRST_COUNTER = COLUMNS.index(COUNTERS[0])


class Tally:
    """What passed by: SHA-256 and size of the CSV, rows by record, sums by counter, and the exact sum."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.records: Counter[str] = Counter()
        self.sums = dict.fromkeys(COUNTERS, 0)
        self.exact = 0

    @property
    def rows(self) -> int:
        """How many there were."""
        return self.records.total()

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self.digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """Rows by record and sums by counter, for people and for the books."""
        return {**{f"{name}s": self.records[name] for name in ("event", "adjustment", "charge")}, **self.sums}

    def add(self, rows: Iterable[Row], written: bytes) -> None:
        """Count rows that were written."""
        self.write(written)
        for row in rows:
            self.records[row[0]] += 1
            self.exact += int(row[COST])
            for place, name in enumerate(COUNTERS, FIRST_COUNTER):
                if row[place]:
                    self.sums[name] += row[place]

    def add_sums(self, record: str, rows: int, sums: Sequence[int], exact: int) -> None:
        """Count rows whose bytes are counted apart: their sums by counter, and of their cost."""
        self.records[record] += rows
        self.exact += exact
        for name, amount in zip(COUNTERS, sums, strict=True):
            self.sums[name] += amount

    def write(self, written: bytes) -> None:
        """Count bytes."""
        self.digest.update(written)
        self.size += len(written)


def header() -> bytes:
    """The first line of the CSV."""
    return (",".join(COLUMNS) + "\n").encode()


def lines(rows: Iterable[Row]) -> bytes:
    """Rows as CSV."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    return str(value)


def as_csv(batches: Iterable[list[Row]], tally: Tally) -> Iterator[bytes]:
    """The CSV in pieces; the tally has seen everything once all are taken."""
    tally.write(header())
    yield header()
    for rows in batches:
        written = lines(rows)
        tally.add(rows, written)
        yield written


def write_parquet(batches: Iterable[list[Row]], into: BinaryIO, said: dict[str, str]) -> None:
    """Write rows, a group per batch; ``said`` is kept in the file's metadata."""
    import pyarrow as pa  # 60 MiB, which no gateway should keep for the few who ask for such a file
    import pyarrow.parquet as pq

    types = {
        **dict.fromkeys(TEXTS, pa.string()),
        **dict.fromkeys(TIMES, pa.timestamp("us", tz="UTC")),
        "picodollars": pa.decimal128(38, 0),
    }
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in COLUMNS]).with_metadata(
        {f"tollgate.{key}": value for key, value in said.items()}
    )
    with pq.ParquetWriter(into, schema, compression="zstd") as writer:
        for rows in batches:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(list(values), type=field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def measure(path: Path) -> Tally:
    """The tally of a CSV as it is, or of a Parquet file as the CSV it stands for. Raises ValueError for others."""
    tally = Tally()
    with path.open("rb") as file:
        parquet = file.read(4) == b"PAR1"
    if parquet:
        for _piece in as_csv(_parquet_batches(path), tally):
            pass
        return tally
    with path.open("rb") as file:
        if file.readline() != header():
            raise ValueError("the first line is not that of an evidence pack")
        tally.write(header())
        while block := list(_some(file)):
            tally.add(_parsed(block), b"".join(block))
    return tally


def _parquet_batches(path: Path) -> Iterator[list[Row]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if tuple(file.schema_arrow.names) != COLUMNS:
            raise ValueError("its columns are not those of an evidence pack")
        for batch in file.iter_batches(batch_size=BATCH):
            yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _some(file: BinaryIO) -> Iterator[bytes]:
    """Up to a batch of lines; one that goes on within quotes stays together."""
    open_quotes = False
    for count, line in enumerate(file, 1):
        yield line
        open_quotes ^= bool(line.count(b'"') % 2)
        if count >= BATCH and not open_quotes:
            return


def _parsed(block: list[bytes]) -> Iterator[Row]:
    for row in csv.reader(StringIO(b"".join(block).decode(), newline="")):
        if len(row) != len(COLUMNS):
            raise ValueError(f"a row has {len(row)} cells, not {len(COLUMNS)}")
        counted = [int(cell) if cell else 0 for cell in row[FIRST_COUNTER:COST]]
        yield (*row[:FIRST_COUNTER], *counted, int(row[COST]), row[-1])
