"""Messages to tenants' systems, sent to real servers: signed, tried again, bounded, told once they are committed."""

from __future__ import annotations

import ssl
import threading
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, transaction
from django.utils.timezone import now
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from billing import outbox
from billing.models import OutboxMessage, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from billing.outbox import UnknownKind
from billing.sealing import SealProblem
from billing.webhooks import endpoints, queue, schedule, sending, signing
from billing.webhooks.courier import Courier
from billing.webhooks.endpoints import EndpointProblem, Made, Wish
from portal import tenancy
from portal.models import User
from portal.tenancy import as_operator, as_tenant
from tests.billing.receiver import Receiver
from tests.billing.secure import Secure
from tests.billing.world import World, as_role

KIND = "invoice.paid"


def endpoint_at(world: World, url: str, *kinds: str) -> Made:
    with as_operator():
        return endpoints.add(tenant_id=world.tenant.pk, wish=Wish(url, kinds or (KIND,)), now=now())


def say(world: World, *, kind: str = KIND, subject: str = "invoice:1", **more: Any) -> bool:
    with as_operator():
        return outbox.emit(tenant_id=world.tenant.pk, kind=kind, subject=subject, data={"é": "ü"}, now=now(), **more)


def deliver() -> int:
    with as_operator():
        return Courier(now).run()


def hurry() -> None:
    """What waits for its next try is due now."""
    with as_operator():
        WebhookDelivery.objects.filter(status="waiting").update(due_at=now())


def only() -> WebhookDelivery:
    with as_operator():
        return WebhookDelivery.objects.select_related("endpoint", "message").get()


def tries() -> list[tuple[int, int | None, str]]:
    with as_operator():
        rows = WebhookAttempt.objects.order_by("delivery", "number")
        return list(rows.values_list("number", "status_code", "error"))


def _same(moment: datetime) -> datetime:
    return moment


def test_invariant_36_the_same_id_on_each_try_and_the_signature_is_over_the_raw_body(
    world: World, receiver: Receiver
) -> None:
    made = endpoint_at(world, f"{receiver.url}/fail/2?token=a")
    say(world)
    for _ in range(4):
        deliver()
        hurry()
    first, second, third = receiver.got
    message = only().message
    assert first.id == second.id == third.id == message.pk
    assert {got.body for got in receiver.got} == {message.body.encode()}
    for got in receiver.got:
        assert got.verified(made.secret)["data"] == {"é": "ü"}
        with pytest.raises(WebhookVerificationError):
            Webhook(made.secret).verify(got.body.replace(b"1", b"2") + b" ", got.headers)
    assert tries() == [
        (1, 500, "It answered with 500."),
        (2, 500, "It answered with 500."),
        (3, 200, ""),
    ]
    assert (only().status, only().reason) == ("delivered", "")


def test_it_says_what_the_endpoint_answered(world: World, receiver: Receiver) -> None:
    endpoint_at(world, f"{receiver.url}/fail/1")
    say(world)
    deliver()
    with as_operator():
        assert WebhookAttempt.objects.get().response == "try� again �"


def test_invariant_36_both_secrets_sign_while_one_is_rotated(world: World, receiver: Receiver) -> None:
    made = endpoint_at(world, f"{receiver.url}/ok")
    with as_operator():
        renewed = endpoints.rotate(endpoint=made.endpoint, overlap=timedelta(hours=1), now=now())
    say(world)
    deliver()
    got = receiver.got[0]
    assert len(got.headers["webhook-signature"].split(" ")) == 2
    assert got.verified(made.secret) == got.verified(renewed.secret)
    with as_operator():
        WebhookEndpoint.objects.update(previous_until_at=now() - timedelta(seconds=1))
    say(world, subject="invoice:2")
    deliver()
    with pytest.raises(WebhookVerificationError):
        receiver.got[1].verified(made.secret)
    receiver.got[1].verified(renewed.secret)


