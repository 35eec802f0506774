"""What tenants are told: each kind once, in the transaction of what it tells of, as docs/guide/webhooks.md shows it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from billing import balance_alerts, closing, credit_notes, dunning, ledger, outbox, payments, top_ups
from billing.invoice_events import Said
from billing.meters import Usage
from billing.models import Invoice, MessageKind, OutboxMessage, WebhookDelivery
from billing.webhooks import endpoints, messages, watch
from billing.webhooks.endpoints import Wish
from portal.models import ApiKey, Membership, Role, User
from portal.tenancy import as_operator
from tests.billing.crowd import together
from tests.billing.world import USD, World

DOCS = Path(__file__).resolve().parents[2] / "docs" / "guide" / "webhooks.md"
HALF = Usage(input=5 * USD // 150_000 // 10)
"""Half of a budget of one USD."""
DAY = timedelta(days=1)


def listen(world: World, *kinds: str) -> None:
    with as_operator():
        wish = Wish("https://hooks.invalid/", kinds or endpoints.CHOICES)
        endpoints.add(tenant_id=world.tenant.pk, wish=wish, now=world.clock)


def told(world: World, kind: str = "") -> list[dict[str, Any]]:
    """The bodies of the messages to the endpoint, in the order they were written."""
    with as_operator():
        rows = WebhookDelivery.objects.filter(tenant=world.tenant).select_related("message").order_by("pk")
        bodies = [json.loads(row.message.body) for row in rows]
    return [body for body in bodies if kind in ("", body["type"])]


def look_at_budgets(world: World, at: datetime | None = None) -> int:
    with as_operator():
        return watch.tell_of_budgets(now=at or world.clock)


def look_at_keys(at: datetime) -> int:
    with as_operator():
        return watch.tell_of_keys(now=at)


def percents(world: World) -> list[int]:
    return [body["data"]["percent"] for body in told(world, "budget.threshold_reached")]


def invoiced(world: World) -> Invoice:
    world.use(Usage(input=10**8))
    with as_operator():
        return closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)


def pay(world: World, invoice: Invoice, amount: int) -> None:
    ask = payments.Ask(amount, invoice.currency, "bank")
    with as_operator():
        payments.record(tenant=world.tenant, ask=ask, chosen=[invoice], now=world.clock)


def with_owner(world: World) -> None:
    with as_operator():
        user = User.objects.create_user(f"owner@{world.tenant.slug}.test", None)
        Membership.objects.create(tenant=world.tenant, user=user, role=Role.OWNER, created_at=world.clock)


def test_each_threshold_of_a_budget_is_told_once_a_window(world: World) -> None:
    listen(world)
    world.set_budget(USD, scope="api_key")
    world.set_budget(100 * USD, scope="tenant", window="lifetime")
    assert look_at_budgets(world) == 0
    world.use(HALF)
    assert [look_at_budgets(world), look_at_budgets(world)] == [0, 0], "one token less than a half"
    world.use(Usage(input=10))
    assert [look_at_budgets(world), look_at_budgets(world)] == [1, 0]
    world.use(Usage(input=2_000_000))
    assert [look_at_budgets(world), look_at_budgets(world)] == [1, 0]
    assert percents(world) == [50, 80]
    body = told(world)[0]["data"]
    assert body["budget"] == {
        "scope": "api_key", "api_key": world.keys[0].public_id, "window": "month", "limit_usd": "1.00"
    }  # fmt: skip
    assert body["window_starts_at"] == "2027-02-28T23:00:00Z"


def test_the_next_window_begins_anew_and_its_end_is_not_missed(world: World) -> None:
    listen(world)
    budget = world.set_budget(USD, window="day")
    world.use(Usage(input=HALF.input + 10))
    with as_operator():
        row = budget.allowances.order_by("starts_at")[0]
    assert row.ends_at is not None
    assert look_at_budgets(world, row.ends_at + watch.LOOKS_BACK) == 0
    assert look_at_budgets(world, row.ends_at + timedelta(minutes=5)) == 1
    world.clock = row.ends_at + timedelta(minutes=1)
    world.use(Usage(input=HALF.input + 10))
    assert look_at_budgets(world, row.ends_at + timedelta(minutes=5)) == 1
    assert percents(world) == [50, 50]


def test_a_lifetime_budget_is_told_once_for_ever(world: World) -> None:
    listen(world)
    world.set_budget(USD, window="lifetime")
    world.use(Usage(input=HALF.input + 10))
    look_at_budgets(world)
    later = world.clock + timedelta(days=400)
    with as_operator():
        WebhookDelivery.objects.update(status="delivered", finished_at=world.clock)
        outbox.forget(now=later)
    assert look_at_budgets(world, later) == 0
    assert percents(world) == [50]


def test_nobody_is_told_who_does_not_want_to_know(world: World) -> None:
    listen(world, "invoice.paid")
    world.set_budget(USD)
    world.use(HALF)
    world.use(HALF)
    assert look_at_budgets(world) == 0
    with as_operator():
        assert OutboxMessage.objects.count() == 0


def test_keys_are_warned_of_seven_days_and_one_day_before_and_told_of_when_they_expire(world: World) -> None:
    listen(world)
    end = world.clock + timedelta(days=30)
    with as_operator():
        ApiKey.objects.filter(pk=world.keys[0].pk).update(expires_at=end)
        ApiKey.objects.filter(pk=world.keys[1].pk).update(expires_at=end, revoked_at=world.clock)
    moments = [end - 8 * DAY, end - 7 * DAY, end - 2 * DAY, end - DAY, end - timedelta(1, 1), end, end + DAY]
    moments += [end + watch.EXPIRED_SINCE, end + 40 * DAY]
    assert [look_at_keys(moment) for moment in moments] == [0, 1, 0, 1, 0, 1, 0, 0, 0]
    assert [(body["type"], body["data"].get("within_days")) for body in told(world)] == [
        ("key.expiring", 7), ("key.expiring", 1), ("key.expired", None),
    ]  # fmt: skip


def test_a_key_that_was_made_for_an_hour_is_not_warned_of(world: World) -> None:
    listen(world)
    with as_operator():
        ApiKey.objects.filter(pk=world.keys[0].pk).update(expires_at=world.clock + timedelta(hours=1))
        ApiKey.objects.filter(pk=world.keys[1].pk).update(expires_at=world.clock + timedelta(days=3))
    assert look_at_keys(world.clock) == 0
    assert look_at_keys(world.clock + 3 * DAY) == 2
    assert {body["type"] for body in told(world)} == {"key.expired"}


def test_a_changed_date_is_warned_of_anew(world: World) -> None:
    listen(world)
    for days in (7, 14):
        with as_operator():
            ApiKey.objects.filter(pk=world.keys[0].pk).update(expires_at=world.clock + timedelta(days=days))
        assert look_at_keys(world.clock + timedelta(days=days - 7)) == 1


def test_a_low_balance_is_told_when_people_are(prepaid: World) -> None:
    listen(prepaid)
    with as_operator():
        balance_alerts.set_thresholds(tenant=prepaid.tenant, thresholds=[20 * USD])
    prepaid.use(Usage(input=600_000_000))
    with as_operator():
        assert [balance_alerts.send_due(now=prepaid.clock) for _ in range(2)] == [1, 0]
    assert [body["data"] for body in told(prepaid)] == [
        {"left_usd": "10.00", "threshold_usd": "20.00", "lasts_days": None}
    ]


def test_a_stopped_top_up_is_told(prepaid: World) -> None:
    listen(prepaid)
    with as_operator():
        top_ups.set_rule(tenant=prepaid.tenant, rule=top_ups.Rule(20 * USD, 50 * USD, 3), now=prepaid.clock)
        for _ in range(2):
            top_ups.failed(tenant=prepaid.tenant, reason="The card was declined.", now=prepaid.clock)
    assert [body["data"] for body in told(prepaid)] == [{"reason": "The card was declined."}]


def test_an_invoice_is_told_of_when_it_is_issued_overdue_and_paid(world: World) -> None:
    listen(world)
    with_owner(world)
    invoice = invoiced(world)
    with as_operator():
        closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        assert invoice.due_on is not None
        late = world.clock + timedelta(days=(invoice.due_on - world.clock.date()).days + 3)
        assert [dunning.remind(now=late) for _ in range(2)] == [1, 0]
    pay(world, invoice, 500)
    assert told(world, "invoice.paid") == []
    pay(world, invoice, invoice.total - 500)
    bodies = told(world)
    assert [body["type"] for body in bodies] == ["invoice.finalised", "invoice.overdue", "invoice.paid"]
    assert {body["data"]["invoice"]["number"] for body in bodies} == {invoice.number}
    assert bodies[0]["data"]["invoice"]["total"] == "15.00"
    assert (bodies[1]["data"]["unpaid"], bodies[1]["data"]["reminder_after_days"]) == ("15.00", 3)
    assert [body["data"]["invoice"]["status"] for body in bodies] == ["finalised", "finalised", "paid"]


def test_a_credit_note_is_told_of_with_the_invoice_it_corrects(world: World) -> None:
    listen(world)
    invoice = invoiced(world)
    with as_operator():
        note = credit_notes.issue(invoice=invoice, amounts=None, said=Said("Ana", "A mistake"), now=world.clock)
    body = told(world)[-1]["data"]["invoice"]
    assert (body["kind"], body["corrects"], body["number"]) == ("credit_note", invoice.pk, note.number)


def test_an_invoice_that_was_not_issued_is_not_told_of(world: World) -> None:
    listen(world)
    with as_operator():
        invoice_total = invoiced(world).total
        transaction.set_rollback(True)
    assert invoice_total > 0
    assert told(world) == []


@pytest.mark.django_db(transaction=True)
def test_jobs_at_the_same_time_tell_once() -> None:
    world = World()
    listen(world)
    for scope in ("tenant", "project", "api_key"):
        world.set_budget(USD, scope=scope)
    world.use(Usage(input=HALF.input + 10))
    with as_operator():
        ApiKey.objects.filter(pk=world.keys[0].pk).update(expires_at=world.clock + timedelta(days=30))
    end = world.clock + timedelta(days=30)

    def both() -> int:
        return look_at_budgets(world) + look_at_keys(end - DAY)

    assert sum(together([both] * 6)) == 4
    assert Counter(body["type"] for body in told(world)) == {"budget.threshold_reached": 3, "key.expiring": 1}


def shape(value: Any) -> Any:
    """The members of a body with the kinds of their values; null stands for any."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value).__name__


