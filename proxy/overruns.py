"""Upstreams that use more than the limit they were given: calls that cost more than was held, told to operators.

Such a call is posted in full, since it was used; that its upstream cannot be held to a cap is for operators to know.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from billing import money
from proxy.models import Finding, Route
from proxy.verification import raise_finding

WINDOW = timedelta(hours=2)
"""How long ago a call may have been admitted: longer than any call takes, and than the job may be late."""

FOUND = """
SELECT u.route_id, count(*), max(u.cost - u.hold), max(u.settled_at)
FROM portal_tenant t JOIN billing_usageevent u ON u.tenant_id = t.id AND u.id >= uuid_floor(%(start)s)
    LEFT JOIN (SELECT route_id, max(seen_at) AS seen_at FROM proxy_finding WHERE kind = %(kind)s GROUP BY 1) f
        ON f.route_id = u.route_id
WHERE u.state = 'settled' AND u.cost > u.hold AND u.settled_at > coalesce(f.seen_at, '-infinity')
GROUP BY 1 ORDER BY 1
"""


def find(*, now: datetime) -> list[str]:
    """Raise a finding for each route that had such calls since the last; returns what to log of each."""
    kind = Finding.Kind.OVERRUN
    with connection.cursor() as cursor:
        cursor.execute(FOUND, {"start": now - WINDOW, "kind": kind.value})
        rows = cursor.fetchall()
    routes = Route.objects.select_related("model", "upstream").in_bulk([row[0] for row in rows])
    told = []
    for route_id, calls, most, settled_at in rows:
        if route_id not in routes:
            continue
        after = f"{calls} calls, by up to {money.usd(int(most))} USD"
        raise_finding(routes[route_id], kind, "", after, settled_at)
        told.append(f"{routes[route_id]}: {after}")
    return told