def test_it_stores_no_secret_in_the_clear(world: World) -> None:
    made = endpoint_at(world, "https://192.0.2.1.example/hook")
    other = endpoint_at(world, "https://192.0.2.1.example/hook")
    assert made.secret.encode() not in bytes(made.endpoint.sealed_secret)
    assert made.secret not in repr(made)
    other.endpoint.sealed_secret = made.endpoint.sealed_secret
    with pytest.raises(SealProblem):
        signing.secrets_of(other.endpoint, now=now())


def test_it_sends_nothing_that_was_rolled_back(world: World, receiver: Receiver) -> None:
    endpoint_at(world, f"{receiver.url}/ok")
    with as_operator():
        outbox.emit(tenant_id=world.tenant.pk, kind=KIND, subject="x", data={}, now=now())
        transaction.set_rollback(True)
    assert deliver() == 0
    assert receiver.got == []


def test_it_tells_once_for_a_key(world: World, receiver: Receiver) -> None:
    endpoint_at(world, f"{receiver.url}/ok")
    told = [say(world, once_key=key) for key in ("50", "50", "80")]
    assert told == [True, False, True]
    assert say(world, once_key="50", subject="invoice:2")
    deliver()
    assert len({got.id for got in receiver.got}) == 3


def test_it_tells_endpoints_what_they_asked_for(world: World, receiver: Receiver) -> None:
    stranger = World()
    endpoint_at(world, f"{receiver.url}/paid", KIND)
    endpoint_at(world, f"{receiver.url}/keys", "key.expired", "key.expiring")
    endpoint_at(stranger, f"{receiver.url}/stranger", KIND, "key.expired")
    off = endpoint_at(world, f"{receiver.url}/off", KIND).endpoint
    with as_operator():
        endpoints.disable(endpoint=off, now=now())
    say(world)
    say(world, kind="key.expired")
    deliver()
    assert sorted(got.path for got in receiver.got) == ["/keys", "/paid"]
    with pytest.raises(UnknownKind):
        say(world, kind="invoice.lost")


@pytest.mark.parametrize("role", ["tollgate_operator", "tollgate_portal", "none"])
def test_a_message_never_changes(world: World, role: str) -> None:
    say(world)
    with pytest.raises(DatabaseError, match=r"never changed|permission denied"), as_role(role):
        OutboxMessage.objects.update(body="{}")


def test_a_message_whose_worker_died_goes_again(world: World, receiver: Receiver) -> None:
    """Between the lease and the answer: nobody else sends it until the lease is over, and then it goes."""
    endpoint_at(world, f"{receiver.url}/ok")
    say(world)
    moment = now()
    with as_operator():
        lost = queue.claim(now=moment, most=10, most_slow=10)
        assert len(lost) == 1
        assert queue.claim(now=moment + queue.LEASE - timedelta(seconds=1), most=10, most_slow=10) == []
        again = queue.claim(now=moment + queue.LEASE, most=10, most_slow=10)
        assert [claim.delivery.pk for claim in again] == [lost[0].delivery.pk]
        assert again[0].lease != lost[0].lease
        queue.record(claim=lost[0], answer=sending.Answer(500, 1, "late"), now=moment)
        assert WebhookDelivery.objects.get().lease == again[0].lease, "who lost the lease decides nothing"
        queue.record(claim=lost[0], answer=sending.Answer(200, 1), now=moment)
        assert WebhookDelivery.objects.get().status == "delivered", "but what was taken is taken"
        queue.record(claim=again[0], answer=sending.Answer(500, 1, "late"), now=moment)
        assert WebhookDelivery.objects.get().status == "delivered"


@pytest.mark.parametrize(
    ("path", "code", "error"),
    [
        ("/moved", 302, "It answered with a redirect, which is not followed."),
        ("/close", None, "It closed the connection without an answer, or did not answer in HTTP."),
        ("/status/404", 404, "It answered with 404."),
    ],
)
def test_it_says_why_a_try_failed(world: World, receiver: Receiver, path: str, code: int | None, error: str) -> None:
    endpoint_at(world, receiver.url + path)
    say(world)
    deliver()
    assert tries() == [(1, code, error)]
    assert only().status == "waiting"
    assert receiver.at("/elsewhere") == []


