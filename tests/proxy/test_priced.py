"""Prices with variants, from their rows to what admission finds and what clients are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import asyncpg

from billing.meters import TOKEN_CLASSES, Usage
from billing.pricing import PriceList
from proxy import listing
from proxy.directory import NO_RULES, Catalog, KeyGrant, ModelEntry
from proxy.snapshot import CATALOG_QUERIES, PRICE_COLUMNS, _price_lists

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ALL_DAY_BUT_A_MINUTE = [[1, 0]]


def row(number: int, unit: int, *, book: int = 1, tenant: int | None = None, **more: object) -> dict[str, Any]:
    """A row as the database driver gives it."""
    variant = f"v{number}" if {"above_tokens", "service_tier", "hours"} & set(more) else ""
    values: dict[str, object] = {
        "id": number, "effective_from": BEGAN, "effective_to": None, **dict.fromkeys(TOKEN_CLASSES, unit),
        "per_request": 0, "per_web_search": None, "per_image": None, "variant": variant,
        "above_tokens": 0, "service_tier": "", "hours": [],
    }  # fmt: skip
    assert set(values) == set(PRICE_COLUMNS.split(", "))
    return {"tenant_id": tenant, "book_id": book, "model": "swift", **values, **more}


def entry(rows: list[dict[str, Any]]) -> ModelEntry:
    prices: dict[int | None, PriceList] = _price_lists(rows)["swift"]
    return ModelEntry("swift", 0, 1000, 100, NO_RULES, (), (), MappingProxyType(prices))


def grant(book: int | None = None) -> KeyGrant:
    return KeyGrant(
        tenant_id=1, project_id=1, api_key_id=1, public_id="0", expires_at=None, models=None, rates=(), spans=(),
        book_id=book, drain=True, revoked=False, cut_streams=False,
    )  # fmt: skip


def shown(of: ModelEntry, book: int | None = None) -> dict[str, Any]:
    catalog = Catalog(MappingProxyType({"swift": of}), MappingProxyType({}))
    price: dict[str, Any] = listing.of(catalog, grant(book), "swift")["price"]
    return price


def test_admission_finds_the_price_of_the_hour_with_variants_and_no_clock_in_it() -> None:
    of = entry([row(1, 100), row(2, 50, hours=[[990, 30]]), row(3, 200, above_tokens=500), row(4, 7, book=2, tenant=5)])
    found = [of.price_at(BEGAN + timedelta(hours=hours), None) for hours in (12, 20)]
    assert [price and (price.id, [one.id for one in price.variants]) for price in found] == [(1, [3]), (2, [3])]
    assert found[0]
    assert found[0].chosen(Usage(input=501)).id == 3
    own = of.price_at(BEGAN, 2)
    assert own
    assert (own.id, own.variants) == (4, ())


def test_a_model_shows_its_variants_and_surcharges_to_clients() -> None:
    of = entry(
        [
            row(1, 150_000, per_image=4 * 10**10),
            row(2, 75_000, hours=ALL_DAY_BUT_A_MINUTE),
            row(3, 300_000, above_tokens=200_000),
            row(4, 600_000, service_tier="priority"),
        ]
    )
    price = shown(of)
    assert (price["input"], price["surcharges"]) == ("0.15", {"per_image": "0.04"})
    conditions = [(v["above_tokens"], v["service_tier"], v["hours_utc"], v["input"]) for v in price["variants"]]
    assert conditions == [
        (None, None, "00:01-00:00", "0.075"),
        (200_000, None, None, "0.30"),
        (None, "priority", None, "0.60"),
    ]
    assert price["variants"][1]["name"] == "v3"


def test_a_tenant_is_shown_its_own_price_and_no_variant_of_another_book() -> None:
    of = entry([row(1, 10**6), row(2, 10**6, above_tokens=9), row(3, 10**6 // 2, book=2, tenant=5)])
    assert (shown(of, 2)["input"], shown(of, 2)["variants"]) == ("0.50", [])
    assert len(shown(of, 7)["variants"]) == 1


INSERT = """
INSERT INTO billing_price (book_id, model, effective_from, input, cache_read, cache_write_5m, cache_write_1h,
    input_audio, input_image, output, reasoning, output_audio, output_image, per_request, inherited, variant,
    above_tokens, service_tier, hours, source, created_at)
SELECT id, 'swift', '2026-01-01', $1, $1, $1, $1, $1, $1, $1, $1, $1, $1, 0, '{}', $2, $3, $4, $5, 'operator', now()
FROM billing_pricebook WHERE tenant_id IS NULL
"""


async def test_the_gateway_reads_variants_as_they_are_stored(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET ROLE tollgate_operator")
        await connection.execute("INSERT INTO billing_pricebook (name, created_at) VALUES ('Default', now())")
        await connection.execute(INSERT, 100, "", 0, "", [])
        await connection.execute(INSERT, 200, "above-500", 500, "", [])
        await connection.execute(INSERT, 50, "off-peak", 0, "flex", [[0, 720], [720, 1440]])
        await connection.execute("SET ROLE tollgate_gateway")
        rows = await connection.fetch(CATALOG_QUERIES["prices"])
    finally:
        await connection.close()
    (price,) = _price_lists(rows)["swift"][None].versions
    assert [(one.input, one.above_tokens, one.service_tier, one.hours) for one in (price, *price.variants)] == [
        (100, 0, "", ()),
        (200, 500, "", ()),
        (50, 0, "flex", ((0, 720), (720, 1440))),
    ]
    assert price.at_moment(datetime.now(UTC)).sells("flex")
