"""Several workers at once, and one that is killed: everything is sent, nothing twice unless somebody died."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from billing import outbox
from billing.models import WebhookAttempt, WebhookDelivery
from billing.webhooks import endpoints, queue
from billing.webhooks.courier import Courier
from billing.webhooks.endpoints import Wish
from portal.tenancy import as_operator
from tests.billing.crowd import together
from tests.billing.receiver import Receiver
from tests.billing.world import World
from tests.deadline import until

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
WORKER = (
    "import django; django.setup()\n"
    "from django.conf import settings; settings.ALLOW_PRIVATE_WEBHOOKS = True\n"
    "from billing.tasks import deliver_messages; deliver_messages()\n"
)


def prepared(url: str, messages: int) -> World:
    world = World()
    with as_operator():
        endpoints.add(tenant_id=world.tenant.pk, wish=Wish(url, ("invoice.paid",)), now=now())
        for number in range(messages):
            outbox.emit(tenant_id=world.tenant.pk, kind="invoice.paid", subject=f"invoice:{number}", data={}, now=now())
    return world


def deliver() -> int:
    """As a worker does: as the operator, each claim and each record a transaction of its own."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET ROLE tollgate_operator")
    return Courier(now).run()


def test_two_workers_at_once_send_each_message_once(receiver: Receiver) -> None:
    prepared(f"{receiver.url}/ok", 40)
    tries = together([deliver] * 3)
    assert sum(tries) == 40
    assert len(receiver.got) == len({got.id for got in receiver.got}) == 40
    assert receiver.most_at_once["/ok"] <= queue.MOST_PER_ENDPOINT
    with as_operator():
        assert set(WebhookDelivery.objects.values_list("status", "tries")) == {("delivered", 1)}


def test_the_message_of_a_killed_worker_goes_again_under_its_id(receiver: Receiver) -> None:
    """SIGKILL between sending and the answer: the receiver has it, the database does not know."""
    prepared(f"{receiver.url}/slow", 1)
    environment = {**os.environ, "TOLLGATE_ROLE": "operator", "DJANGO_SETTINGS_MODULE": "portal.settings"}
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=environment)
    try:
        until(lambda: receiver.got, seconds=60)
    finally:
        worker.kill()
        worker.wait()
    receiver.gate.set()
    assert deliver() == 0, "its lease still holds"
    with as_operator():
        assert WebhookAttempt.objects.count() == 0
        WebhookDelivery.objects.update(leased_until_at=now() - timedelta(seconds=1))
    assert deliver() == 1
    first, second = receiver.got
    assert (first.id, first.body) == (second.id, second.body)
    with as_operator():
        assert WebhookDelivery.objects.get().status == "delivered"
        assert WebhookAttempt.objects.get().number == 2


def test_one_message_is_written_by_many_who_tell_of_it_at_once(receiver: Receiver) -> None:
    world = prepared(f"{receiver.url}/ok", 0)

    def tell() -> bool:
        with as_operator():
            return outbox.emit(
                tenant_id=world.tenant.pk, kind="invoice.paid", subject="one", data={}, now=now(), once_key="1"
            )

    assert sorted(together([tell] * 6)) == [False] * 5 + [True]
    deliver()
    assert len(receiver.got) == 1