def test_it_reads_little_of_a_huge_answer(world: World, receiver: Receiver) -> None:
    endpoint_at(world, f"{receiver.url}/huge")
    say(world)
    deliver()
    with as_operator():
        assert WebhookAttempt.objects.get().response == "x" * sending.MOST_SHOWN
    assert only().status == "delivered"


def test_a_slow_endpoint_holds_up_nobody_else(world: World, receiver: Receiver) -> None:
    """Twelve messages for the slow one, of which two are under way; the quick one's are all taken meanwhile."""
    endpoint_at(world, f"{receiver.url}/slow")
    endpoint_at(world, f"{receiver.url}/quick")
    for number in range(12):
        say(world, subject=f"invoice:{number}")
    taken_before_the_gate: list[int] = []

    def open_when_quick_is_done(path: str = "/quick") -> None:
        deadline = time.monotonic() + 20
        while len(receiver.at(path)) < 12 and time.monotonic() < deadline:
            receiver.gate.wait(0.01)
        taken_before_the_gate.append(len(receiver.at("/slow")))
        receiver.gate.set()

    opener = threading.Thread(target=open_when_quick_is_done)
    opener.start()
    deliver()
    opener.join()
    assert len(receiver.at("/quick")) == 12
    assert taken_before_the_gate == [queue.MOST_PER_ENDPOINT]
    assert receiver.most_at_once["/slow"] <= queue.MOST_PER_ENDPOINT


def test_an_endpoint_has_a_bound_for_all_workers_together(world: World) -> None:
    endpoint_at(world, "https://192.0.2.1.example/hook")
    for number in range(5):
        say(world, subject=f"invoice:{number}")
    with as_operator():
        claimed = [len(queue.claim(now=now(), most=10, most_slow=10)) for _worker in range(3)]
    assert claimed == [queue.MOST_PER_ENDPOINT, 0, 0]


def test_slow_endpoints_leave_room_for_others(world: World) -> None:
    made = [endpoint_at(world, f"https://192.0.2.{place}.example/hook").endpoint for place in range(4)]
    with as_operator():
        WebhookEndpoint.objects.filter(pk__in=[each.pk for each in made[:3]]).update(is_slow=True)
    say(world)
    with as_operator():
        first = queue.claim(now=now(), most=10, most_slow=1)
        second = queue.claim(now=now(), most=10, most_slow=1)
    assert len(first) == 2
    assert sum(claim.delivery.endpoint.is_slow for claim in first) == 1
    assert second == []


