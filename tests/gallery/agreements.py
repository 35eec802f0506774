"""What was agreed and told in the demonstration: a contract, prices that wait, a re-rating, bank lines, webhooks."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import Group

from billing import bank_lines, catalog, outbox, proposals, reratings, terms
from billing.bank_files import StatementLine
from billing.contract_sums import Contract, FreeTerms
from billing.models import Invoice, Payment, Price, ProviderEvent, WebhookDelivery
from billing.models.outbox import MessageKind
from billing.price_sheets import Sheet
from billing.proposals import Change
from billing.reratings import Asked
from billing.webhooks import endpoints
from billing.webhooks.endpoints import Wish
from tests.gallery.calendar import Calendar
from tests.gallery.people import USD, Cast

CHEAPER = {"input": 230_000, "cache_read": 23_000, "output": 1_900_000}


def agree(cast: Cast, calendar: Calendar) -> None:
    """A contract of the tenant that pays by invoice, from the running month on."""
    contract = Contract(
        minimum=600 * USD, free_amount=5 * USD, free_tokens=(FreeTerms("sparrow*", "input", 2_000_000),),
        note="C-2026-17",
    )  # fmt: skip
    terms.agree(
        tenant=cast.postpaid, contract=contract, effective_from=calendar.running.start, effective_to=None,
        now=calendar.now,
    )  # fmt: skip


def propose(cast: Cast, calendar: Calendar) -> None:
    """A price that waits for a second operator, and a re-rating of the last month that was counted."""
    book, now = catalog.default_book(), calendar.now
    in_force = Price.objects.filter(model="atlas-mini").latest("effective_from")
    sheet = Sheet("atlas-mini", CHEAPER, replaces=in_force.pk)
    proposals.propose(Change(book, (sheet,), None, note="List price of November"), actor_id=cast.owner.pk, now=now)
    last = calendar.ended[-1]
    asked = Asked(
        book, cast.postpaid.pk, ("atlas-mini",), last.start, calendar.running.start, (sheet,), "Agreed by mail"
    )  # fmt: skip
    row = reratings.ask(asked, actor_id=cast.operator.pk, now=now)
    reratings.work(row.pk, now=now)
    Group.objects.create(name="Finance")


def bank(cast: Cast, calendar: Calendar) -> None:
    """Two lines of a statement, of which one names an invoice; and an event of a card that nobody understood."""
    owed = Invoice.objects.filter(tenant=cast.postpaid, kind="invoice", status="finalised").order_by("id")[0]
    lines = [
        StatementLine(calendar.now.date(), owed.total // 2, "EUR", "ACME ROBOTICS GMBH", f"{owed.number} part", "a1b2"),
        StatementLine(calendar.now.date(), 12_345, "EUR", "J. DOE", "thank you", "c3d4"),
    ]
    bank_lines.take_in(matches=bank_lines.match(lines), actor="Operator", now=calendar.now)
    ProviderEvent.objects.create(
        id="evt_gallery", kind="charge.refunded", raw='{"id": "evt_gallery"}', received_at=calendar.now,
        payment=Payment.objects.filter(tenant=cast.postpaid).first(), problem="This charge is not one of ours.",
    )  # fmt: skip


def tell(cast: Cast, calendar: Calendar) -> None:
    """An endpoint with a message that arrived, one that failed and one that waits."""
    kinds = (MessageKind.INVOICE_FINALISED, MessageKind.INVOICE_PAID)
    wish = Wish("https://hooks.acme.example/tollgate", tuple(map(str, kinds)), "Accounting")
    endpoints.add(tenant_id=cast.postpaid.pk, wish=wish, now=calendar.began)
    for place, kind in enumerate((*kinds, kinds[0])):
        moment = calendar.now - timedelta(days=9 - 3 * place)
        data = {"invoice": f"INV-2026-0000{place + 1}", "total": "39201", "currency": "EUR"}
        outbox.emit(tenant_id=cast.postpaid.pk, kind=kind, subject=f"invoice:{place}", data=data, now=moment)
    deliveries = list(WebhookDelivery.objects.filter(tenant=cast.postpaid).order_by("id"))
    states = (WebhookDelivery.Status.DELIVERED, WebhookDelivery.Status.FAILED)
    for delivery, state in zip(deliveries, states, strict=False):
        WebhookDelivery.objects.filter(pk=delivery.pk).update(status=state, tries=3, finished_at=calendar.now)
