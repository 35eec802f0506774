"""What members do to pay: asking for a card payment, opening its page, giving up, forgetting a card; each audited.

The caller has asked portal/access.py whether the person may. Payments are written as the operator: the portal's own
database role can only read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from billing import dues, payments
from billing.card_payments import checkout, outcomes, provider
from billing.card_payments.provider import Page, ProviderProblem
from billing.models import Invoice, Payment
from billing.money import format_minor
from billing.payments import Ask, PaymentProblem
from portal import audit
from portal.models import Tenant, User
from portal.tenancy import as_operator

__all__ = ["PaymentProblem", "ProviderProblem"]


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where to send a transfer, and what to write on it so that it is matched."""

    owner: str
    iban: str
    bic: str
    purpose: str


def cards_taken() -> bool:
    """Whether this installation takes cards."""
    return provider.is_set_up()


def bank_account(*, purpose: str) -> BankAccount | None:
    """The seller's account; None where the operator has not set one."""
    seller = settings.SELLER
    if not seller["iban"]:
        return None
    iban = " ".join(seller["iban"][place : place + 4] for place in range(0, len(seller["iban"]), 4))
    return BankAccount(seller["name"], iban, seller["bic"], purpose)


def top_up_purpose(tenant: Tenant) -> str:
    """What a transfer to a tenant's wallet carries."""
    return f"TOP-UP {tenant.slug}"


def ask_top_up(*, tenant: Tenant, amount: int, saves_card: bool, actor: User, now: datetime) -> Payment:
    """Ask for a top-up of minor units of the tenant's currency by card. Raises PaymentProblem."""
    wanted = Ask(
        amount, tenant.currency, Payment.Method.CARD, memo="Top-up by card", actor=str(actor), saves_card=saves_card
    )
    return _ask(tenant, wanted, actor, now)


def ask_invoice(*, invoice: Invoice, actor: User, now: datetime) -> Payment:
    """Ask for all that is left of an invoice by card. Raises PaymentProblem."""
    with as_operator():
        left = dues.unpaid(invoice)
    if left <= 0:
        raise PaymentProblem("Nothing is left to be paid of this invoice.")
    memo = f"Invoice {invoice.number}"
    wanted = Ask(left, invoice.currency, Payment.Method.CARD, invoice, memo=memo, actor=str(actor))
    return _ask(invoice.tenant, wanted, actor, now)


def open_page(*, payment: Payment, address: str, now: datetime) -> str:
    """Where to pay, or nothing if it can no longer be paid; ``address`` is that of the payment's own page.

    Raises ProviderProblem in plain words.
    """
    title = f"{settings.SELLER['name']}: {payment.memo or 'Payment'}"
    page = Page(title[:200], f"{address}?back=paid", f"{address}?back=left", payment.tenant.language)
    with as_operator():
        return checkout.open_page(payment=payment, page=page, now=now)


def look(*, payment: Payment, now: datetime) -> Payment:
    """The payment as it is, asking Stripe if somebody waits."""
    with as_operator():
        return checkout.look(payment=payment, now=now)


def give_up(*, payment: Payment, actor: User, now: datetime) -> Payment:
    """Close the page to pay on. Raises ProviderProblem."""
    with as_operator():
        audit.record(
            tenant=payment.tenant, actor=actor, action="payment.cancel", subject=f"payment {payment.pk}", now=now
        )
        return checkout.cancel(payment=payment, now=now)


def forget_card(*, tenant: Tenant, actor: User, now: datetime) -> bool:
    """Charge the saved card no more; whether there was one."""
    with as_operator():
        done = outcomes.forget_card(tenant_id=tenant.pk, now=now)
        if done:
            audit.record(tenant=tenant, actor=actor, action="wallet.forget_card", subject=tenant.slug, now=now)
    return done


def _ask(tenant: Tenant, wanted: Ask, actor: User, now: datetime) -> Payment:
    if not provider.is_set_up():
        raise PaymentProblem("Cards are not taken here: pay by bank transfer.")
    with as_operator():
        payment = payments.ask(tenant=tenant, ask=wanted, now=now)
        detail: dict[str, object] = {
            "amount": format_minor(payment.amount, payment.currency), "currency": payment.currency,
            "for": wanted.memo, "saves_card": wanted.saves_card,
        }  # fmt: skip
        subject = f"payment {payment.pk}"
        audit.record(tenant=tenant, actor=actor, action="payment.ask", subject=subject, now=now, detail=detail)
    return payment