def test_it_tries_when_the_schedule_says_so_and_then_gives_up(world: World, receiver: Receiver) -> None:
    endpoint_at(world, f"{receiver.url}/status/503")
    say(world)
    waits: list[timedelta] = []
    clock = now()
    while only().status == "waiting":
        with as_operator():
            Courier(partial(_same, clock)).run()
        row = only()
        if row.status == "waiting":
            waits.append(row.due_at - clock)
            clock = row.due_at
    assert len(waits) == len(schedule.DELAYS)
    asked = timedelta(hours=2)
    for wait, wanted in zip(waits, schedule.DELAYS, strict=True):
        assert max(wanted, asked) <= wait <= max(wanted * 11 // 10, asked)
    assert (only().status, only().reason) == ("failed", "Given up after 10 tries.")
    assert len({got.id for got in receiver.got}) == 1


def test_delays_are_those_recommended_with_a_little_chance() -> None:
    assert [schedule.delay_after(step, jitter=0) for step in range(10)] == [*schedule.DELAYS, None]
    assert schedule.delay_after(1, jitter=100) == timedelta(minutes=5, seconds=30)
    assert schedule.delay_after(0, jitter=0, asked_s=10**9) == timedelta(hours=24)


def test_an_endpoint_that_is_gone_is_disabled_at_once(
    world: World, receiver: Receiver, django_capture_on_commit_callbacks: Any
) -> None:
    with as_operator():
        for role in ("owner", "developer"):
            person = User.objects.create_user(f"{role}@acme.test", None)
            tenancy.add_member(tenant=world.tenant, user=person, role=role, actor=None, now=now())
    mail.outbox.clear()
    endpoint_at(world, f"{receiver.url}/status/410")
    say(world)
    with django_capture_on_commit_callbacks(execute=True):
        deliver()
    row = only()
    assert (row.endpoint.is_active, row.endpoint.disabled_reason) == (False, "It answered 410 Gone.")
    assert (row.status, row.reason) == ("failed", "The endpoint was disabled.")
    assert [each.bcc for each in mail.outbox] == [["owner@acme.test"]]
    assert "410 Gone" in mail.outbox[0].body


def test_an_endpoint_that_fails_for_five_days_is_disabled(world: World, receiver: Receiver) -> None:
    endpoint = endpoint_at(world, f"{receiver.url}/fail/3").endpoint
    start = now()
    for days in (0, 4, 5):
        say(world, subject=f"invoice:{days}")
        with as_operator():
            WebhookDelivery.objects.filter(status="waiting").exclude(message__subject=f"invoice:{days}").update(
                due_at=start + timedelta(days=30)
            )
            clock = start + timedelta(days=days, minutes=1)
            Courier(partial(_same, clock)).run()
            endpoint.refresh_from_db()
        assert endpoint.is_active == (days < 5)
    assert endpoint.disabled_reason == "It has failed for 5 days."


def test_a_success_ends_the_days_of_failing(world: World, receiver: Receiver) -> None:
    endpoint = endpoint_at(world, f"{receiver.url}/fail/1").endpoint
    say(world)
    deliver()
    with as_operator():
        endpoint.refresh_from_db()
        assert endpoint.failing_since_at is not None
    hurry()
    deliver()
    with as_operator():
        endpoint.refresh_from_db()
    assert endpoint.failing_since_at is None


def test_it_sends_again_by_hand_under_the_same_id(world: World, receiver: Receiver) -> None:
    made = endpoint_at(world, f"{receiver.url}/ok")
    say(world)
    deliver()
    with as_operator():
        assert queue.resend(delivery=only(), now=now())
    deliver()
    first, second = receiver.got
    assert first.id == second.id
    assert second.verified(made.secret)
    assert [number for number, _code, _error in tries()] == [1, 2]


def test_it_sends_again_everything_that_failed(world: World, receiver: Receiver) -> None:
    endpoint = endpoint_at(world, f"{receiver.url}/ok").endpoint
    for number in range(3):
        say(world, subject=f"invoice:{number}")
    with as_operator():
        endpoints.disable(endpoint=endpoint, now=now())
        with pytest.raises(EndpointProblem, match="Enable the endpoint first"):
            queue.resend_failed(endpoint=endpoint, since=now() - timedelta(hours=1), now=now())
        endpoints.enable(endpoint=endpoint)
        assert queue.resend_failed(endpoint=endpoint, since=now() + timedelta(hours=1), now=now()) == 0
        assert queue.resend_failed(endpoint=endpoint, since=now() - timedelta(hours=1), now=now()) == 3
    deliver()
    assert len({got.id for got in receiver.got}) == 3


def test_a_removed_endpoint_is_told_nothing_and_keeps_no_secret(world: World, receiver: Receiver) -> None:
    endpoint = endpoint_at(world, f"{receiver.url}/ok").endpoint
    say(world)
    with as_operator():
        endpoints.remove(endpoint=endpoint, now=now())
        endpoint.refresh_from_db()
        with pytest.raises(EndpointProblem, match="removed"):
            endpoints.enable(endpoint=endpoint)
    say(world, subject="invoice:2")
    deliver()
    assert receiver.got == []
    assert bytes(endpoint.sealed_secret) == b""
    assert only().status == "failed"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook", "https://10.1.2.3/", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
        "https://[::ffff:10.0.0.1]/", "https://localhost/hook", "http://example.com/", "ftp://example.com/",
        "https://user:secret@example.com/", "https://exa mple.com/", "https://example.com/#x", "https://", "x",
        "https://[64:ff9b::a00:1]/", "https://0.0.0.0/", "https://example.com:0/",
    ],
)  # fmt: skip
def test_it_takes_no_address_of_the_own_network(world: World, url: str) -> None:
    with pytest.raises(EndpointProblem):
        endpoint_at(world, url)


