"""Tells the demonstration into a database: ``python -m tests.gallery.story SANDBOX_URL`` prints the pictures to take.

Runs as the operator, in a process of its own: the database is that of the product that is looked at.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import timedelta

import django


def tell(sandbox_url: str) -> list[dict[str, str]]:
    """Everything in the order it happens; returns the pictures."""
    from django.utils.timezone import now

    from billing import journal
    from portal.tenancy import as_operator
    from tests.gallery import agreements, catalogue, pages, papers, people, traffic
    from tests.gallery.calendar import calendar
    from tests.gallery.traffic import Busy, days_of

    dates = calendar(now())
    with as_operator():
        for month in (*dates.ended, dates.running):
            journal.ensure_partitions(now=month.start)
        sold = catalogue.offer(dates, sandbox_url)
        cast = people.gather(dates)
        papers.fund(cast.prepaid, dates)
    crowd = (Busy(cast.postpaid, 40, 500), Busy(cast.prepaid, 9, 300), Busy(cast.doubtful, 4, 300))
    for place, month in enumerate(dates.ended):
        with as_operator():
            for number, busy in enumerate(crowd):
                grown = Busy(busy.tenant, busy.calls * 10, 300) if busy.calls == 4 and place == 2 else busy
                traffic.call(grown, sold, days_of(month.start, month.end or dates.now), 10 * place + number)
            papers.close_month(cast, month, place)
    with as_operator():
        until = dates.now - timedelta(days=1)
        for number, busy in enumerate(crowd):
            traffic.call(busy, sold, days_of(dates.running.start, until), 90 + number)
        agreements.agree(cast, dates)
        papers.draft_running(cast, dates)
        agreements.bank(cast, dates)
        agreements.tell(cast, dates)
        traffic.leave_open(crowd[0], sold[0], dates)
        papers.take_in_reports(dates)
        catalogue.watch(dates)
    with as_operator():
        agreements.propose(cast, dates)
        checks = papers.check_books(cast, dates)
        return [asdict(picture) for picture in pages.pictures(cast, checks)]


def main(arguments: list[str]) -> int:
    """Tell it, and print what can be seen."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    print(json.dumps(tell(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
