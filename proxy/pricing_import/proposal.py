"""What the price file proposes for each model: new, changed, suspicious …, with the numbers before and after. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from billing.meters import PARENT_CLASS, SURCHARGES, TOKEN_CLASSES
from billing.pricing import PriceVersion, Window, with_inherited
from proxy.pricing_import import findings
from proxy.pricing_import.entry import Entry, Tier, words

OPERATOR = "operator"
ONE_SIZE = re.compile(r"(?:^|/)(?:\d+-x-\d+|max-x-max)/")
"""Entries such as ``hd/1024-x-1024/…``: a price by size under a name of its own, and no model."""
NUMBERS = (*TOKEN_CLASSES, *SURCHARGES)


class Status(StrEnum):
    """What a proposal is. Only the first three, and suspicious ones that were confirmed, can be applied."""

    NEW = "new"
    CHANGED = "changed"
    AVAILABLE = "available"
    SUSPICIOUS = "suspicious"
    NOT_UNDERSTOOD = "not_understood"
    YOURS = "yours"
    UNCHANGED = "unchanged"


TAKEN = (Status.NEW, Status.CHANGED)
"""What is applied without being chosen one by one."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The last published price of a model, and who made it: the operator, or an import."""

    version: PriceVersion
    source: str

    @property
    def is_operators(self) -> bool:
        """Typed by a person, or in a file of theirs: never replaced by an import."""
        return self.source == OPERATOR


@dataclass(frozen=True, slots=True)
class Difference:
    """One number before and after, in the integers of ``billing.catalog``; None is no price."""

    when: str
    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """One entry for one model on sale; ``model`` is empty for one that nobody sells yet."""

    entry: Entry
    model: str
    status: Status
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    differences: tuple[Difference, ...]
    price_id: int | None


def propose(entry: Entry, *, model: str, in_force: InForce | None, by_name: bool = False) -> Proposal:
    """Weigh an entry against the price in force. ``by_name`` says that nothing but a name connects it to the model."""
    lack = not_understood(entry)
    differences = () if lack else tuple(_differences(entry, in_force))
    before = _numbers(in_force.version) if in_force else {}
    reasons = [lack] if lack else findings.suspicions(entry, before)
    status = _status(bool(lack), model, in_force, differences, reasons)
    return Proposal(
        entry=entry,
        model=model,
        status=status,
        reasons=tuple(reasons),
        notes=((f"Found by its name alone: no route leads to {entry.provider}.",) if by_name else ())
        + tuple(findings.notes(entry)),
        differences=differences,
        price_id=in_force.version.id if in_force else None,
    )


def not_understood(entry: Entry) -> str:
    """Why an entry is no price of ours; empty if it is one."""
    if not entry.operation:
        return f"A model of mode “{entry.mode or 'none'}” is not served."
    if ONE_SIZE.search(entry.name):
        return "It is the price of one size of image; a model has one price per image here."
    if {"input", "output"} <= set(entry.prices):
        return ""
    if entry.unreadable:
        return " ".join(f"{field}: {problem}." for field, problem in entry.unreadable)
    named = ", ".join(entry.left_out[:4])
    return f"It is priced by {named}, which is not understood." if named else "It has no price of input and output."


def _status(
    lack: bool, model: str, in_force: InForce | None, differences: tuple[Difference, ...], reasons: list[str]
) -> Status:
    if in_force and in_force.is_operators:
        return Status.YOURS
    if lack:
        return Status.NOT_UNDERSTOOD
    if in_force and not differences:
        return Status.UNCHANGED
    if reasons:
        return Status.SUSPICIOUS
    if not model:
        return Status.AVAILABLE
    return Status.CHANGED if in_force else Status.NEW


class Key(NamedTuple):
    """The conditions of a tier or variant."""

    above_tokens: int
    service_tier: str
    hours: tuple[Window, ...]


def _differences(entry: Entry, in_force: InForce | None) -> Iterator[Difference]:
    """The base price first, then each tier; classes that take their parent's number both times are not repeated."""
    before = _keyed(in_force.version) if in_force else {}
    after: dict[Key, Mapping[str, int]] = {Key(0, "", ()): entry.prices}
    after |= {Key(tier.above_tokens, tier.service_tier, tier.hours): tier.prices for tier in entry.tiers}
    base = Key(0, "", ())
    for key in dict.fromkeys((*after, *before)):
        old = _numbers(before[key]) if key in before else dict.fromkeys(NUMBERS)
        new = _completed(after[key]) if key in after else dict.fromkeys(NUMBERS)
        for name in NUMBERS:
            if old[name] == new[name] or _follows(name, old, new):
                continue
            if key != base and name in SURCHARGES and old[name] is None and new[name] == _completed(after[base])[name]:
                continue  # a new tier searches and draws at the base price
            yield Difference(words(Tier({}, *key)), name, old[name], new[name])


def _follows(name: str, old: Mapping[str, int | None], new: Mapping[str, int | None]) -> bool:
    """Whether a number says nothing of its own: it is its parent's before and after, or a free request."""
    if name == "per_request":
        return not old[name] and not new[name]
    parent = PARENT_CLASS.get(name)
    return parent is not None and old[name] == old[parent] and new[name] == new[parent]


def _keyed(version: PriceVersion) -> dict[Key, PriceVersion]:
    return {Key(one.above_tokens, one.service_tier, one.hours): one for one in (version, *version.variants)}


def _numbers(version: PriceVersion) -> dict[str, int | None]:
    return {name: getattr(version, name) for name in NUMBERS}


def _completed(prices: Mapping[str, int]) -> dict[str, int | None]:
    """Every number as publishing will complete it."""
    classes, _ = with_inherited({name: price for name, price in prices.items() if name in TOKEN_CLASSES})
    surcharges = {name: prices.get(name) for name in SURCHARGES}
    return {**classes, **surcharges, "per_request": prices.get("per_request", 0)}
