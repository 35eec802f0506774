"""What a tenant's people are told about its wallet, by mail to owners and finance members.

It is sent once the transaction has committed; mail that fails is logged by Django and keeps no job from its work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from django.core.mail import EmailMessage
from django.db import transaction

from billing import parties
from billing.money import usd
from billing.parties import Tenant


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for people."""

    subject: str
    text: str


def low_balance(*, left: int, threshold: int, days: int | None) -> Notice:
    """Less than a threshold is left in the wallet."""
    lasts = "" if days is None else f" At the pace of the last seven days it lasts {days} more days."
    text = f"{usd(left)} USD is left in the wallet, less than the {usd(threshold)} USD you wanted to know of.{lasts}"
    return Notice(f"{usd(left)} USD left", text)


def top_up_stopped(reason: str) -> Notice:
    """The automatic top-up does not go on."""
    text = f"The automatic top-up has stopped: {reason} Top up by hand, and switch it on again on the wallet page."
    return Notice("The automatic top-up has stopped", text)


def endpoint_disabled(url: str, reason: str) -> Notice:
    """Messages are no longer sent to an endpoint."""
    text = (
        f"Messages are no longer sent to {url}: {reason} Mend the endpoint, enable it on the webhooks page, and send "
        "again there what it missed."
    )
    return Notice("A webhook endpoint was disabled", text)


def tell(*, tenant: Tenant, notice: Notice, to: list[str] | None = None) -> None:
    """Tell a tenant's owners and finance members, or whom ``to`` names."""
    to = parties.addresses_for_money(tenant.id) if to is None else to
    if to:
        name = " ".join(tenant.name.split())
        message = EmailMessage(subject=f"{name}: {notice.subject}", body=f"{name}\n\n{notice.text}\n", bcc=to)
        transaction.on_commit(partial(message.send), robust=True)
