"""Stripe, asked through its own package: the only module that speaks to it. Plain facts come back, or a problem.

What is asked twice carries the same idempotency key, made of the payment's reference: a lost answer is asked for again
without paying again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

import stripe
from django.conf import settings
from stripe import StripeClient, StripeError

from billing.models import Payment, Refund
from billing.money import format_minor, minor_digits
from billing.refunds import Told

T = TypeVar("T")
TIMEOUT_S = 20
RETRIES = 2
Status = Payment.Status
DISPUTES = {
    "needs_response": Refund.Status.PENDING, "under_review": Refund.Status.PENDING, "lost": Refund.Status.SUCCEEDED,
    "won": Refund.Status.FAILED, "prevented": Refund.Status.FAILED,
}  # fmt: skip
"""What a dispute means for the money. Inquiries (``warning_…``) take none."""
REFUNDS = {
    "pending": Refund.Status.PENDING, "requires_action": Refund.Status.PENDING, "succeeded": Refund.Status.SUCCEEDED,
    "failed": Refund.Status.FAILED, "canceled": Refund.Status.FAILED,
}  # fmt: skip


class ProviderProblem(Exception):
    """Stripe was not reached, or refuses; in plain words. ``passing``: asking again later may help."""

    def __init__(self, words: str, *, passing: bool = False) -> None:
        super().__init__(words)
        self.passing = passing


class Declined(ProviderProblem):
    """The card was declined."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What Stripe says has become of a payment: minor units, ids, the card used, and what went back."""

    status: str
    failure: str = ""
    amount: int | None = None
    currency: str = ""
    intent_id: str = ""
    customer_id: str = ""
    method_id: str = ""
    card: str = ""
    returns: tuple[Told, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Page:
    """Where the payer goes, and whence they come back; and what the page says is paid for."""

    title: str
    success_url: str
    cancel_url: str
    language: str = "auto"


def is_set_up() -> bool:
    """Whether cards can be taken here."""
    return settings.STRIPE is not None


def make_customer(*, name: str, email: str, tenant: str, key: str) -> str:
    """A customer at Stripe; returns its id."""
    params: dict[str, Any] = {"name": name, "metadata": {"tollgate_tenant": tenant}}
    if email:
        params["email"] = email
    return str(_ask(lambda client: client.v1.customers.create(params, _once(f"customer-{key}"))).id)  # type: ignore[arg-type]


def open_page(*, payment: Payment, customer_id: str, page: Page) -> tuple[str, str]:
    """A hosted page to pay on: its id and address. Asked again it is the same page."""
    reference = str(payment.reference)
    intent: dict[str, Any] = {"metadata": {"tollgate_payment": reference}}
    if payment.saves_card:
        intent["setup_future_usage"] = "off_session"
    price = {
        "currency": payment.currency.lower(), "unit_amount": _chargeable(payment), "product_data": {"name": page.title}
    }  # fmt: skip
    params: dict[str, Any] = {
        "mode": "payment", "customer": customer_id, "client_reference_id": reference, "locale": page.language,
        "line_items": [{"quantity": 1, "price_data": price}], "payment_intent_data": intent,
        "metadata": {"tollgate_payment": reference}, "success_url": page.success_url, "cancel_url": page.cancel_url,
    }  # fmt: skip
    made = _ask(lambda client: client.v1.checkout.sessions.create(params, _once(f"page-{reference}")))  # type: ignore[arg-type]
    return str(made.id), str(made.url or "")


def page_url(session_id: str) -> str:
    """The address of a page that can still be paid on, or nothing."""
    found = _ask(lambda client: client.v1.checkout.sessions.retrieve(session_id))
    return str(found.url or "") if found.status == "open" else ""


def charge(*, payment: Payment, customer_id: str, method_id: str) -> Facts:
    """Charge a saved card while nobody is there to be asked. Raises Declined."""
    reference = str(payment.reference)
    params: dict[str, Any] = {
        "amount": _chargeable(payment), "currency": payment.currency.lower(), "customer": customer_id,
        "payment_method": method_id, "off_session": True, "confirm": True, "description": payment.memo or "Top-up",
        "metadata": {"tollgate_payment": reference}, "expand": ["payment_method"],
    }  # fmt: skip
    made = _ask(lambda client: client.v1.payment_intents.create(params, _once(f"charge-{reference}")))  # type: ignore[arg-type]
    return _of_intent(made.to_dict(), payment.is_automatic)


def send_back(*, refund: Refund) -> Told:
    """Ask for a refund."""
    payment, reference = refund.payment, str(refund.reference)
    params: dict[str, Any] = {
        "payment_intent": payment.intent_id, "amount": refund.amount, "metadata": {"tollgate_refund": reference}
    }  # fmt: skip
    made = _ask(lambda client: client.v1.refunds.create(params, _once(f"refund-{reference}")))  # type: ignore[arg-type]
    return _of_refund(made.to_dict())


def facts_of(*, payment: Payment, with_returns: bool) -> Facts | None:
    """What has become of a payment; None where Stripe never heard of it."""
    if payment.session_id:
        facts = _of_session(_session(payment.session_id))
    elif payment.intent_id:
        facts = _of_intent(_intent(payment.intent_id), payment.is_automatic)
    else:
        return None
    if not with_returns or not facts.intent_id:
        return facts
    return replace(facts, returns=_returns(facts.intent_id))


def find_charge(*, payment: Payment, customer_id: str) -> Facts | None:
    """The charge of a payment whose answer was lost, by its reference among the customer's latest."""
    listed = _ask(lambda client: client.v1.payment_intents.list({"customer": customer_id, "limit": 100}))
    for each in listed.data:
        row = each.to_dict()
        if (row.get("metadata") or {}).get("tollgate_payment") == str(payment.reference):
            return _of_intent(_intent(str(row["id"])), payment.is_automatic)
    return None


def reference_of_intent(intent_id: str) -> str:
    """The payment's reference that a payment at Stripe carries, or nothing."""
    return str((_intent(intent_id).get("metadata") or {}).get("tollgate_payment") or "")


def close_page(session_id: str) -> None:
    """Let nobody pay on a page any more."""
    _ask(lambda client: client.v1.checkout.sessions.expire(session_id))


def read_event(*, raw: bytes, signature: str, tolerance_s: int) -> Mapping[str, Any]:
    """An event that Stripe signed; raises ValueError for anything else, also for what is too old."""
    if settings.STRIPE is None:
        raise ValueError("Card payments are not set up here.")
    secret = settings.STRIPE.webhook_secret
    try:
        return _client().construct_event(raw, signature, secret, tolerance=tolerance_s).to_dict()
    except stripe.SignatureVerificationError as problem:
        raise ValueError(f"The signature is not Stripe's: {problem.user_message or 'it does not match'}.") from None
    except (AttributeError, KeyError, TypeError, ValueError):  # signed, and all the same not what the package expects
        raise ValueError("This is no event of Stripe.") from None


def _client() -> StripeClient:
    if settings.STRIPE is None:
        raise ProviderProblem("Card payments are not set up here.")
    return _client_of(settings.STRIPE.secret_key, settings.STRIPE.api_base)


@lru_cache(maxsize=4)
def _client_of(secret_key: str, api_base: str) -> StripeClient:
    return StripeClient(
        secret_key, base_addresses={"api": api_base}, max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
    )  # fmt: skip


def _once(key: str) -> Any:
    return {"idempotency_key": key}


def _ask(question: Callable[[StripeClient], T]) -> T:
    """One question; what goes wrong comes back in plain words."""
    try:
        return question(_client())
    except stripe.CardError as problem:
        raise Declined(_words(problem)) from None
    except (stripe.APIConnectionError, stripe.RateLimitError) as problem:
        raise ProviderProblem(f"Stripe cannot be reached: {_words(problem)}", passing=True) from None
    except StripeError as problem:
        passing = (problem.http_status or 500) in (409, 429) or (problem.http_status or 500) >= 500
        raise ProviderProblem(f"Stripe refuses: {_words(problem)}", passing=passing) from None


def _words(problem: StripeError) -> str:
    said = " ".join(str(problem.user_message or "no reason was given").split())
    return said[:160].rstrip(".") + "."


def _session(session_id: str) -> dict[str, Any]:
    expand: Any = {"expand": ["payment_intent.payment_method"]}
    return _ask(lambda client: client.v1.checkout.sessions.retrieve(session_id, expand)).to_dict()


def _intent(intent_id: str) -> dict[str, Any]:
    expand: Any = {"expand": ["payment_method"]}
    return _ask(lambda client: client.v1.payment_intents.retrieve(intent_id, expand)).to_dict()


def _of_session(session: Mapping[str, Any]) -> Facts:
    """A page: paid, still open, expired; or left complete with a payment that takes days and may fail."""
    intent = session.get("payment_intent") or {}
    facts = _of_intent(intent, False) if isinstance(intent, Mapping) and intent else Facts(Status.PENDING)
    amount, currency = session.get("amount_total"), str(session.get("currency") or "").upper()
    facts = replace(facts, customer_id=str(session.get("customer") or ""), amount=amount, currency=currency)
    if session.get("payment_status") == "paid":
        return replace(facts, status=Status.SUCCEEDED, failure="")
    if session.get("status") == "expired":
        return replace(facts, status=Status.CANCELLED, failure="The page to pay on was left, and has expired.")
    failed = session.get("status") == "complete" and intent.get("status") == "requires_payment_method"
    return replace(facts, status=Status.FAILED if failed else Status.PENDING)


def _of_intent(intent: Mapping[str, Any], off_session: bool) -> Facts:
    """A charge. Off session nobody is there to try again or to prove who they are: it has failed."""
    said = str(intent.get("status"))
    status = {"succeeded": Status.SUCCEEDED, "canceled": Status.CANCELLED}.get(said, Status.PENDING)
    error = intent.get("last_payment_error") or {}
    failure = " ".join(str(error.get("message") or "").split())
    if off_session and said in ("requires_payment_method", "requires_action", "requires_confirmation"):
        status = Status.FAILED
        failure = failure or "The bank wants the payer to confirm it: pay by hand."
    method = intent.get("payment_method") or {}
    return Facts(
        status, failure[:200], intent.get("amount_received") if status == Status.SUCCEEDED else intent.get("amount"),
        str(intent.get("currency") or "").upper(), str(intent.get("id") or ""), str(intent.get("customer") or ""),
        str(method.get("id") or "") if isinstance(method, Mapping) else str(method),
        _card(method) if isinstance(method, Mapping) else "",
    )  # fmt: skip


def _card(method: Mapping[str, Any]) -> str:
    """A card as a person knows it."""
    card = method.get("card")
    if not card:
        return str(method.get("type") or "").replace("_", " ").title()[:60]
    brand = str(card.get("brand") or "card").replace("_", " ").title()
    return f"{brand} ending in {card.get('last4')}, valid until {card.get('exp_month'):02d}/{card.get('exp_year')}"[:60]


def _returns(intent_id: str) -> tuple[Told, ...]:
    """Refunds and disputes of a charge, the oldest first."""
    of_intent: Any = {"payment_intent": intent_id, "limit": 100}
    refunds = _ask(lambda client: client.v1.refunds.list(of_intent)).data
    disputes = _ask(lambda client: client.v1.disputes.list(of_intent)).data
    told = [_of_refund(each.to_dict()) for each in reversed(refunds)]
    for row in (each.to_dict() for each in reversed(disputes)):
        if row["status"] in DISPUTES:
            kind, status = Refund.Kind.DISPUTE, DISPUTES[row["status"]]
            told.append(Told(row["id"], kind, row["amount"], status, str(row.get("reason") or "")))
    return tuple(told)


def _of_refund(row: Mapping[str, Any]) -> Told:
    reason = str(row.get("failure_reason") or row.get("reason") or "").replace("_", " ")
    reference = str((row.get("metadata") or {}).get("tollgate_refund") or "")
    status = REFUNDS.get(str(row.get("status")), Refund.Status.PENDING)
    return Told(str(row["id"]), Refund.Kind.REFUND, int(row["amount"]), status, reason, reference)


def _chargeable(payment: Payment) -> int:
    """Stripe's amount: minor units, and tens of them in currencies with three digits."""
    if minor_digits(payment.currency) == 3 and payment.amount % 10:
        amount = f"{format_minor(payment.amount, payment.currency)} {payment.currency}"
        raise ProviderProblem(f"Cards take no thousandths: {amount} can be paid by bank transfer only.")
    return int(payment.amount)
