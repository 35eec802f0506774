"""What a tenant's people are told about its wallet: mail to owners and finance members, and a message to its endpoints.

A message goes through the outbox where there is one. Both are sent once the transaction has committed; mail that fails
is logged by Django and keeps no job from its work.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.core.mail import EmailMessage
from django.db import transaction

from billing import parties
from billing.money import usd
from billing.parties import Tenant


@dataclass(frozen=True, slots=True)
class Notice:
    """The kind of a message, what it is about, its values, which are texts, and the same for people."""

    kind: str
    about: str
    subject: str
    text: str
    data: dict[str, str] = field(default_factory=dict)


def low_balance(*, left: int, threshold: int, days: int | None) -> Notice:
    """Less than a threshold is left in the wallet."""
    lasts = "" if days is None else f" At the pace of the last seven days it lasts {days} more days."
    text = f"{usd(left)} USD is left in the wallet, less than the {usd(threshold)} USD you wanted to know of.{lasts}"
    data = {"left": usd(left), "threshold": usd(threshold), "currency": "USD"}
    return Notice("wallet.balance_low", f"wallet:{usd(threshold)}", f"{usd(left)} USD left", text, data)


def top_up_stopped(reason: str) -> Notice:
    """The automatic top-up does not go on."""
    text = f"The automatic top-up has stopped: {reason} Top up by hand, and switch it on again on the wallet page."
    return Notice(
        "wallet.top_up_stopped", "wallet:top-up", "The automatic top-up has stopped", text, {"reason": reason}
    )


def tell(*, tenant: Tenant, notice: Notice, now: datetime) -> None:
    """Tell a tenant's owners and finance members, and its endpoints."""
    if importlib.util.find_spec("billing.outbox") is not None:
        outbox = importlib.import_module("billing.outbox")
        outbox.emit(tenant_id=tenant.id, kind=notice.kind, subject=notice.about, data=notice.data, now=now)
    to = parties.addresses_for_money(tenant.id)
    if to:
        name = " ".join(tenant.name.split())
        message = EmailMessage(subject=f"{name}: {notice.subject}", body=f"{name}\n\n{notice.text}\n", bcc=to)
        transaction.on_commit(partial(message.send), robust=True)
