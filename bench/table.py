"""The one table that is printed at the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = dict[str, Any]


def text(rows: list[Row]) -> str:
    """The figures of one run, and how they were got."""
    about = rows[0]
    machine = about["machine"]
    lines = [
        "",
        f"Tollgate {about['commit']}, {about['date']}, {machine['cores']} cores of {machine['model']}",
        f"one gateway process; {about['pinned']}; load: {about['load']}; fsync on; every limit on; "
        f"jobs {'on' if about['jobs'] else 'off'}; median of {about['plan'][2]} x {about['plan'][1]:g} s",
        "",
        *_loops([row for row in rows if row["measure"].startswith(("calls", "streams"))]),
    ]
    for row in rows:
        lines += SENTENCES.get(row["measure"], lambda _row: [])(row)
    return "\n".join(lines)


def _loops(rows: list[Row]) -> Iterator[str]:
    if not rows:
        return
    yield f"{'':<26}{'per s':>10} {'p50 ms':>8} {'p99 ms':>8}   CPU µs each: gateway (range)  PostgreSQL   Redis   busy"
    for row in rows:
        kind = "calls" if row["measure"].startswith("calls") else "streams of 100 chunks"
        connections = row["measure"].removeprefix("calls").removeprefix("streams")
        low, high = row["gateway_us_range"]
        yield (
            f"{kind + ' at ' + connections:<26}{row['per_s']:10,.0f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f}   "
            f"{row['gateway_us']:12,.0f} {f'({low:,.0f}–{high:,.0f})':<18}{row['postgres_us']:11,.0f} "
            f"{row['redis_us']:7,.0f}   {row['gateway_busy']:4.0%}"
        )
    yield ""


def _paced(row: Row) -> list[str]:
    return [
        f"{'200 paced streams':<26}{row['gateway_us']:.1f} µs gateway CPU per chunk, "
        f"{row['chunks_per_s']:,.0f} chunks/s, delay of a chunk p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms"
    ]


def _held(row: Row) -> list[str]:
    tried = ", ".join(f"{count}: {delay:.1f}" for count, delay in row["p99_ms"].items())
    return [
        f"paced streams held        {row['held']} of 200 chunks/s with p99 chunk delay under 20 ms "
        f"(p99 ms at {tried}; 200 past the gateway: {row['direct_p99_ms']:.1f})"
    ]


def _added(row: Row) -> list[str]:
    return [
        f"added at 100 calls/s      p50 {row['added_p50_ms']:.2f} ms, p99 {row['added_p99_ms']:.2f} ms, upstream 50 ms "
        f"(direct {row['direct_p50_ms']:.2f} and {row['direct_p99_ms']:.2f})"
    ]


def _admission(row: Row) -> list[str]:
    return [
        f"admission                 p50 {row['calm_p50_ms']:.2f} ms, p99 {row['calm_p99_ms']:.2f} ms at 100 calls/s; "
        f"p50 {row['busy_p50_ms']:.2f}, p99 {row['busy_p99_ms']:.2f} at 64 connections"
    ]


def _memory(row: Row) -> list[str]:
    when = "idle" if row["measure"] == "memory_idle" else "after load"
    return [
        f"{'memory ' + when:<26}{row['unique']:.0f} MiB of its own, {row['resident']:.0f} MiB resident, all processes"
    ]


def _startup(row: Row) -> list[str]:
    return [f"start-up (make up)        {row['cold_s']:.1f} s in a new home, {row['warm_s']:.1f} s again"]


def _books(row: Row) -> list[str]:
    return [f"books                     balance: {row['rows']:,} calls, each one settled row"]


SENTENCES = {
    "paced200": _paced,
    "held": _held,
    "added": _added,
    "admission": _admission,
    "memory_idle": _memory,
    "memory_loaded": _memory,
    "startup": _startup,
    "books": _books,
}
