"""Applying what the price file proposes: publishing prices of models on sale, and taking new models on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from billing import catalog, price_sheets, proposals
from billing.catalog import VariantPrices
from billing.models import Price, PriceBook
from billing.price_conditions import name_of
from billing.price_sheets import Sheet
from billing.proposals import Change, ProposalProblem
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
    """What became of the chosen proposals: names that were applied or were in force already, and refusals with why.

    Where prices need a second operator, ``sheets`` are what is proposed to one, together, as ``proposal``.
    """

    applied: list[str] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    proposal: str = ""
    already: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def apply_rows(rows: Iterable[PriceProposal], terms: Terms) -> Outcome:
    """Apply stored proposals, each in a transaction of its own that its audit row is in."""
    outcome = Outcome()
    for row in rows:
        name = row.model or row.name
        try:
            with transaction.atomic():
                changed = _apply_row(row, terms, outcome.sheets)
        except (Refused, catalog.PriceProblem) as problem:
            outcome.refused.append((name, str(problem)))
            continue
        (outcome.applied if changed else outcome.already).append(name)
    return _proposed(outcome, terms)


def apply(found: Sequence[Proposal], terms: Terms) -> Outcome:
    """Apply proposals for models on sale that nobody has to look at first: new and changed prices."""
    outcome = Outcome()
    for proposal in found:
        try:
            with transaction.atomic():
                changed = _publish(proposal, terms, outcome.sheets)
        except (Refused, catalog.PriceProblem) as problem:
            outcome.refused.append((proposal.model, str(problem)))
            continue
        (outcome.applied if changed else outcome.already).append(proposal.model)
    return _proposed(outcome, terms)


def _proposed(outcome: Outcome, terms: Terms) -> Outcome:
    """Propose all at once what was chosen, where prices need a second operator."""
    if not outcome.sheets:
        return outcome
    with transaction.atomic():
        made = proposals.propose(_change(outcome.sheets, terms), actor_id=_actor_id(terms), now=terms.now)
        outcome.proposal = str(made or "")
        audit.record(
            tenant=None, actor=terms.actor, action="price.propose", subject=outcome.proposal, now=terms.now,
            detail={"models": [sheet.model for sheet in outcome.sheets][:100]},
        )  # fmt: skip
    return outcome


def _change(sheets: Sequence[Sheet], terms: Terms) -> Change:
    starts_at = None if terms.effective_from == terms.now else terms.effective_from
    return Change(catalog.default_book(), sheets, starts_at, "import")


def _actor_id(terms: Terms) -> int | None:
    return terms.actor.pk if terms.actor else None


def _apply_row(row: PriceProposal, terms: Terms, sheets: list[Sheet]) -> bool:
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
    if row.model:
        changed = _publish(weighed, terms, sheets)
        if proposals.four_eyes() and weighed.status != Status.UNCHANGED:
            return changed  # applied once it is approved
    else:
        changed = _take_on(weighed, terms, sheets)
    row.applied_at, row.applied_as = terms.now, row.model or public_name(entry)
    row.save(update_fields=["applied_at", "applied_as"])
    return changed


def _publish(proposal: Proposal, terms: Terms, sheets: list[Sheet]) -> bool:
    """Publish the prices of a model on sale, under the lock of its book so that nobody's own price is overtaken.

    Where prices need a second operator, they are added to what is proposed to one.
    """
    book = catalog.default_book()
    PriceBook.objects.select_for_update().get(pk=book.pk)
    in_force = offer.prices_in_force(proposal.model).get(proposal.model)
    if in_force and in_force.is_operators:
        raise Refused("The price in force is your own; it is never replaced by an import.")
    if proposal.status == Status.NOT_UNDERSTOOD:
        raise Refused(proposal.reasons[0])
    if proposal.status == Status.SUSPICIOUS and proposal.entry.name not in terms.confirmed:
        raise Refused("It is suspicious, and was not confirmed.")
    variants = [
        VariantPrices(
            name_of(tier.above_tokens, tier.service_tier, tier.hours), tier.above_tokens, tier.service_tier,
            tier.hours, tier.prices,
        )
        for tier in proposal.entry.tiers
    ]  # fmt: skip
    sheet = Sheet(proposal.model, proposal.entry.prices, tuple(variants), Price.Source.IMPORT)
    change = _change(price_sheets.replacing([sheet], book), terms)
    if proposals.four_eyes():
        try:
            if not proposals.is_new(change, now=terms.now):
                return False
        except ProposalProblem as problem:
            raise Refused(str(problem)) from None
        sheets.extend(change.sheets)
        return True
    if not proposals.publish(change, now=terms.now):
        return False
    _record("price_import.apply", proposal, terms)
    return True


def _take_on(proposal: Proposal, terms: Terms, sheets: list[Sheet]) -> bool:
    """Sell a model nobody sold before: the model with its limits and capabilities, its price, and a route if asked."""
    entry = proposal.entry
    name = public_name(entry)
    if proposal.status == Status.NOT_UNDERSTOOD:
        raise Refused(proposal.reasons[0])
    if Model.objects.filter(name=name).exists() or ModelAlias.objects.filter(name=name).exists():
        raise Refused(f"There is a model or an alias named {name} already.")
    model = _model(entry, name)
    _publish(_for_model(proposal, name), terms, sheets)
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
