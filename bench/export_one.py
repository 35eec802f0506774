"""``python -m bench.export_one fill ROWS`` makes calls, ``… write FILE`` exports them and prints what that took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import django

django.setup()

from bench.closing import load  # noqa: E402 - models need Django set up
from billing import parties, posting  # noqa: E402
from billing.exports import files  # noqa: E402
from billing.exports.kinds import EXPORTS  # noqa: E402
from billing.exports.span import Row, Span  # noqa: E402
from portal.tenancy import as_operator  # noqa: E402

TENANT = "tenant-0"


def main(arguments: list[str]) -> int:
    """One step, in a process of its own so that its memory is its own."""
    step, argument = arguments
    if step == "fill":
        load.furnish(1)
        load.fill(int(argument), "even")
        posting.post_everything(now=load.NOW)
    else:
        sys.stdout.write(_written(Path(argument)))
    return 0


def _written(path: Path) -> str:
    """Export to a file; a line of what it took."""
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: F401 - what a process has before it writes the first row

    export = EXPORTS[path.stem]
    with as_operator():
        span = Span.named(parties.tenant_by_slug(TENANT), load.MONTH, load.MONTH)
    before, began, rows = _most_mib(), time.perf_counter(), [0]
    pages = _counted(export.pages(span), rows)
    with path.open("wb") as target, as_operator():
        if path.suffix == ".parquet":
            files.write_parquet(target, export.columns, pages)
        else:
            target.writelines(files.csv_parts(export.columns, pages))
    took = time.perf_counter() - began
    return (
        f"{path.name:18}{rows[0]:>10,} rows{took:>8.1f} s{rows[0] / took:>10,.0f} rows/s"
        f"{path.stat().st_size / 2**20:>9,.1f} MiB file{_most_mib():>6,} MiB at most, {before} before\n"
    )


def _counted(pages: Iterator[list[Row]], rows: list[int]) -> Iterator[list[Row]]:
    for page in pages:
        rows[0] += len(page)
        yield page


def _most_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
