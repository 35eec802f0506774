"""Invariants of closing under force: numbers without gaps, kills at every step, periods that tile time."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing import books, closing, credit_notes, invoices
from billing.invoice_events import Said
from billing.meters import Usage
from billing.models import Invoice, InvoiceSeries
from billing.periods import TICK, Period, month, month_of, share
from portal.tenancy import as_operator
from tests.billing.test_taxes import change
from tests.billing.world import World

ANCHORS = (1, 15, 29, 31)
YEARS = range(2024, 2034)


class RolledBack(Exception):
    """What makes a finalisation fail after its number was taken."""


@pytest.mark.django_db(transaction=True)
def test_invariant_27_numbers_have_no_gap_under_50_concurrent_finalisations_with_random_rollbacks() -> None:
    drafts = []
    for _tenant in range(50):
        world = World()
        world.use(Usage(input=10**6))
        with as_operator():
            drafts.append(closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False))
    chance = random.Random(27)
    fates = [chance.random() < 0.4 for _draft in drafts]
    start, errors = threading.Barrier(len(drafts)), []

    def finalise(draft: Invoice, fails: bool) -> None:
        try:
            start.wait(timeout=60)
            with as_operator(), transaction.atomic():
                invoices.finalise(invoice=draft, now=world.clock)
                if fails:
                    raise RolledBack
        except RolledBack:
            pass
        except Exception as error:  # a thread's edge: shown below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=finalise, args=pair) for pair in zip(drafts, fates, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert errors == []
    with as_operator():
        given = Invoice.objects.filter(number__isnull=False).values_list("number", flat=True)
        assert sorted(int(number[-5:]) for number in given if number) == list(range(1, fates.count(False) + 1))
        assert InvoiceSeries.objects.get(series="INV").last_number == fates.count(False)
        for draft, failed in zip(drafts, fates, strict=True):
            if failed:
                invoices.finalise(invoice=draft, now=world.clock)
        assert InvoiceSeries.objects.get(series="INV").last_number == len(drafts)
        assert books.check().differences == ()


@pytest.mark.django_db
def test_invariant_27_credit_notes_are_numbered_in_a_series_of_their_own() -> None:
    numbers = []
    for _tenant in range(3):
        world = World()
        world.use(Usage(input=10**7))
        with as_operator():
            invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
            line = invoice.lines.get()
            for _part in range(2):
                note = credit_notes.issue(
                    invoice=invoice, amounts={line.pk: 10}, said=Said("Ana", "Half was ours"), now=world.clock
                )
                numbers.append(note.number)
    first = int(str(numbers[0])[-5:])
    assert numbers == [f"CN-2027-{first + place:05d}" for place in range(6)]


def test_invariant_28_finalising_twice_at_the_same_time_is_once(world: World) -> None:
    world.use(Usage(input=10**6))
    with as_operator():
        draft = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=False)
        first = invoices.finalise(invoice=draft, now=world.clock)
        second = invoices.finalise(invoice=draft, now=world.clock + timedelta(days=400))
    assert (first.number, first.finalised_at, first.snapshot) == (second.number, second.finalised_at, second.snapshot)


KILLED = """
import os, signal, sys
from datetime import datetime
import django
django.setup()
from billing import {module} as module
from billing import closing, parties
real = module.{name}
def dies(*args, **values):
    if {after}:
        real(*args, **values)
    os.kill(os.getpid(), signal.SIGKILL)
