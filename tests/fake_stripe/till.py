"""What the fake Stripe remembers and does: customers, pages, charges, refunds, disputes, and the events they make."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

Thing = dict[str, Any]

GOOD, DECLINED, LATER_DECLINED, SLOW = "4242", "0002", "0341", "6789"
"""Last four digits: pays; is declined; pays once and is declined when nobody is there; takes days, like a debit."""


class Refusal(Exception):
    """An answer in Stripe's shape of an error."""

    def __init__(self, status: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": "invalid_request_error", "message": message, **more}}


class Till:
    """Everything the server knows. ``tell`` hears each event as Stripe would send it."""

    def __init__(self, base: str, tell: Callable[[Thing], None]) -> None:
        self.base = base
        self.tell = tell
        self.things: dict[str, Thing] = {}
        self.answers: dict[str, tuple[str, Thing]] = {}
        self.charged: list[str] = []
        self.lock = threading.RLock()
        self._numbers = itertools.count(1)

    def new(self, prefix: str, kind: str, **values: Any) -> Thing:
        ident = f"{prefix}_{next(self._numbers):06d}{id(self) % 10**6:06d}"
        thing = {"id": ident, "object": kind, "created": int(time.time()), "livemode": False, **values}
        self.things[ident] = thing
        return thing

    def get(self, ident: str) -> Thing:
        if ident not in self.things:
            raise Refusal(404, f"No such thing: '{ident}'", code="resource_missing")
        return self.things[ident]

    def listed(self, kind: str, **wanted: str) -> Thing:
        found = [t for t in self.things.values() if t["object"] == kind and all(t[k] == v for k, v in wanted.items())]
        return {"object": "list", "data": found[::-1], "has_more": False, "url": "/"}

    def event(self, kind: str, thing: Thing) -> None:
        self.tell(
            {
                "id": f"evt_{next(self._numbers):06d}{id(self) % 10**6:06d}", "object": "event", "type": kind,
                "created": int(time.time()), "livemode": False, "api_version": "2026-10-28.endive",
                "data": {"object": dict(thing)}, "pending_webhooks": 1, "request": None,
            }
        )  # fmt: skip

    # -- what the API does

    def make_session(self, wanted: Thing) -> Thing:
        """A page for one payment."""
        (line,) = wanted["line_items"]
        price = line["price_data"]
        session = self.new(
            "cs_test", "checkout.session", status="open", payment_status="unpaid", mode=wanted["mode"],
            amount_total=int(price["unit_amount"]) * int(line["quantity"]), currency=price["currency"],
            title=price["product_data"]["name"], customer=wanted.get("customer"), payment_intent=None,
            client_reference_id=wanted.get("client_reference_id"), metadata=wanted.get("metadata", {}),
            success_url=wanted["success_url"], cancel_url=wanted["cancel_url"],
            intent_data=wanted.get("payment_intent_data", {}),
        )  # fmt: skip
        session["url"] = f"{self.base}/pay/{session['id']}"
        return session

    def make_charge(self, wanted: Thing) -> Thing:
        """A payment of a saved card while nobody is there."""
        method = self.get(wanted["payment_method"])
        intent = self._intent(int(wanted["amount"]), wanted["currency"], wanted["customer"], wanted.get("metadata", {}))
        intent["payment_method"] = method["id"]
        if method["card"]["last4"] != GOOD:
            self._decline(intent, "Your card was declined.")
            error = {"type": "card_error", "code": "card_declined", "payment_intent": intent}
            raise Refusal(402, "Your card was declined.", **error)  # type: ignore[arg-type]
        self._succeed(intent)
        return intent

    def make_refund(self, wanted: Thing) -> Thing:
        """Money back from a charge; not more than there is."""
        intent = self.get(wanted["payment_intent"])
        amount = int(wanted.get("amount", intent["amount_received"] - intent["refunded"]))
        if amount > intent["amount_received"] - intent["refunded"]:
            raise Refusal(400, "Refund amount is greater than unrefunded amount on charge.")
        intent["refunded"] += amount
        refund = self.new(
            "re", "refund", amount=amount, currency=intent["currency"], payment_intent=intent["id"],
            status="succeeded", metadata=wanted.get("metadata", {}), reason=wanted.get("reason"),
        )  # fmt: skip
        self.event("charge.refunded", self._charge(intent))
        return refund

    # -- what people and banks do

    def pay(self, ident: str, last_four: str) -> bool:
        """Somebody pays on a page; whether that worked."""
        session = self.get(ident)
        if session["status"] != "open":
            raise Refusal(400, "This page is closed.")
        data = session["intent_data"]
        intent = self.things.get(session["payment_intent"] or "")
        if intent is None:
            customer, metadata = session["customer"], data.get("metadata", {})
            intent = self._intent(session["amount_total"], session["currency"], customer, metadata)
        session["payment_intent"] = intent["id"]
        intent["payment_method"] = self.save_card(last_four)["id"]
        intent["setup_future_usage"] = data.get("setup_future_usage")
        if last_four == DECLINED:
            self._decline(intent, "Your card was declined.")
            return False
        session["status"] = "complete"
        if last_four == SLOW:
            intent["status"] = "processing"
            self.event("checkout.session.completed", session)
            return True
        session["payment_status"] = "paid"
        self._succeed(intent)
        self.event("checkout.session.completed", session)
        return True

    def end_slow(self, ident: str, *, paid: bool) -> None:
        """A debit that takes days is paid, or not."""
        session = self.get(ident)
        intent = self.get(session["payment_intent"])
        if paid:
            session["payment_status"] = "paid"
            self._succeed(intent)
            self.event("checkout.session.async_payment_succeeded", session)
        else:
            self._decline(intent, "The bank account has too little money.")
            self.event("checkout.session.async_payment_failed", session)

    def expire(self, ident: str) -> Thing:
        """A page is closed."""
        session = self.get(ident)
        if session["status"] != "open":
            raise Refusal(400, 'Only Checkout Sessions with a status in ["open"] can be expired.')
        session["status"] = "expired"
        self.event("checkout.session.expired", session)
        return session

    def dispute(self, intent_id: str, amount: int) -> Thing:
        """The payer's bank takes money back, for now."""
        found = self.new(
            "dp", "dispute", amount=amount, currency=self.get(intent_id)["currency"], payment_intent=intent_id,
            status="needs_response", reason="fraudulent", metadata={},
        )  # fmt: skip
        self.event("charge.dispute.created", found)
        return found

    def close_dispute(self, ident: str, status: str) -> None:
        """A dispute is ``won`` or ``lost``."""
        self.get(ident)["status"] = status
        self.event("charge.dispute.closed", self.get(ident))

    def save_card(self, last_four: str) -> Thing:
        """A card."""
        card = {"brand": "visa", "last4": last_four, "exp_month": 12, "exp_year": 2030}
        return self.new("pm", "payment_method", type="card", card=card, customer=None)

    def _intent(self, amount: int, currency: str, customer: str | None, metadata: Thing) -> Thing:
        return self.new(
            "pi", "payment_intent", amount=amount, amount_received=0, currency=currency, customer=customer,
            metadata=metadata, status="requires_payment_method", last_payment_error=None, payment_method=None,
            refunded=0,
        )  # fmt: skip

    def _succeed(self, intent: Thing) -> None:
        intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
        self.charged.append(intent["id"])
        self.event("payment_intent.succeeded", intent)

    def _decline(self, intent: Thing, words: str) -> None:
        error = {"type": "card_error", "code": "card_declined", "message": words}
        intent.update(status="requires_payment_method", last_payment_error=error)
        self.event("payment_intent.payment_failed", intent)

    def _charge(self, intent: Thing) -> Thing:
        return {"id": f"ch_{intent['id'][3:]}", "object": "charge", "payment_intent": intent["id"],
                "metadata": intent["metadata"], "amount_refunded": intent["refunded"]}  # fmt: skip
