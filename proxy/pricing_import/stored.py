"""Proposals as rows, kept between reading a file and applying what was chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from django.db import transaction

from portal import audit
from portal.models import User
from proxy.models import PriceImport, PriceProposal
from proxy.pricing_import import offer
from proxy.pricing_import.entry import Entry, Tier
from proxy.pricing_import.fields import plain
from proxy.pricing_import.proposal import Proposal
from proxy.pricing_import.reading import PriceFile

MOST_KEPT = 10
"""Reviews that are kept whole. Of older ones, what was applied stays, as it says where a model's price is from."""
ROWS_AT_ONCE = 500


@transaction.atomic
def keep(*, file: PriceFile, source: str, actor: User | None, now: datetime) -> PriceImport:
    """Compare a file with what is sold, and store the proposals for review."""
    found, missing = offer.proposals(file)
    kept = PriceImport.objects.create(
        source=plain(source, 500),
        sha256=file.sha256,
        missing=missing,
        made_by=actor,
        made_at=now,
    )
    PriceProposal.objects.bulk_create((_row(kept, one) for one in found), batch_size=ROWS_AT_ONCE)
    old = PriceImport.objects.order_by("-pk").values_list("pk", flat=True)[MOST_KEPT:]
    _drop(list(old))
    audit.record(
        tenant=None,
        actor=actor,
        action="price_import.read",
        subject=kept.source,
        now=now,
        detail={"sha256": kept.sha256, "models": len(file.entries)},
    )
    return kept


def _drop(old: list[int]) -> None:
    """What was not applied, and reviews of which nothing was."""
    PriceProposal.objects.filter(price_import__in=old, applied_at=None).delete()
    PriceImport.objects.filter(pk__in=old, proposals=None).delete()


def entry_of(row: PriceProposal) -> Entry:
    """What was read, as it was."""
    values: dict[str, Any] = dict(row.entry)
    values["tiers"] = tuple(_tier(tier) for tier in values["tiers"])
    deprecated_on = values["deprecated_on"]
    values["deprecated_on"] = date.fromisoformat(deprecated_on) if deprecated_on else None
    for name in ("capabilities", "left_out", "notes", "twins"):
        values[name] = tuple(values[name])
    values["unreadable"] = tuple((field, problem) for field, problem in values["unreadable"])
    return Entry(**values)


def _row(price_import: PriceImport, proposal: Proposal) -> PriceProposal:
    entry = proposal.entry
    values = asdict(entry)
    values["deprecated_on"] = entry.deprecated_on.isoformat() if entry.deprecated_on else None
    return PriceProposal(
        price_import=price_import,
        name=entry.name,
        provider=entry.provider,
        model=proposal.model,
        status=proposal.status,
        reasons=list(proposal.reasons),
        notes=list(proposal.notes),
        differences=_differences(proposal),
        entry=values,
        price_id=proposal.price_id,
    )


def _differences(proposal: Proposal) -> list[list[str | int | None]]:
    return [[one.when, one.name, one.before, one.after] for one in proposal.differences]


def _tier(values: dict[str, Any]) -> Tier:
    hours: Iterable[tuple[int, int]] = values["hours"]
    return Tier(values["prices"], values["above_tokens"], values["service_tier"], tuple((a, b) for a, b in hours))
