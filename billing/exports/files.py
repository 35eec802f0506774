"""Pages as CSV text or as a Parquet file, in bounded memory: one page of rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Any

from billing.exports.columns import Column, Type
from billing.exports.span import Row
from billing.money import PICO_PER_USD

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is run as a formula by spreadsheets."""


def csv_parts(columns: Sequence[Column], pages: Iterable[list[Row]]) -> Iterator[bytes]:
    """UTF-8 CSV (RFC 4180): the names of the columns, then a part for each page."""
    yield _text([[column.name for column in columns]])
    types = [column.type for column in columns]
    for page in pages:
        yield _text([[_cell(kind, value) for kind, value in zip(types, row, strict=True)] for row in page])


class _Drain(io.RawIOBase):
    """What a writer wrote since it was last emptied."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def drained(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole


def parquet_parts(columns: Sequence[Column], pages: Iterable[list[Row]]) -> Iterator[bytes]:
    """A Parquet file as it comes, with a part for each page and one for its end."""
    target = _Drain()

    for _ in _parquet(target, columns, pages):
        yield target.drained()
    yield target.drained()


def write_parquet(target: IO[bytes], columns: Sequence[Column], pages: Iterable[list[Row]]) -> int:
    """A Parquet file with a row group for each page; returns the number of rows."""
    return sum(_parquet(target, columns, pages))


def _parquet(target: Any, columns: Sequence[Column], pages: Iterable[list[Row]]) -> Iterator[int]:
    """Writes page by page; yields the number of rows of each. The file is whole when this ends."""
    import pyarrow.parquet  # 60 MiB: every gateway serves these pages, and few make such a file

    types = _types()
    schema = pyarrow.schema([pyarrow.field(column.name, types[column.type]) for column in columns])
    with pyarrow.parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for page in pages:
            fields = zip(*page, strict=True)
            arrays = [
                _array(column.type, types[column.type], values) for column, values in zip(columns, fields, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            yield len(page)


def _text(rows: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def _cell(kind: Type, value: Any) -> str:
    if value is None:
        return ""
    if kind is Type.WORDS and value.startswith(FORMULA):
        return "'" + str(value)
    if kind is Type.USD:
        return _dollars(int(value))
    if kind is Type.MOMENT:
        return _utc(value).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if kind is Type.SECOND:
        return _utc(value).strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind is Type.DECIMAL:
        return _plain(int(value))
    if kind is Type.FLAG:
        return "true" if value else "false"
    return str(value)


def _dollars(pico: int) -> str:
    whole, rest = divmod(abs(pico), PICO_PER_USD)
    return f"{'-' if pico < 0 else ''}{whole}.{rest:012d}"


def _plain(atto: int) -> str:
    """Whole 10⁻¹⁸ as a decimal with no more places than it needs."""
    whole, rest = divmod(abs(atto), 10**18)
    text = f"{'-' if atto < 0 else ''}{whole}.{rest:018d}"
    return text.rstrip("0").rstrip(".")


def _types() -> dict[Type, Any]:
    """How each type is stored."""
    import pyarrow

    return {
        Type.TEXT: pyarrow.string(),
        Type.WORDS: pyarrow.string(),
        Type.NUMBER: pyarrow.int64(),
        Type.USD: pyarrow.decimal128(38, 12),
        Type.MINOR: pyarrow.int64(),
        Type.DECIMAL: pyarrow.decimal128(38, 18),
        Type.MOMENT: pyarrow.timestamp("us", tz="UTC"),
        Type.SECOND: pyarrow.timestamp("ms", tz="UTC"),
        Type.FLAG: pyarrow.bool_(),
    }


def _array(kind: Type, stored: Any, values: Sequence[Any]) -> Any:
    import pyarrow

    if kind in (Type.USD, Type.DECIMAL):  # the same whole numbers, read as so many parts of one
        whole = pyarrow.array(_whole(values), type=pyarrow.decimal128(38, 0))
        return pyarrow.Array.from_buffers(stored, len(whole), whole.buffers())
    if kind in (Type.NUMBER, Type.MINOR):
        return pyarrow.array(_whole(values), type=stored)
    if kind in (Type.MOMENT, Type.SECOND):
        return pyarrow.array([None if value is None else _utc(value) for value in values], type=stored)
    return pyarrow.array(values, type=stored)


def _whole(values: Sequence[Any]) -> list[int | None]:
    return [None if value is None else int(value) for value in values]


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
