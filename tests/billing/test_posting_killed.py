"""A poster that is killed leaves each call in the books once or not at all, and the next one posts the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from billing import books
from billing.meters import Usage
from billing.models import Transfer, UsageEvent, UsageRollup
from portal.tenancy import as_operator
from tests.billing.world import World

KILLED = """
import os, signal
from datetime import datetime
import django
django.setup()
from billing import posting
real, posting.BATCH, left = posting.{name}, 2, [{times}]
def dies(*args, **values):
    found = real(*args, **values)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
posting.{name} = dies
posting.post_everything(now=datetime.fromisoformat({now!r}))
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "times", "posted"),
    [("_claimed", 1, 0), ("_claimed", 2, 0), ("_claimed", 3, 2), ("_post", 1, 2), ("_post", 2, 4)],
)
def test_18_a_killed_poster_posts_whole_batches_and_the_next_one_the_rest(name: str, times: int, posted: int) -> None:
    """Each batch claims events, then adjustments: a kill after the third claim is in the second batch."""
    world = World()
    for second in range(5):
        world.use(Usage(input=10), at=world.clock + timedelta(seconds=second))
    script = KILLED.format(name=name, times=times, now=world.clock.isoformat())
    values = {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", "TOLLGATE_ROLE": "operator"}
    died = subprocess.run([sys.executable, "-c", script], env=values, timeout=120, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    with as_operator():
        assert UsageEvent.objects.filter(transfer_id__isnull=False).count() == posted
        assert sum(UsageRollup.objects.values_list("requests", flat=True)) == posted
    assert world.post() == 5 - posted
    with as_operator():
        assert UsageRollup.objects.get().requests == 5
        assert Transfer.objects.filter(kind="usage").count() == 1 + posted // 2
        assert books.check().differences == ()
    assert world.balance("accrued") == 50 * world.price.input
