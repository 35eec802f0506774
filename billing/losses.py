"""Telling operators of what is sold below cost: once per finding, and again if it comes back. Writes LossAlert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.core.mail import EmailMessage
from django.db import connection, transaction

from billing import margins, parties
from billing.margins import Loss
from billing.models import LossAlert
from billing.money import usd

ONE_TELLER = 7_019
"""The advisory lock under which findings are compared with those that were told."""


@transaction.atomic
def tell(*, now: datetime) -> list[Loss]:
    """Mail operators what is newly sold below cost; returns it. What no longer is, is forgotten."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_TELLER])
    found = {_key(loss): loss for loss in margins.losses(now=now)}
    told = {(one.model, one.upstream, one.upstream_model, one.token_class): one.pk for one in LossAlert.objects.all()}
    LossAlert.objects.filter(pk__in=[pk for key, pk in told.items() if key not in found]).delete()
    fresh = [loss for key, loss in found.items() if key not in told]
    LossAlert.objects.bulk_create(
        LossAlert(
            model=loss.model, upstream=loss.upstream, upstream_model=loss.upstream_model, token_class=loss.token_class,
            price=loss.price, cost=loss.cost, found_at=now,
        )
        for loss in fresh
    )  # fmt: skip
    if fresh:
        _mail(fresh)
    return fresh


def words(loss: Loss) -> str:
    """One finding, in USD per 1M tokens."""
    return (
        f"{loss.token_class} of {loss.model} is sold at {usd(loss.price * 10**6)} USD per 1M tokens; "
        f"{loss.upstream} charges {usd(loss.cost * 10**6)} for {loss.upstream_model}"
    )


def _mail(fresh: Sequence[Loss]) -> None:
    """To everyone who may open the admin; sent once the findings are stored."""
    to = parties.addresses_of_operators()
    if not to:
        return
    lines = "\n".join(f"- {words(loss)}." for loss in fresh)
    subject = f"Sold below cost: {fresh[0].model}" + (f" and {len(fresh) - 1} more" if len(fresh) > 1 else "")
    message = EmailMessage(
        subject=subject, body=f"These are sold below what their upstream charges:\n\n{lines}\n", bcc=to
    )
    transaction.on_commit(partial(message.send), robust=True)


def _key(loss: Loss) -> tuple[str, str, str, str]:
    return loss.model, loss.upstream, loss.upstream_model, loss.token_class
