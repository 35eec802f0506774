"""What providers export, as counts per UTC day and model. Pure, and strict: a file is understood whole or refused.

Sources: OpenAI, API reference "Usage" and "Costs" (/v1/organization/usage/completions, /v1/organization/costs: pages of
buckets with start_time, end_time and results) and the CSVs of its usage page, whose columns are the same names.
Anthropic, Admin API "Usage and cost" (/v1/organizations/usage_report/messages, /v1/organizations/cost_report: pages of
buckets with starting_at, ending_at and results; amounts are cents) and the CSVs of its console.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from io import StringIO
from typing import Any

from billing.models import ProviderReport
from billing.reconciliation.values import Cell, ReportProblem, day_of

MOST_BYTES = 32 * 1024 * 1024
MOST_ROWS = 300_000
MOST_KEYS = 50_000
"""How many days × models a report may have."""
Kind = ProviderReport.Kind
COUNTS = ("requests", "input", "cache_read", "cache_write", "output", "cost")


@dataclass(slots=True)
class Parsed:
    """A file as sums: by day and model, the counts of COUNTS that its kind has."""

    kind: str
    rows: dict[tuple[date, str], dict[str, int]] = field(default_factory=dict)

    def add(self, day: date, model: str, counts: Mapping[str, int]) -> None:
        """Add what one line says."""
        sums = self.rows.setdefault((day, model), {})
        if len(self.rows) > MOST_KEYS:
            raise ReportProblem(f"The file has more than {MOST_KEYS:,} days and models.")
        for name, count in counts.items():
            sums[name] = sums.get(name, 0) + count


class Line:
    """One result or row, asked by column; a column that must be there is named when it is not."""

    def __init__(self, values: Mapping[str, Any], row: str) -> None:
        self.values, self.row = values, row

    def __getitem__(self, column: str) -> Cell:
        if column not in self.values:
            raise ReportProblem(f'{self.row}: there is no column "{column}".')
        return Cell(self.values[column], self.row, column)

    def get(self, column: str) -> Cell:
        """A column that may be missing."""
        return Cell(self.values.get(column), self.row, column)

    def part(self, column: str) -> Line:
        """An object within it; none is an empty one."""
        inner = self.values.get(column) or {}
        if not isinstance(inner, Mapping):
            raise self[column].problem("an object")
        return Line(inner, f"{self.row}, {column}")


def parse(content: bytes) -> Parsed:
    """The sums of a file, JSON or CSV. Raises ReportProblem, naming row and column."""
    if len(content) > MOST_BYTES:
        raise ReportProblem(f"The file is larger than {MOST_BYTES >> 20} MB.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ReportProblem("The file is not UTF-8 text.") from None
    lines = _json_lines(text) if text.lstrip()[:1] in ("{", "[") else _csv_lines(text)
    parsed: Parsed | None = None
    for number, line in enumerate(lines, 1):
        if number > MOST_ROWS:
            raise ReportProblem(f"The file has more than {MOST_ROWS:,} rows.")
        kind = _kind(line)
        if parsed is not None and parsed.kind != kind:
            raise ReportProblem(f"{line.row} is of {Kind(kind).label}, those before of {Kind(parsed.kind).label}.")
        parsed = parsed or Parsed(kind)
        READERS[kind](line, parsed)
    if parsed is None or not parsed.rows:
        raise ReportProblem("The file says of no model that it was used.")
    return parsed


def _json_lines(text: str) -> Iterator[Line]:
    try:
        document = json.loads(text, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as problem:
        raise ReportProblem(f"The file is not JSON: {problem.msg} in line {problem.lineno}.") from None
    except (ValueError, RecursionError):
        raise ReportProblem("The file is JSON that cannot be read: a number too long, or nested too deep.") from None
    pages = document if isinstance(document, list) else [document]
    for number, page in enumerate(pages, 1):
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise ReportProblem(f"Page {number} is no page of a report: it has no list called data.")
        for position, bucket in enumerate(page["data"], 1):
            yield from _bucket_lines(bucket, f"page {number}, bucket {position}")
    if pages and pages[-1].get("has_more"):
        raise ReportProblem("The last page says that there are more: the file would be compared as if it were all.")


def _bucket_lines(bucket: object, where: str) -> Iterator[Line]:
    results = bucket.get("results") if isinstance(bucket, dict) else None
    if not isinstance(bucket, dict) or not isinstance(results, list):
        raise ReportProblem(f"{where}: there is no list called results.")
    times = {name: bucket[name] for name in ("start_time", "end_time", "starting_at", "ending_at") if name in bucket}
    for position, result in enumerate(results, 1):
        if not isinstance(result, dict):
            raise ReportProblem(f"{where}, result {position} is no object.")
        yield Line({**result, **times}, f"{where}, result {position}")


def _csv_lines(text: str) -> Iterator[Line]:
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if len(set(header)) < len(header):
            raise ReportProblem("row 1: a column is there twice.")
        for number, row in enumerate(rows, 2):
            if row and len(row) != len(header):
                raise ReportProblem(f"row {number}: {len(row)} columns, but the header has {len(header)}.")
            if row:
                yield Line(dict(zip(header, row, strict=True)), f"row {number}")
    except csv.Error as problem:
        raise ReportProblem(f"row {rows.line_num}: {problem}.") from None


def _kind(line: Line) -> str:
    has = line.values.keys()
    if "start_time" in has:
        return Kind.OPENAI_COSTS if has & {"amount", "amount_value"} else Kind.OPENAI_USAGE
    if "starting_at" in has:
        return Kind.ANTHROPIC_COSTS if "amount" in has else Kind.ANTHROPIC_USAGE
    if "usage_date_utc" in has:
        return Kind.ANTHROPIC_COSTS if "cost_usd" in has else Kind.ANTHROPIC_USAGE
    raise ReportProblem(
        f"{line.row}: this is neither a usage or cost report of OpenAI (start_time …) nor one of Anthropic "
        "(starting_at … or usage_date_utc …)."
    )


def _openai_usage(line: Line, parsed: Parsed) -> None:
    """``input_tokens`` includes what was cached; tokens written to the cache only where the file names them."""
    total, cached = line.get("input_tokens"), line.get("input_cached_tokens").count()
    written = line.get("input_cache_write_tokens").count()
    requests, output = line.get("num_model_requests").count(), line.get("output_tokens").count()
    day = day_of(line["start_time"], line.get("end_time") if "end_time" in line.values else None)
    if line.get("model").is_empty and not (total.count() or requests or output):
        return  # a bucket in which nothing was used
    if line.get("model").is_empty:
        raise ReportProblem(f'{line.row}, column "model": there is none. Export grouped by model.')
    if cached + written > line["input_tokens"].count():
        raise line["input_cached_tokens"].problem("at most the input tokens, which include it")
    counts = {"requests": requests, "input": total.count() - cached - written, "cache_read": cached, "output": output}
    parsed.add(day, line["model"].name(), {**counts, "cache_write": written})


def _openai_costs(line: Line, parsed: Parsed) -> None:
    """A line item is a model and a token class, ``gpt-5, input``, or another service by name."""
    day = day_of(line["start_time"], line.get("end_time") if "end_time" in line.values else None)
    in_json = "amount" in line.values
    amount = line.part("amount")["value"] if in_json else line["amount_value"]
    currency = line.part("amount")["currency"] if in_json else line["amount_currency"]
    if amount.is_empty:
        return
    _must_be_usd(currency)
    if line["line_item"].is_empty:
        raise ReportProblem(f'{line.row}, column "line_item": there is none. Export grouped by line item.')
    parsed.add(day, line["line_item"].name().partition(",")[0].strip(), {"cost": amount.picodollars()})


def _anthropic_usage(line: Line, parsed: Parsed) -> None:
    """Input excludes both cache classes; there is no count of requests."""
    in_csv = "usage_date_utc" in line.values
    if in_csv:
        prefix, model = "usage_input_tokens_cache_write_", line["model_version"]
        written = line[prefix + "5m"].count() + line[prefix + "1h"].count()
        plain, read, output = "usage_input_tokens_no_cache", "usage_input_tokens_cache_read", "usage_output_tokens"
    else:
        created, model = line.part("cache_creation"), line["model"]
        written = sum(created.get(f"ephemeral_{life}_input_tokens").count() for life in ("5m", "1h"))
        plain, read, output = "uncached_input_tokens", "cache_read_input_tokens", "output_tokens"
    if model.is_empty:
        raise ReportProblem(f'{line.row}, column "model": there is none. Export grouped by model.')
    counts = {"input": line[plain].count(), "cache_read": line[read].count(), "output": line[output].count()}
    parsed.add(_anthropic_day(line), model.name(), {**counts, "cache_write": written})


def _anthropic_costs(line: Line, parsed: Parsed) -> None:
    """The API says cents as a decimal text, the console's CSV says USD; costs of no model go by their description."""
    if "usage_date_utc" in line.values:
        cost = line["cost_usd"].picodollars()
    else:
        _must_be_usd(line["currency"])
        cost = line["amount"].picodollars(units_per_usd=100)
    named = [cell for cell in map(line.get, ("model", "description", "cost_type")) if not cell.is_empty]
    if not named:
        raise ReportProblem(f'{line.row}, column "model": there is none. Export grouped by description.')
    parsed.add(_anthropic_day(line), named[0].name(), {"cost": cost})


def _anthropic_day(line: Line) -> date:
    if "usage_date_utc" in line.values:
        return day_of(line["usage_date_utc"], None)
    return day_of(line["starting_at"], line["ending_at"])


def _must_be_usd(currency: Cell) -> None:
    if str(currency.value).lower() != "usd":
        raise currency.problem("USD, which costs are compared in")


READERS: dict[str, Callable[[Line, Parsed], None]] = {
    Kind.OPENAI_USAGE: _openai_usage,
    Kind.OPENAI_COSTS: _openai_costs,
    Kind.ANTHROPIC_USAGE: _anthropic_usage,
    Kind.ANTHROPIC_COSTS: _anthropic_costs,
}
