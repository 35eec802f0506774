"""What nobody does but time and usage bring about: thresholds of budgets reached, keys that expire.

One statement finds what is new among all tenants that want to know; calls are not touched. Any number of workers may
look at once: a message is written once for its key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connection

from billing.models import Allowance, Budget, MessageKind
from billing.outbox import Data
from billing.webhooks import messages
from billing.webhooks.messages import EndingKey

PERCENTS = (50, 80, 100)
LOOKS_BACK = timedelta(hours=1)
"""What was spent at the very end of a window is told of after it."""
EXPIRED_SINCE = timedelta(days=3)
"""Keys that expired before are old news, such as for an endpoint that is new."""
MOST = 300
"""Messages of one sort in one look; the next look goes on."""

# OFFSET 0: what is left of the rows is looked up one by one, by the index of once_key, never joined as a whole.
_REACHED = """
    SELECT a.id, p.percent
    FROM billing_allowance a
    JOIN billing_budget b ON b.id = a.budget_id AND b.is_active
    CROSS JOIN unnest(%(percents)s::int[]) AS p(percent)
    WHERE a.tenant_id IN (
            SELECT tenant_id FROM billing_webhookendpoint WHERE is_active AND %(kind)s = ANY(kinds))
        AND a.starts_at <= %(now)s AND (a.ends_at IS NULL OR a.ends_at > %(ended)s)
        -- The first comparison leaves few rows before anything is joined.
        AND a."limit" > 0 AND a.spent * 100 >= a."limit" * %(least)s AND a.spent * 100 >= a."limit" * p.percent
        AND NOT EXISTS (SELECT FROM billing_outboxmessage m WHERE m.tenant_id = a.tenant_id AND m.kind = %(kind)s
            AND m.subject = 'allowance:' || a.id AND m.once_key = p.percent::text OFFSET 0)
    ORDER BY a.id, p.percent LIMIT %(most)s
"""

_ENDING = """
    SELECT k.tenant_id, k.public_id, k.name, p.slug, k.last_four, k.expires_at, %(days)s
    FROM portal_apikey k JOIN portal_project p ON p.id = k.project_id
    WHERE k.tenant_id IN (
            SELECT tenant_id FROM billing_webhookendpoint WHERE is_active AND %(kind)s = ANY(kinds))
        AND k.revoked_at IS NULL AND k.expires_at > %(after)s AND k.expires_at <= %(until)s
        AND k.created_at <= k.expires_at - make_interval(days => %(days)s)
        AND NOT EXISTS (SELECT FROM billing_outboxmessage m WHERE m.tenant_id = k.tenant_id AND m.kind = %(kind)s
            AND m.subject = 'key:' || k.public_id AND m.once_key = %(days)s || ':' ||
                to_char(k.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') OFFSET 0)
    ORDER BY k.expires_at, k.id LIMIT %(most)s
"""


def tell_of_budgets(*, now: datetime) -> int:
    """Tell of each threshold that was reached and not told of in its window; returns how many messages were new."""
    values: dict[str, Any] = {
        "percents": list(PERCENTS),
        "least": min(PERCENTS),
        "kind": str(MessageKind.BUDGET_THRESHOLD),
        "now": now,
        "ended": now - LOOKS_BACK,
        "most": MOST,
    }
    with connection.cursor() as cursor:
        cursor.execute(_REACHED, values)
        found: list[tuple[int, int]] = cursor.fetchall()
    rows = Allowance.objects.select_related("budget").in_bulk({ident for ident, _percent in found})
    names = _names(row.budget for row in rows.values() if row.budget)
    return sum(
        messages.budget_reached(allowance=row, percent=percent, of=_of(row.budget, names), now=now)
        for ident, percent in found
        if (row := rows[ident]).budget
    )


def tell_of_keys(*, now: datetime) -> int:
    """Tell of keys that expire within 7 days, within one, and of those that have; returns how many were new.

    A key that was made to live no longer than the warning's time is not warned of.
    """
    day = timedelta(days=1)
    found = [
        *_ending(MessageKind.KEY_EXPIRING, 7, now + day, now + 7 * day),
        *_ending(MessageKind.KEY_EXPIRING, 1, now, now + day),
        *_ending(MessageKind.KEY_EXPIRED, 0, now - EXPIRED_SINCE, now),
    ]
    return sum(messages.key_ends(key=key, now=now) for key in found)


def _ending(kind: str, days: int, after: datetime, until: datetime) -> list[EndingKey]:
    """Keys in use that expire in ``(after, until]`` and were not told of."""
    values: dict[str, Any] = {"kind": str(kind), "days": days, "after": after, "until": until, "most": MOST}
    with connection.cursor() as cursor:
        cursor.execute(_ENDING, values)
        return [EndingKey(*row) for row in cursor.fetchall()]


def _of(budget: Budget, names: dict[tuple[str, int], str]) -> Data:
    """Whose budget it is, as messages say it."""
    if budget.scope == Budget.Scope.TENANT:
        return {}
    return {str(budget.scope): names.get((budget.scope, budget.scope_id), "")}


def _names(budgets: Iterable[Budget]) -> dict[tuple[str, int], str]:
    """How the API calls the projects and keys of budgets: by slug and by public id."""
    names: dict[tuple[str, int], str] = {}
    scopes = [(budget.scope, budget.scope_id) for budget in budgets]
    for scope, model, field in (("project", "Project", "slug"), ("api_key", "ApiKey", "public_id")):
        ids = [ident for each, ident in scopes if each == scope]
        rows = apps.get_model("portal", model)._default_manager.filter(pk__in=ids)
        names.update({(scope, ident): name for ident, name in rows.values_list("pk", field)})
    return names