module.{name} = dies
tenant = parties.tenant_by_slug({slug!r})
closing.close(tenant=tenant, month="2027-03", now=datetime.fromisoformat({now!r}), finalise=True)
"""
STEPS = [
    ("posting", "post_everything", True),
    ("credit_rounds", "use", True),
    ("invoices", "draft", False),
    ("invoices", "write_totals", False),
    ("invoices", "write_totals", True),
    ("closing", "doubts", False),
    ("invoices", "seal", True),
    ("invoice_posting", "post_invoice", True),
    ("invoice_series", "number", True),
    ("invoices", "finalise", True),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("module", "name", "after"), STEPS)
def test_invariant_18_a_kill_at_any_step_of_closing_and_closing_again_gives_one_right_invoice(
    module: str, name: str, after: bool
) -> None:
    world = World()
    world.use(Usage(input=12_345_678, output=9_999))
    world.use(Usage(input=1))
    script = KILLED.format(module=module, name=name, after=after, slug=world.tenant.slug, now=world.clock.isoformat())
    values = {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", "TOLLGATE_ROLE": "operator"}
    died = subprocess.run([sys.executable, "-c", script], env=values, timeout=120, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    with as_operator():
        for _time in range(2):
            invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        assert Invoice.objects.filter(tenant=world.tenant).count() == 1
        assert (invoice.number, invoice.status) == ("INV-2027-00001", "finalised")
        events = 12_345_679 * world.price.input + 9_999 * world.price.output
        assert int(invoice.exact) == events
        assert books.check().differences == ()


def zones() -> dict[tuple[object, ...], str]:
    """Every IANA zone, those whose days have the same offsets through the ten years once."""
    first = datetime(YEARS[0] - 1, 12, 1, tzinfo=UTC)
    moments = [first + timedelta(days=day) for day in range(366 * (len(YEARS) + 1))]
    found: dict[tuple[object, ...], str] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        found.setdefault(tuple(moment.astimezone(zone).utcoffset() for moment in moments), name)
    return found


def test_invariant_30_periods_tile_time_in_every_zone_for_ten_years() -> None:
    labels = [f"{year}-{number:02d}" for year in YEARS for number in range(1, 13)]
    for zone in zones().values():
        for anchor in ANCHORS:
            before: Period | None = None
            for label in labels:
                period = month(label, zone, anchor)
                assert period.end is not None
                assert before is None or before.end == period.start, (zone, anchor, label)
                local = period.start.astimezone(ZoneInfo(zone))
                assert local.day == min(anchor, _days_in(local)), (zone, anchor, label)
                assert (period.start - TICK).astimezone(ZoneInfo(zone)).date() < local.date()
                assert month_of(period.start, zone, anchor) == month_of(period.end - TICK, zone, anchor) == period
                before = period


def _days_in(local: datetime) -> int:
    following = date(local.year + local.month // 12, local.month % 12 + 1, 1)
    return (following - timedelta(days=1)).day


@pytest.mark.parametrize(
    ("label", "zone", "hours"),
    [("2026-03", "Europe/Paris", 743), ("2026-10", "Europe/Paris", 745), ("2026-02", "Asia/Kolkata", 672)],
)
def test_invariant_30_a_month_has_the_hours_of_its_zone(label: str, zone: str, hours: int) -> None:
    period = month(label, zone)
    assert period.end is not None
    assert period.end - period.start == timedelta(hours=hours)


def test_invariant_30_starts_derive_from_the_anchor_and_not_from_each_other() -> None:
    days = [month(f"2027-{number:02d}", "UTC", 31).start.day for number in range(1, 8)]
    assert days == [31, 28, 31, 30, 31, 30, 31]
    leap = month("2028-02", "UTC", 30)
    assert (leap.start, leap.end) == (datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 30, tzinfo=UTC))


@given(
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Paris", "Australia/Lord_Howe", "America/St_Johns"]),
    anchor=st.integers(1, 31),
    hours=st.lists(st.integers(0, 300 * 24), max_size=6),
)
def test_shares_of_parts_that_tile_a_period_make_the_whole(zone: str, anchor: int, hours: list[int]) -> None:
    period = month("2027-03", zone, anchor)
    bounds = [None, *(datetime(2027, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in sorted(hours)), None]
    parts = [share(period, start, end) for start, end in pairwise(bounds)]
    assert sum(parts) == 1
    assert all(0 <= part <= 1 for part in parts)


def test_a_start_in_the_middle_of_a_month_has_its_share_by_the_hour() -> None:
    march = month("2027-03", "Europe/Paris")
    assert share(march, datetime(2027, 3, 16, tzinfo=ZoneInfo("Europe/Paris")), None) == Fraction(16 * 24 - 1, 743)


def test_a_late_call_of_an_anchored_month_is_under_its_own_label(world: World) -> None:
    change(world, billing_anchor_day=20)  # the clock is 10 March: the month began on 20 February
    world.use(Usage(input=10**6))
    world.clock += timedelta(days=20)
    world.use(Usage(input=2 * 10**6))
    with as_operator():
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        lines = [(line.period_label, line.quantity) for line in invoice.lines.order_by("position")]
        assert books.check(tenant_id=world.tenant.id).differences == ()
    assert lines == [("2027-02", 10**6), ("2027-03", 2 * 10**6)]
    assert re.fullmatch(r"INV-2027-\d{5}", str(invoice.number))
