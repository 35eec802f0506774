"""Where and by how many workers a month is closed changes no total."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from billing.meters import Usage
from tests.billing.crowd import together
from tests.billing.world import PRICES, START, World

CLOSES = """
import json, locale, time
from datetime import datetime
import django
django.setup()
locale.setlocale(locale.LC_ALL, "")
time.tzset()
from billing import closing, invoice_pdf, parties
from billing.models import UsageRollup
tenant = parties.tenant_by_slug({slug!r})
invoice = closing.close(tenant=tenant, month="2027-03", now=datetime.fromisoformat({now!r}), finalise=True)
lines = invoice.lines.order_by("token_class").values_list("period_label", "token_class", "quantity", "exact", "amount")
buckets = UsageRollup.objects.filter(tenant=tenant).order_by("bucket_at").values_list("bucket_at", "cost")
print(json.dumps([str(invoice.exact), invoice.total, invoice.period_start_at.isoformat(), list(lines),
    [(at.timestamp(), cost) for at, cost in buckets]], default=str))
"""
PLACES = [
    {"TZ": "UTC", "LC_ALL": "C", "PGTZ": "UTC"},
    {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "PGTZ": "Pacific/Kiritimati"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "POSIX", "PGTZ": "America/St_Johns"},
]


def used(workers: int) -> World:
    """A tenant with the same calls each time, around the ends of days and quarters of an hour, posted by so many."""
    world = World(zone="Asia/Kolkata", prices={**PRICES, "per_request": 7})
    for number in range(24):
        moment = START + timedelta(hours=13 * number, minutes=29, seconds=59 + number % 2)
        world.use(Usage(input=1_000_003 * number, output=number), at=moment)
    together([world.post for _worker in range(workers)])
    world.clock = START + timedelta(days=30)
    return world


def closed(world: World, place: dict[str, str]) -> Any:
    script = CLOSES.format(slug=world.tenant.slug, now=world.clock.isoformat())
    values = {**os.environ, **place, "DJANGO_SETTINGS_MODULE": "portal.settings", "TOLLGATE_ROLE": "operator"}
    done = subprocess.run([sys.executable, "-c", script], env=values, timeout=120, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_invariant_34_no_total_depends_on_locale_zone_or_number_of_workers() -> None:
    found = [closed(used(workers), place) for workers, place in zip((1, 3, 6), PLACES, strict=True)]
    assert found[0] == found[1] == found[2]
    assert int(found[0][0]) == sum(1_000_003 * n * PRICES["input"] + n * PRICES["output"] + 7 for n in range(24))
    assert len(found[0][4]) > 10
