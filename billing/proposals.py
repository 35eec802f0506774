"""Price changes as one operator proposes and another decides them. The only writer of PriceProposal.

Where the settings ask for four eyes, every price change is a proposal, wherever it comes from; else it is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from billing import catalog, price_sheets
from billing.catalog import PriceProblem
from billing.models import Price, PriceBook, PriceProposal
from billing.price_sheets import Sheet

MOST_MODELS = 1_000
"""How many models one change may price: more is several changes, which somebody can still read."""


class ProposalProblem(Exception):
    """A proposal that cannot be made or decided, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Change:
    """New prices of some models in one book. Without ``effective_from`` they begin when they are published."""

    book: PriceBook
    sheets: Sequence[Sheet]
    effective_from: datetime | None
    origin: str = PriceProposal.Origin.SCREEN
    note: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a change: the models whose prices were published, or the proposal that waits."""

    published: tuple[str, ...] = ()
    proposal: PriceProposal | None = None


def four_eyes() -> bool:
    """Whether a second operator approves every price change."""
    return bool(settings.FOUR_EYES)


def submit(change: Change, *, actor_id: int | None, now: datetime) -> Submitted:
    """Publish a change, or propose it where the settings ask for four eyes; nothing if the prices are in force.

    Raises PriceProblem for prices that cannot be published, ProposalProblem for a change that waits already.
    """
    if four_eyes():
        return Submitted(proposal=propose(change, actor_id=actor_id, now=now))
    return Submitted(published=publish(change, now=now))


@transaction.atomic
def publish(change: Change, *, now: datetime) -> tuple[str, ...]:
    """Publish all prices of a change, or none; returns the models whose prices are new.

    Raises PriceProblem, also where another price was published since the change was drawn up.
    """
    if not 0 < len(change.sheets) <= MOST_MODELS:
        raise PriceProblem(f"A price change is of 1 to {MOST_MODELS} models.")
    PriceBook.objects.select_for_update().get(pk=change.book.pk)
    made = []
    for sheet in change.sheets:
        last = price_sheets.last_version(change.book, sheet.model)
        if (last.id if last else None) != sheet.replaces:
            raise PriceProblem(f"{sheet.model}: another price was published since; draw up the change anew.")
        price = catalog.publish(
            book=change.book, model=sheet.model, prices=dict(sheet.prices), variants=sheet.variants,
            effective_from=change.effective_from or now, now=now, source=sheet.source,
        )  # fmt: skip
        if price is not None:
            made.append(sheet.model)
    return tuple(made)


def check(change: Change, *, now: datetime) -> tuple[str, ...]:
    """Which models a change would price anew; raises PriceProblem exactly where publishing it would. Keeps nothing."""
    with transaction.atomic():
        made = publish(change, now=now)
        transaction.set_rollback(True)
    return made


@transaction.atomic
def propose(change: Change, *, actor_id: int | None, now: datetime) -> PriceProposal | None:
    """Let a change wait for another operator; None if the same waits already, or is in force.

    ``actor_id`` None is a command. Raises PriceProblem and ProposalProblem.
    """
    PriceBook.objects.select_for_update().get(pk=change.book.pk)
    different = set(check(change, now=now))
    waiting = _waiting(change.book)
    sheets = []
    for sheet in change.sheets:
        if sheet.model not in different:
            continue
        found = waiting.get(sheet.model)
        if found is None:
            sheets.append(sheet)
        elif found[1] != sheet.as_json() or found[0].effective_from != change.effective_from:
            raise ProposalProblem(f"{sheet.model}: another change waits for approval: {found[0]}.")
    if not sheets:
        return None
    return PriceProposal.objects.create(
        book=change.book, rows=[sheet.as_json() for sheet in sheets], effective_from=change.effective_from,
        origin=change.origin, note=change.note[:200], proposed_by_id=actor_id, created_at=now,
    )  # fmt: skip


def is_new(change: Change, *, now: datetime) -> bool:
    """Whether proposing a change would make a proposal; raises as proposing would. Keeps nothing."""
    with transaction.atomic():
        made = propose(change, actor_id=None, now=now)
        transaction.set_rollback(True)
    return made is not None


@transaction.atomic
def approve(*, proposal_id: int, actor_id: int, now: datetime) -> PriceProposal:
    """Publish what was proposed, as another operator, exactly as it was proposed.

    Raises ProposalProblem if it is decided, is the operator's own, or should have begun; PriceProblem if what it
    replaces was replaced since.
    """
    proposal = _open(proposal_id)
    if proposal.proposed_by_id == actor_id:
        raise ProposalProblem("Your own proposal waits for another operator.")
    if proposal.effective_from is not None and proposal.effective_from < now:
        raise ProposalProblem("Its start has passed: reject it, and propose it anew.")
    publish(change_of(proposal), now=now)
    return _decide(proposal, PriceProposal.State.APPROVED, actor_id, "", now)


@transaction.atomic
def reject(*, proposal_id: int, actor_id: int, reason: str, now: datetime) -> PriceProposal:
    """Turn a proposal down with a reason, or take back one's own. Raises ProposalProblem."""
    if not reason.strip():
        raise ProposalProblem("Say why it is rejected.")
    return _decide(_open(proposal_id), PriceProposal.State.REJECTED, actor_id, reason.strip(), now)


def change_of(proposal: PriceProposal) -> Change:
    """What was proposed."""
    sheets = [Sheet.from_json(row) for row in proposal.rows]
    return Change(proposal.book, sheets, proposal.effective_from, proposal.origin, proposal.note)


def scheduled(now: datetime) -> list[Price]:
    """Published base prices that have not begun, the next first."""
    found = Price.objects.filter(effective_from__gt=now, variant="").select_related("book__tenant")
    return list(found.order_by("effective_from", "model"))


def _open(proposal_id: int) -> PriceProposal:
    proposal = PriceProposal.objects.select_for_update(of=("self",)).select_related("book").get(pk=proposal_id)
    if proposal.state != PriceProposal.State.WAITING:
        raise ProposalProblem(f"It was {proposal.state} already.")
    return proposal


def _decide(proposal: PriceProposal, state: str, actor_id: int, reason: str, now: datetime) -> PriceProposal:
    proposal.state, proposal.decided_by_id, proposal.decided_at = state, actor_id, now
    proposal.reason = reason[:200]
    proposal.save(update_fields=["state", "decided_by", "decided_at", "reason"])
    return proposal


def _waiting(book: PriceBook) -> dict[str, tuple[PriceProposal, dict[str, object]]]:
    """Proposals that wait, by model, with the model's row."""
    found = PriceProposal.objects.filter(book=book, state=PriceProposal.State.WAITING)
    return {row["model"]: (proposal, row) for proposal in found for row in proposal.rows}
