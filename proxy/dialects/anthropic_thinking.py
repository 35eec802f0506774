"""How Anthropic's models are asked to think, and what they refuse while they do. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from proxy.parameters import wrong_type

BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
LEAST_BUDGET = 1024
ASKING = ("reasoning_effort", "reasoning", "thinking")
"""The parameters that ask for thinking, in the order in which they count."""

FAMILIES: tuple[tuple[re.Pattern[str], str, bool], ...] = (
    (re.compile(r"claude-(?:instant|2|3-(?:5|haiku|sonnet|opus))"), "none", True),
    (
        re.compile(r"claude-(?:3-7|(?:opus|sonnet|haiku)-4(?:[-.][0-5])?)(?:[-@]\d{8}|-latest|-sonnet|-v\d|[@:]|$)"),
        "budget",
        True,
    ),
    (re.compile(r"claude-(?:opus|sonnet|haiku)-4[-.]6"), "adaptive", True),
    (re.compile(r"claude-(?:[a-z]+-)?(?:4[-.][7-9]|[5-9])(?!\d)"), "adaptive", False),
)
"""What models do, by name, where no rule says it: how they think, and whether they take sampling parameters."""


def kind_of(upstream_model: str, rules: Mapping[str, Any]) -> str:
    """none, budget, adaptive or always: the rule's word, else the family's, else adaptive as new models do."""
    named = rules.get("thinking")
    if type(named) is str:
        return "budget" if named == "level" else named
    return next((kind for name, kind, _ in FAMILIES if name.search(upstream_model)), "adaptive")


def must_return(upstream_model: str, kind: str) -> bool:
    """Whether a tool turn must bring its thinking back: with a budget; adaptive families of Claude are known not to."""
    lenient = any(name.search(upstream_model) and family == "adaptive" for name, family, _ in FAMILIES)
    return kind == "budget" or (kind == "adaptive" and not lenient)


def takes_sampling(upstream_model: str, rules: Mapping[str, Any]) -> bool:
    """Whether temperature, top_p and top_k may be sent."""
    ruled = rules.get("sampling")
    if type(ruled) is bool:
        return ruled
    return next((sampling for name, _, sampling in FAMILIES if name.search(upstream_model)), True)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client asks for: ``effort`` and ``budget`` if it said so, or that there be none."""

    asked: tuple[str, ...] = ()
    off: bool = False
    effort: str | None = None
    budget: int | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What Anthropic is told: its ``thinking`` and ``output_config.effort``, and what of the client's was dropped."""

    kind: str
    on: bool = False
    thinking: dict[str, Any] | None = None
    effort: str | None = None
    asked: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def switched_off(self) -> Plan:
        """The same without thinking, which is said to have been dropped."""
        thinking = {"type": "disabled"} if self.kind == "adaptive" else None
        return replace(self, on=False, thinking=thinking, dropped=self.dropped + self.asked)


def plan(body: Mapping[str, Any], kind: str, output_limit: int) -> Plan:
    """How a model of ``kind`` is asked for what the body wishes. A budget is always below the output limit."""
    wish = wish_of(body)
    if kind == "always":
        return Plan(kind, True, None, _effort(wish), wish.asked, wish.asked if wish.off else ())
    if not wish.asked:
        return Plan(kind)
    if kind == "none":
        return Plan(kind, asked=wish.asked, dropped=() if wish.off else wish.asked)
    if wish.off:
        return Plan(kind, thinking={"type": "disabled"} if kind == "adaptive" else None, asked=wish.asked)
    if kind == "adaptive":
        thinking = {"type": "adaptive", "display": wish.display or "summarized"}
        return Plan(kind, True, thinking, _effort(wish), wish.asked)
    tokens = min(max(_budget(wish), LEAST_BUDGET), output_limit - 1)
    if tokens < LEAST_BUDGET:
        return Plan(kind, asked=wish.asked, dropped=wish.asked)
    return Plan(kind, True, {"type": "enabled", "budget_tokens": tokens}, None, wish.asked)


def wish_of(body: Mapping[str, Any]) -> Wish:
    """What reasoning_effort, reasoning and thinking say together; an effort goes before a budget."""
    asked = tuple(name for name in ASKING if name in body)
    if not asked:
        return Wish()
    reasoning, thinking = body.get("reasoning") or {}, body.get("thinking") or {}
    effort = body.get("reasoning_effort") or reasoning.get("effort")
    budget = reasoning.get("max_tokens") if reasoning.get("max_tokens") is not None else thinking.get("budget_tokens")
    for name, value, kind in (("reasoning.effort", effort, str), ("thinking.budget_tokens", budget, int)):
        if value is not None and type(value) is not kind:
            raise wrong_type(name, "a string" if kind is str else "an integer", value)
    off = effort == "none"
    if effort is None and budget is None:
        off = thinking.get("type") == "disabled" or reasoning.get("enabled") is False
    display = thinking.get("display")
    return Wish(asked, off, effort, budget, display if type(display) is str else None)


def _effort(wish: Wish) -> str | None:
    if wish.off:
        return None
    if wish.effort is not None:
        return "low" if wish.effort == "minimal" else wish.effort
    if wish.budget is None:
        return None
    return "low" if wish.budget < BUDGETS["medium"] else "medium" if wish.budget < BUDGETS["high"] else "high"


def _budget(wish: Wish) -> int:
    return wish.budget if wish.budget is not None else BUDGETS.get(wish.effort or "medium", BUDGETS["medium"])
