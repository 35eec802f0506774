"""Applying what the price file proposes: publishing prices of models on sale, and taking new models on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from billing import catalog
from billing.catalog import VariantPrices
from billing.models import Price, PriceBook
from billing.price_conditions import name_of
from portal import audit
from portal.models import User
from proxy.models import MODEL_NAME, Model, ModelAlias, PriceProposal, Route, Upstream
from proxy.pricing_import import offer, stored
from proxy.pricing_import.entry import Entry
from proxy.pricing_import.findings import shown
from proxy.pricing_import.matching import public_name
from proxy.pricing_import.proposal import Proposal, Status, propose

IMAGE_LIMITS = (65_536, 16_384)
"""Context window and output of image models, for which the file seldom says any."""


class Refused(Exception):
    """A proposal that cannot be applied, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How proposals are applied. ``confirmed`` are names of entries whose suspicions somebody has looked at.

    ``routed`` are names of entries that get a route when they are taken on, if their provider is an upstream here.
    """

    effective_from: datetime
    now: datetime
    actor: User | None = None
    confirmed: frozenset[str] = frozenset()
    routed: frozenset[str] = frozenset()


@dataclass(slots=True)
class Outcome:
    """What became of the chosen proposals: names that were applied or were in force already, and refusals with why."""

    applied: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def apply_rows(rows: Iterable[PriceProposal], terms: Terms) -> Outcome:
    """Apply stored proposals, each in a transaction of its own that its audit row is in."""
    outcome = Outcome()
    for row in rows:
        name = row.model or row.name
        try:
            with transaction.atomic():
                changed = _apply_row(row, terms)
        except (Refused, catalog.PriceProblem) as problem:
            outcome.refused.append((name, str(problem)))
            continue
        (outcome.applied if changed else outcome.already).append(name)
    return outcome


def apply(proposals: Sequence[Proposal], terms: Terms) -> Outcome:
    """Apply proposals for models on sale that nobody has to look at first: new and changed prices."""
    outcome = Outcome()
    for proposal in proposals:
        try:
            with transaction.atomic():
                changed = _publish(proposal, terms)
        except (Refused, catalog.PriceProblem) as problem:
            outcome.refused.append((proposal.model, str(problem)))
            continue
        (outcome.applied if changed else outcome.already).append(proposal.model)
    return outcome


def _apply_row(row: PriceProposal, terms: Terms) -> bool:
    """Whether anything changed. The row is weighed again: prices may have been published since it was read."""
    row = PriceProposal.objects.select_for_update().get(pk=row.pk)
    if row.applied_at is not None:
        return False
    entry = stored.entry_of(row)
    in_force = offer.prices_in_force(row.model).get(row.model) if row.model else None
    weighed = propose(entry, model=row.model, in_force=in_force)
    if weighed.status == Status.YOURS:
        raise Refused("The price in force is your own; it is never replaced by an import.")
    if weighed.status != Status.UNCHANGED and weighed.price_id != row.price_id:
        raise Refused("It was priced anew since this file was read: read the file again.")
    changed = _publish(weighed, terms) if row.model else _take_on(weighed, terms)
    row.applied_at, row.applied_as = terms.now, row.model or public_name(entry)
    row.save(update_fields=["applied_at", "applied_as"])
    return changed


def _publish(proposal: Proposal, terms: Terms) -> bool:
    """Publish the prices of a model on sale, under the lock of its book so that nobody's own price is overtaken."""
    book = catalog.default_book()
    PriceBook.objects.select_for_update().get(pk=book.pk)
    in_force = offer.prices_in_force(proposal.model).get(proposal.model)
    if in_force and in_force.is_operators:
        raise Refused("The price in force is your own; it is never replaced by an import.")
    if proposal.status == Status.NOT_UNDERSTOOD:
        raise Refused(proposal.reasons[0])
    if proposal.status == Status.SUSPICIOUS and proposal.entry.name not in terms.confirmed:
        raise Refused("It is suspicious, and was not confirmed.")
    price = catalog.publish(
        book=book,
        model=proposal.model,
        prices=proposal.entry.prices,
        effective_from=terms.effective_from,
        now=terms.now,
        variants=[
            VariantPrices(
                name_of(tier.above_tokens, tier.service_tier, tier.hours),
                tier.above_tokens,
                tier.service_tier,
                tier.hours,
                tier.prices,
            )
            for tier in proposal.entry.tiers
        ],
        source=Price.Source.IMPORT,
    )
    if price is None:
        return False
    _record("price_import.apply", proposal, terms)
    return True


def _take_on(proposal: Proposal, terms: Terms) -> bool:
    """Sell a model nobody sold before: the model with its limits and capabilities, its price, and a route if asked."""
    entry = proposal.entry
    name = public_name(entry)
    if proposal.status == Status.NOT_UNDERSTOOD:
        raise Refused(proposal.reasons[0])
    if Model.objects.filter(name=name).exists() or ModelAlias.objects.filter(name=name).exists():
        raise Refused(f"There is a model or an alias named {name} already.")
    model = _model(entry, name)
    _publish(_for_model(proposal, name), terms)
    if entry.name in terms.routed:
        _route(entry, model)
    _record("price_import.take_on", proposal, terms)
    return True


def _for_model(proposal: Proposal, name: str) -> Proposal:
    weighed = propose(proposal.entry, model=name, in_force=offer.prices_in_force(name).get(name))
    if weighed.status == Status.YOURS:
        raise Refused("Its price was set by you before; it is never replaced by an import.")
    return weighed


def _model(entry: Entry, name: str) -> Model:
    try:
        MODEL_NAME(name)
    except ValidationError as problem:
        raise Refused(problem.messages[0]) from None
    window, most = entry.context_window, entry.max_output_tokens
    if entry.operation == "embeddings":
        most = most or 1
    if entry.operation == "images":
        window, most = window or IMAGE_LIMITS[0], most or IMAGE_LIMITS[1]
    if window is None or most is None:
        raise Refused("The file does not say its context window or its longest output: make the model by hand.")
    return Model.objects.create(
        name=name,
        context_window=window,
        max_output_tokens=most,
        capabilities=dict.fromkeys(entry.capabilities, True),
        rules={} if entry.operation == "chat" else {"operations": [entry.operation]},
    )


def _route(entry: Entry, model: Model) -> None:
    """To the first active upstream of the entry's provider."""
    upstreams = offer.upstreams_of(entry, Upstream.objects.filter(is_active=True).order_by("name"))
    if not upstreams:
        raise Refused(f"There is no upstream of {entry.provider}.")
    Route.objects.create(model=model, upstream=upstreams[0], upstream_model=public_name(entry))


def _record(action: str, proposal: Proposal, terms: Terms) -> None:
    audit.record(
        tenant=None,
        actor=terms.actor,
        action=action,
        subject=proposal.model or public_name(proposal.entry),
        now=terms.now,
        detail={
            "entry": proposal.entry.name,
            "from": terms.effective_from.isoformat(),
            "confirmed": list(proposal.reasons) if proposal.status == Status.SUSPICIOUS else [],
            "changes": [
                f"{f'{one.when}: ' if one.when else ''}{one.name} "
                f"{shown(one.name, one.before)} → {shown(one.name, one.after)}"
                for one in proposal.differences[:100]
            ],
        },
    )
