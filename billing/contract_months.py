"""What contracts make of a month: the terms in force, the usage under them, and what comes of it. Only reads.

Computed anew from the roll-ups whenever it is asked for, so that late usage, corrections and a contract that changes
while a month runs need nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet, Sum

from billing import catalog, contract_sums, contract_windows, contract_words
from billing.contract_sums import Contract, Counted, FreeTerms, Outcome, Part, TierTerms
from billing.contract_windows import Window
from billing.meters import COUNTERS, TOKEN_CLASSES
from billing.models import Charge, Terms, TierRule, UsageRollup
from billing.parties import Tenant
from billing.tiers import Tiers

MINE = "terms-"
"""How the subjects of charges begin that contracts make; others of their kinds are left alone."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A month, or the part of one, under one contract, and what comes of it."""

    terms: Terms
    contract: Contract
    window: Window
    outcome: Outcome


def outcomes(*, tenant: Tenant, label: str, now: datetime, done: Sequence[Window] | None = None) -> list[Stretch]:
    """What contracts make of a month so far, part by part. ``done`` are the closed months if they are known."""
    closed = contract_windows.closed(tenant.id) if done is None else done
    windows = contract_windows.of_month(tenant, label, closed)
    return [stretch for window in windows for stretch in of_window(tenant, window, now)]


def of_window(tenant: Tenant, window: Window, now: datetime) -> list[Stretch]:
    """What contracts make of a month, or of the part of one that a calendar left."""
    found = []
    for terms in in_force(tenant.id, window.start, window.end):
        contract = contract_of(terms)
        span = (terms.effective_from, terms.effective_to or window.end)
        came = outcome_under(contract, tenant_id=tenant.id, window=window, span=span, now=now)
        found.append(Stretch(terms, contract, window, came))
    return found


def outcome_under(
    contract: Contract, *, tenant_id: int, window: Window, span: tuple[datetime, datetime], now: datetime
) -> Outcome:
    """What a contract that is in force during a span would make of a month; its minimum once the month is over."""
    start, end = max(span[0], window.start), min(span[1], window.end)
    used = counted(tenant_id=tenant_id, start=start, end=end)
    rerated = rerated_of(tenant_id, start, end)
    return contract_sums.outcome(
        contract, used, share=window.share(start, end), is_over=window.end <= now, rerated=rerated
    )


def subjects(stretch: Stretch) -> list[tuple[str, Part]]:
    """The parts of a stretch by the subject of their charges, in the order in which they are due."""
    beside = f".{stretch.window.place}" if stretch.window.place else ""
    return [(f"{MINE}{stretch.terms.id}{beside}.{name}", part) for name, part in stretch.outcome.parts]


def said(*, tenant: Tenant, label: str, language: str, now: datetime) -> dict[str, str]:
    """What is said of each subject of a month as it is now: what was said when it was charged may be old."""
    found = outcomes(tenant=tenant, label=label, now=now)
    return {subject: contract_words.said(part, language) for one in found for subject, part in subjects(one)}


def in_force(tenant_id: int, start: datetime, end: datetime | None) -> QuerySet[Terms]:
    """The terms of a tenant in force at some time of ``[start, end)``, in order; None is without an end."""
    rows = Terms.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=start), tenant_id=tenant_id)
    return (rows if end is None else rows.filter(effective_from__lt=end)).order_by("effective_from")


def has_minimum(*, tenant_id: int, start: datetime, end: datetime) -> bool:
    """Whether a month is to be invoiced even if nothing was used in it."""
    return in_force(tenant_id, start, end).filter(minimum__gt=0).exists()


def contract_of(terms: Terms) -> Contract:
    """Stored terms as the value that is computed with."""
    return Contract(
        minimum=int(terms.minimum),
        free_amount=int(terms.free_amount),
        tiers=tuple(map(tiers_of, terms.tiers.order_by("position"))),
        free_tokens=tuple(
            FreeTerms(rule.pattern, rule.token_class, rule.tokens) for rule in terms.free_tokens.order_by("position")
        ),
        note=terms.note,
    )


def tiers_of(rule: TierRule) -> TierTerms:
    """Stored tiers as the value that is computed with."""
    tiers = Tiers(rule.mode, tuple(map(int, rule.thresholds)), tuple(rule.prices))
    return TierTerms(rule.pattern, rule.token_class, rule.unit, tiers)


def counted(*, tenant_id: int, start: datetime, end: datetime) -> list[Counted]:
    """Usage of ``[start, end)`` at list price by model, price and token class, from the roll-ups."""
    sums: dict[str, Any] = {f"sum_{name}": Sum(name) for name in COUNTERS}
    found: list[Counted] = []
    rows: Any = (
        UsageRollup.objects.filter(tenant_id=tenant_id, bucket_at__gte=start, bucket_at__lt=end)
        .values("model", "price_id")
        .annotate(total=Sum("cost"), **sums)
        .order_by("model", "price_id")
    )
    prices = catalog.versions_by_id(row["price_id"] for row in rows)
    for row in rows:
        price, left = prices[row["price_id"]], int(row["total"])
        for name in TOKEN_CLASSES:
            if tokens := int(row[f"sum_{name}"]):
                cost = tokens * getattr(price, name)
                left -= cost
                found.append(Counted(row["model"], name, tokens, cost, not price.variant))
        if left:
            found.append(Counted(row["model"], "", 0, left, not price.variant))
    return found


def rerated_of(tenant_id: int, start: datetime, end: datetime) -> dict[str, int]:
    """What re-rating added, by model: it counts where its charges stand in time, at the end of their month."""
    found: dict[str, int] = {}
    for charge in Charge.objects.filter(
        tenant_id=tenant_id, kind=Charge.Kind.RERATED, effective_at__gte=start, effective_at__lt=end
    ):
        model = str(charge.detail.get("model", ""))
        found[model] = found.get(model, 0) + int(charge.exact)
    return found
