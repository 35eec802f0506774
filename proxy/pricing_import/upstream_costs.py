"""What upstreams charge, by the public price file: proposed for each of an upstream's models, written when asked for.

A cost that an operator entered is never replaced, and one that is probably a mistake is not taken. Costs have no
variants: the file's standard prices are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing import costs
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.models import CostPrice
from billing.pricing import with_inherited
from proxy.models import Route, Upstream
from proxy.pricing_import import findings
from proxy.pricing_import.matching import Matcher, Sold
from proxy.pricing_import.offer import provider
from proxy.pricing_import.proposal import Difference, not_understood
from proxy.pricing_import.reading import PriceFile

NEW, CHANGED, UNCHANGED, YOURS, SUSPICIOUS, MISSING, NOT_UNDERSTOOD = (
    "new", "changed", "unchanged", "yours", "suspicious", "missing", "not_understood",
)  # fmt: skip
TAKEN = (NEW, CHANGED)


class UnknownUpstream(Exception):
    """No upstream of that name, in plain words."""


@dataclass(frozen=True, slots=True)
class CostProposal:
    """What the file says an upstream charges for a model; ``entry`` is its name there, ``why`` why it is not taken."""

    upstream: str
    upstream_model: str
    status: str
    entry: str
    costs: dict[str, int]
    differences: tuple[Difference, ...]
    why: str = ""


def propose(file: PriceFile, upstream_name: str) -> list[CostProposal]:
    """A proposal for every model that routes to an upstream ask it for. Raises UnknownUpstream."""
    upstream = Upstream.objects.filter(name=upstream_name).first()
    if upstream is None:
        names = ", ".join(Upstream.objects.order_by("name").values_list("name", flat=True)[:20])
        raise UnknownUpstream(f"There is no upstream {upstream_name[:63]!r}; there are: {names or 'none'}.")
    who = provider(upstream, {entry.provider for entry in file.entries})
    matcher = Matcher(file.entries)
    models = Route.objects.filter(upstream=upstream, is_active=True).order_by("upstream_model")
    found = []
    for name in models.values_list("upstream_model", flat=True).distinct():
        sold = Sold(name=name, routes=((who, name),) if who else ())
        found.append(_proposal(upstream.name, name, matcher, sold))
    return found


def apply(proposals: list[CostProposal], *, now: datetime) -> list[str]:
    """Write what is new or changed, from now on; returns the upstream's models. Raises CostProblem."""
    written = []
    for one in proposals:
        if one.status not in TAKEN:
            continue
        made = costs.record(
            upstream=one.upstream, upstream_model=one.upstream_model, costs=one.costs, effective_from=now, now=now,
            source=CostPrice.Source.IMPORT,
        )  # fmt: skip
        if made is not None:
            written.append(one.upstream_model)
    return written


def _proposal(upstream: str, name: str, matcher: Matcher, sold: Sold) -> CostProposal:
    entry = matcher.entry_for(sold)
    if entry is None:
        return CostProposal(upstream, name, MISSING, "", {}, (), "The file does not have it.")
    if lack := not_understood(entry):
        return CostProposal(upstream, name, NOT_UNDERSTOOD, entry.name, {}, (), lack)
    classes, _inherited = with_inherited({key: price for key, price in entry.prices.items() if key in TOKEN_CLASSES})
    numbers = classes | {key: entry.prices.get(key) or 0 for key in SURCHARGES}
    last = CostPrice.objects.filter(upstream=upstream, upstream_model=name).order_by("effective_from").last()
    differences = tuple(
        Difference("", key, getattr(last, key) if last else None, number)
        for key, number in numbers.items()
        if last is None or getattr(last, key) != number
    )
    if last is not None and last.source == CostPrice.Source.OPERATOR:
        return CostProposal(upstream, name, YOURS, entry.name, numbers, differences, "You entered this cost yourself.")
    doubts = findings.suspicions(entry, {key: getattr(last, key) for key in numbers} if last else {})
    if differences and doubts:
        return CostProposal(upstream, name, SUSPICIOUS, entry.name, numbers, differences, " ".join(doubts))
    status = NEW if last is None else CHANGED if differences else UNCHANGED
    return CostProposal(upstream, name, status, entry.name, numbers, differences)
