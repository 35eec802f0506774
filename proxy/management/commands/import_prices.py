"""``manage.py import_prices FILE_OR_URL [--apply] [--only PATTERN] [--costs UPSTREAM] [--json]``: public prices."""

from __future__ import annotations

import json
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils.timezone import now

from billing.costs import CostProblem
from portal import audit
from proxy.pricing_import import fetching, offer, review, upstream_costs
from proxy.pricing_import.findings import shown
from proxy.pricing_import.proposal import TAKEN, Proposal, Status
from proxy.pricing_import.reading import PriceFileProblem, read
from proxy.pricing_import.upstream_costs import CostProposal, UnknownUpstream

SIGNS = {Status.NEW: "+", Status.CHANGED: "~", Status.SUSPICIOUS: "?", Status.YOURS: "!", Status.NOT_UNDERSTOOD: "x"}


class Command(BaseCommand):
    """Exit status 1 and a sentence if the file cannot be read, or if a price was refused."""

    help = (
        "Compare the prices of models on sale with a file in the public model_prices_and_context_window.json format. "
        "Nothing is changed without --apply; suspicious prices are applied in the admin only, your own prices never."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE_OR_URL", help=f"such as {fetching.PUBLIC_FILE}")
        parser.add_argument("--apply", action="store_true", help="publish the new and changed prices, from now on")
        parser.add_argument("--only", metavar="PATTERN", default="*", help="models or entries such as 'gpt-5*'")
        parser.add_argument("--costs", metavar="UPSTREAM", help="what this upstream charges us, instead of our prices")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["costs"]:
            self._costs(options)
            return
        try:
            found, missing = offer.proposals(read(_content(options["file"])))
        except PriceFileProblem as problem:
            raise CommandError(str(problem)) from None
        chosen = [one for one in found if _meant(one, options["only"])]
        missing = [name for name in missing if fnmatchcase(name, options["only"])]
        outcome = review.Outcome()
        if options["apply"]:
            ready = [one for one in chosen if one.model and one.status in TAKEN]
            moment = now()
            outcome = review.apply(ready, review.Terms(effective_from=moment, now=moment))
        told = _as_json(chosen, missing, outcome) if options["json"] else _as_text(chosen, missing, outcome, options)
        self.stdout.write(told)
        if outcome.refused:
            raise CommandError("\n".join(f"{name}: {why}" for name, why in outcome.refused))

    def _costs(self, options: dict[str, Any]) -> None:
        """What an upstream charges us: compared, and written with ``--apply``."""
        try:
            found = upstream_costs.propose(read(_content(options["file"])), options["costs"])
            chosen = [one for one in found if fnmatchcase(one.upstream_model, options["only"])]
            written = _written(chosen, options["costs"]) if options["apply"] else []
        except (PriceFileProblem, UnknownUpstream, CostProblem) as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(_costs_json(chosen, written) if options["json"] else _costs_text(chosen, written, options))


def _content(source: str) -> bytes:
    return fetching.from_address(source) if fetching.is_address(source) else fetching.from_disk(Path(source))


def _meant(proposal: Proposal, pattern: str) -> bool:
    return fnmatchcase(proposal.model, pattern) or fnmatchcase(proposal.entry.name, pattern)


def _as_json(chosen: list[Proposal], missing: list[str], outcome: review.Outcome) -> str:
    """Every proposal for a model on sale, with prices as strings in USD; counts of all."""
    return json.dumps(
        {
            "counts": dict(Counter(one.status.value for one in chosen)),
            "missing": missing,
            "models": [
                {
                    "model": one.model,
                    "entry": one.entry.name,
                    "status": one.status.value,
                    "reasons": list(one.reasons),
                    "notes": list(one.notes),
                    "left_out": list(one.entry.left_out),
                    "prices": [
                        {
                            "when": part.when,
                            "name": part.name,
                            "old": None if part.before is None else shown(part.name, part.before),
                            "new": None if part.after is None else shown(part.name, part.after),
                        }
                        for part in one.differences
                    ],
                }
                for one in chosen
                if one.model
            ],
            "applied": [] if outcome.proposal else outcome.applied,
            "proposal": outcome.proposal,
            "proposed": outcome.applied if outcome.proposal else [],
            "refused": [{"model": name, "why": why} for name, why in outcome.refused],
        },
        ensure_ascii=False,
    )


def _as_text(chosen: list[Proposal], missing: list[str], outcome: review.Outcome, options: dict[str, Any]) -> str:
    sold = Counter(one.status for one in chosen if one.model)
    others = Counter(one.status for one in chosen if not one.model)
    lines = [f"{'':16}{'on sale':>8}{'others':>8}"]
    lines += [f"{status.value.replace('_', ' '):16}{sold[status]:>8}{others[status]:>8}" for status in Status]
    for one in chosen:
        if one.model and one.status is not Status.UNCHANGED:
            lines += ["", *_lines(one)]
    if missing:
        lines += ["", f"On sale, but not in the file: {', '.join(missing)}"]
    if outcome.proposal:
        lines += ["", f"Proposed, waits for another operator ({outcome.proposal}): {', '.join(outcome.applied)}."]
    elif options["apply"]:
        lines += ["", f"Applied: {', '.join(outcome.applied) or 'nothing'}."]
    elif any(one.model and one.status in TAKEN for one in chosen):
        lines += ["", "Nothing was changed. New and changed prices are published with --apply."]
    return "\n".join(lines)


def _lines(proposal: Proposal) -> list[str]:
    name = proposal.model if proposal.model == proposal.entry.name else f"{proposal.model} ({proposal.entry.name})"
    lines = [f"{SIGNS[proposal.status]} {name}: {proposal.status.value.replace('_', ' ')}"]
    for part in proposal.differences:
        when = f"{part.when}: " if part.when else ""
        lines.append(f"    {when}{part.name} {shown(part.name, part.before)} → {shown(part.name, part.after)}")
    lines += [f"    ? {reason}" for reason in proposal.reasons]
    return lines + [f"    left out: {name}" for name in proposal.entry.left_out]


def _written(chosen: list[CostProposal], upstream: str) -> list[str]:
    with transaction.atomic():
        written = upstream_costs.apply(chosen, now=now())
        if written:
            detail: dict[str, object] = {"models": written[:100]}
            audit.record(tenant=None, actor=None, action="cost.import", subject=upstream, now=now(), detail=detail)
    return written


def _costs_json(chosen: list[CostProposal], written: list[str]) -> str:
    return json.dumps(
        {
            "costs": [
                {
                    "upstream": one.upstream,
                    "model": one.upstream_model,
                    "entry": one.entry,
                    "status": one.status,
                    "why": one.why,
                    "costs": [
                        {
                            "name": part.name,
                            "old": None if part.before is None else shown(part.name, part.before),
                            "new": shown(part.name, part.after),
                        }
                        for part in one.differences
                    ],
                }
                for one in chosen
            ],
            "applied": written,
        },
        ensure_ascii=False,
    )


def _costs_text(chosen: list[CostProposal], written: list[str], options: dict[str, Any]) -> str:
    lines = [f"{len(chosen)} models of {options['costs']}"]
    for one in chosen:
        if one.status != "unchanged":
            lines += [
                "",
                f"{one.upstream_model}{f' ({one.entry})' if one.entry else ''}: {one.status.replace('_', ' ')}",
            ]
            lines += [f"    {part.name} {shown(part.name, part.before)} → {shown(part.name, part.after)}"
                      for part in one.differences]  # fmt: skip
            lines += [f"    {one.why}"] if one.why else []
    if options["apply"]:
        lines += ["", f"Applied: {', '.join(written) or 'nothing'}."]
    elif any(one.status in upstream_costs.TAKEN for one in chosen):
        lines += ["", "Nothing was changed. New and changed costs are written with --apply."]
    return "\n".join(lines)
