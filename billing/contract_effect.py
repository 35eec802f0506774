"""What a contract makes of a month whose calls cost more or less: tiers, allowances and a minimum. Only reads.

It is worked out as closing works out a month that was re-rated, so that a preview and what comes of it agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing import contract_months, contract_sums, repricing
from billing.models import Terms
from billing.parties import Tenant

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Effect:
    """Picodollars that contracts add to a month or (negative) take off, as it is and with the change."""

    before: int = 0
    after: int = 0


def with_terms(parts: Sequence[repricing.Window]) -> frozenset[int]:
    """The tenants of some parts of months that had terms in force about then."""
    if not parts:
        return frozenset()
    rows = Terms.objects.filter(
        tenant_id__in={part.tenant_id for part in parts}, effective_from__lt=max(part.end for part in parts)
    )
    return frozenset(
        rows.exclude(effective_to__lte=min(part.start for part in parts)).values_list("tenant_id", flat=True)
    )


def of_month(*, tenant: Tenant, label: str, now: datetime, change: Callable[[Span], Mapping[str, int]]) -> Effect:
    """The effect on one month; ``change`` says by how much the calls of a span cost more, by model."""
    before = after = 0
    for stretch in contract_months.outcomes(tenant=tenant, label=label, now=now):
        window, terms = stretch.window, stretch.terms
        start = max(terms.effective_from, window.start)
        end = min(terms.effective_to or window.end, window.end)
        added = dict(contract_months.rerated_of(tenant.id, start, end))
        for model, amount in change((start, end)).items():
            added[model] = added.get(model, 0) + amount
        changed = contract_sums.outcome(
            stretch.contract,
            contract_months.counted(tenant_id=tenant.id, start=start, end=end),
            share=window.share(start, end),
            is_over=window.end <= now,
            rerated=added,
        )
        before += stretch.outcome.changed
        after += changed.changed
    return Effect(before, after)
