"""One meter per request: what it rates by, and what it writes of how the call went."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from billing.meters import Usage
from billing.pricing import PriceVersion, rate
from proxy.directory import KeyGrant
from proxy.journal import Journal, Opening, Settlement
from proxy.metering import Outcome, UsageMeter

NOW = datetime(2026, 11, 1, tzinfo=UTC)
GRANT = KeyGrant(3, 1, 1, "0" * 12, None, None, (), (), None, False)


def price(number: int, unit: int) -> PriceVersion:
    return PriceVersion(number, NOW, None, *(unit,) * 10)


LONG = replace(price(2, 20), variant="long", above_tokens=1000)
FAST = replace(price(3, 30), variant="priority", service_tier="priority")
PRICE = replace(price(1, 10), variants=(LONG, FAST))


class Desk:
    """A meter of an admitted call, and the settlements it leaves in a journal that is not running."""

    def __init__(self, folder: Path, version: PriceVersion = PRICE) -> None:
        self.journal = Journal("postgresql://nowhere", folder, delivered=list)
        self.meter = UsageMeter("0" * 24, GRANT, version, self.journal, None)  # type: ignore[arg-type]
        deadline = NOW + timedelta(minutes=5)
        self.meter.opened(Opening("0" * 32, 3, 1, 1, "m", "m", version.id, False, NOW, deadline, 10**9, 40, "{1}"))

    @property
    def end(self) -> Settlement:
        (settlement,) = self.journal._settlements
        return settlement


@pytest.mark.parametrize(
    ("usage", "tier", "chosen"),
    [
        (Usage(input=1000, output=5), "", PRICE),
        (Usage(input=1001, output=5), "", LONG),
        (Usage(input=1, cache_read=1000), "default", LONG),
        (Usage(input=10), "priority", FAST),
    ],
)
def test_the_variant_for_what_was_used_rates_it_and_is_named(
    tmp_path: Path, usage: Usage, tier: str, chosen: PriceVersion
) -> None:
    desk = Desk(tmp_path)
    desk.meter.service_tier = tier
    assert desk.meter.settle(Outcome(usage, 0)) == rate(usage, chosen) == desk.end.cost
    assert (desk.end.price_id, desk.end.basis) == (chosen.id, "exact")


def test_an_estimate_is_rated_by_its_own_variant(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.meter.service_tier = "priority"
    assert desk.meter.settle(Outcome(None, 7)) == (40 + 7) * 30
    assert (desk.end.price_id, desk.end.basis) == (FAST.id, "estimated")


def test_counts_of_what_has_no_price_are_ignored_and_the_price_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.meter.settle(Outcome(Usage(input=2000, web_searches=1), 7))
    assert (desk.end.price_id, desk.end.basis, desk.end.cost) == (PRICE.id, "estimated", 47 * 10)
    assert desk.end.flags & 4


def test_another_models_price_rates_once_it_took_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.meter.reprice(price(9, 50))
    assert desk.meter.settle(Outcome(Usage(input=2000), 0)) == 100_000
    assert desk.end.price_id == 9


def test_it_writes_who_answered_and_how_long_it_took_us(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    meter = desk.meter
    meter.reported_model, meter.route_id, meter.attempts = "m-0613", 8, 2
    meter.started -= 2.0
    meter.upstream_s = 1.9
    meter.settle(Outcome(Usage(input=1), 0, output_bytes=512))
    first_byte, duration, output_bytes, overhead = desk.end.counts[-4:]
    assert (desk.end.reported_model, desk.end.route_id, len(desk.end.counts)) == ("m-0613", 8, 20)
    assert (first_byte, output_bytes) == (0, 512)
    assert duration >= 2000
    assert 100 <= overhead < duration


def test_what_follows_the_first_byte_of_a_stream_is_not_our_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    meter = desk.meter
    meter.started -= 60.0
    meter.first_byte_at = meter.started + 1.5
    meter.upstream_s = 1.25
    meter.settle(Outcome(Usage(input=1), 0))
    first_byte, duration, _output_bytes, overhead = desk.end.counts[-4:]
    assert (first_byte, overhead) == (1500, 250)
    assert duration >= 60_000