def test_the_documentation_shows_what_is_sent(world: World) -> None:
    shown = {body["type"]: body for body in map(json.loads, re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.S))}
    listen(world)
    with_owner(world)
    world.set_budget(20 * USD, scope="project")
    invoice = invoiced(world)
    late = world.clock + timedelta(days=60)
    with as_operator():
        ApiKey.objects.filter(pk=world.keys[0].pk).update(expires_at=world.clock + timedelta(days=7))
        balance_alerts.set_thresholds(tenant=world.tenant, thresholds=[USD])
        ledger.set_credit_limit(tenant=world.tenant, credit_limit=0, now=world.clock)
        dunning.remind(now=late)
        watch.tell_of_budgets(now=world.clock)
        watch.tell_of_keys(now=world.clock)
        watch.tell_of_keys(now=world.clock + 7 * DAY)
        messages.balance_low(tenant_id=world.tenant.pk, left=USD, threshold=2 * USD, days=3, now=world.clock)
        messages.top_up_stopped(tenant_id=world.tenant.pk, reason="No card.", now=world.clock)
        endpoints.send_test(endpoint=WebhookDelivery.objects.filter(tenant=world.tenant)[0].endpoint, now=world.clock)
    pay(world, invoice, invoice.total)
    sent = {body["type"]: body for body in told(world)}
    assert set(shown) == set(sent) == set(MessageKind.values)
    for kind, body in shown.items():
        assert shape(sent[kind]) == shape(body), kind