def test_it_checks_the_address_it_connects_to(world: World, receiver: Receiver, settings: Any) -> None:
    """A name that was public when it was entered, and leads home when the message goes out."""
    port = receiver.url.rpartition(":")[2]
    endpoint = endpoint_at(world, f"https://hooks.invalid:{port}/ok").endpoint
    with as_operator():
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url=f"https://localhost:{port}/ok")
    settings.ALLOW_PRIVATE_WEBHOOKS = False
    say(world)
    deliver()
    assert tries() == [(1, None, "localhost leads to an address that is not on the public internet.")]
    assert receiver.got == []


def test_it_wants_a_certificate_it_trusts(world: World, tmp_path: Any, settings: Any) -> None:
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    with Secure(tmp_path) as secure:
        endpoint_at(world, f"{secure.url}/ok")
        endpoint_at(world, f"{secure.url.replace('127.0.0.1', 'localhost')}/ok")
        say(world)
        with as_operator():
            Courier(now, trust=ssl.create_default_context()).run()
        assert {error for _number, _code, error in tries()} == {
            "Its certificate is not trusted, or is not for this name."
        }
        hurry()
        with as_operator():
            Courier(now, trust=secure.trust).run()
    assert [(number, code) for number, code, _error in tries()] == [(1, None), (2, 200), (1, None), (2, None)]


def test_it_forgets_after_thirty_days_but_not_what_is_still_due_or_kept(world: World, receiver: Receiver) -> None:
    endpoint_at(world, f"{receiver.url}/ok")
    say(world)
    deliver()
    say(world, subject="waiting")
    say(world, kind="key.expired", subject="kept", once_key="1", keep_until=now() + timedelta(days=60))
    say(world, kind="key.expired", subject="short", once_key="1")
    with as_operator():
        assert outbox.forget(now=now() + timedelta(days=29)) == 0
        assert outbox.forget(now=now() + timedelta(days=31)) == 2
        left = set(OutboxMessage.objects.filter(tenant=world.tenant).values_list("subject", flat=True))
    assert left == {"waiting", "kept"}
    assert tries() == []


def test_a_tenant_sees_its_own_rows_and_writes_none(world: World, receiver: Receiver) -> None:
    stranger = World()
    endpoint_at(world, f"{receiver.url}/ok")
    say(world)
    deliver()
    for tables in (WebhookEndpoint, OutboxMessage, WebhookDelivery, WebhookAttempt):
        with as_tenant(world.tenant.pk):
            assert tables._default_manager.count() == 1
        with as_tenant(stranger.tenant.pk):
            assert tables._default_manager.count() == 0
        with pytest.raises(DatabaseError, match="permission denied"), as_tenant(world.tenant.pk):
            tables._default_manager.all().delete()


def test_an_endpoint_says_what_is_wrong_with_a_wish(world: World) -> None:
    for wish in (
        Wish("https://h.invalid/", ()),
        Wish("https://h.invalid/", ("test",)),
        Wish("https://h.invalid/", (KIND,), "x" * 101),
    ):
        with pytest.raises(EndpointProblem), as_operator():
            endpoints.add(tenant_id=world.tenant.pk, wish=wish, now=now())
