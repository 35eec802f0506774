"""One model of the public price file: its prices and tiers as exact integers, and whatever was not understood. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from billing.meters import PARENT_CLASS
from proxy.pricing_import import tiers
from proxy.pricing_import.fields import ALWAYS, Condition, ValueProblem, exact, is_price_like, place, plain, whole

CAPABILITIES = (
    "function_calling",
    "parallel_function_calling",
    "vision",
    "pdf_input",
    "audio_input",
    "audio_output",
    "reasoning",
    "response_schema",
    "prompt_caching",
    "web_search",
)
"""The ``supports_…`` flags a model shows."""
MODES = {"chat": "chat", "responses": "chat", "embedding": "embeddings", "image_generation": "images"}
"""The modes that are served, and as which operation."""
SEARCH = "search_context_cost_per_query"


@dataclass(frozen=True, slots=True)
class Tier:
    """Other prices of the same model: above a number of prompt tokens, in a service tier, or in some UTC hours."""

    prices: dict[str, int]
    above_tokens: int = 0
    service_tier: str = ""
    hours: tiers.Hours = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the file. ``prices`` are those the file states itself, in the integers of ``billing.catalog``.

    ``unreadable`` are fields whose value is no price, with what is wrong; ``left_out`` are fields about money that mean
    nothing here; ``notes`` say what was decided where the file leaves a choice.
    """

    name: str
    provider: str
    mode: str
    prices: dict[str, int]
    tiers: tuple[Tier, ...] = ()
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    deprecated_on: date | None = None
    unreadable: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()

    @property
    def operation(self) -> str:
        """chat, embeddings or images; empty for a mode that is not served."""
        return MODES.get(self.mode, "")


@dataclass(slots=True)
class _Collected:
    """What the fields of one entry say about money, while they are read."""

    stated: dict[Condition, dict[str, int]] = field(default_factory=dict)
    hours: list[Tier] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, name: str, value: Any) -> None:
        """One field about money."""
        try:
            self._take(name, value)
        except ValueProblem as problem:
            whole_field = name in ("tiered_pricing", "off_peak_pricing")
            (
                self.left_out.append(f"{name}: {problem}")
                if whole_field
                else self.unreadable.append((name, str(problem)))
            )

    def _take(self, name: str, value: Any) -> None:
        found = place(name)
        if found is not None:
            self.stated.setdefault(found.condition, {})[found.name] = exact(value)
        elif name == SEARCH:
            self._search(value)
        elif name == "tiered_pricing":
            for condition, prices in list(tiers.ranges(value)):
                self.stated[condition] = {**prices, **self.stated.get(condition, {})}
        elif name == "off_peak_pricing":
            hours, prices = tiers.off_peak(value)
            self.hours.append(Tier(prices, hours=hours))
        else:
            self.left_out.append(name)

    def _search(self, value: Any) -> None:
        """One price per search: the middle size, which is what is asked for where nothing is said."""
        sizes = value if isinstance(value, dict) else {}
        prices = [exact(price) for price in sizes.values()]
        if not prices:
            raise ValueProblem("it is no table of sizes")
        middle = exact(sizes["search_context_size_medium"]) if "search_context_size_medium" in sizes else max(prices)
        if len(set(prices)) > 1:
            self.notes.append(
                "A web search costs more or less by size of context; the price of the middle one is taken."
            )
        self.stated.setdefault(ALWAYS, {})["per_web_search"] = middle


def entry_of(name: str, fields: dict[Any, Any]) -> Entry:
    """What the fields of one model say. Under None, ``fields`` has the names that are there twice."""
    collected = _Collected()
    for twice in fields.get(None, ()):
        collected.unreadable.append((plain(twice, 100), "it is there twice"))
    mode = plain(fields.get("mode") or "", 40)
    for key, value in fields.items():
        if key is not None and value is not None and is_price_like(key) and key not in _aside(mode):
            collected.take(plain(key, 100), value)
    _settle(mode, fields, collected)
    base = collected.stated.pop(ALWAYS, {})
    return Entry(
        name=name,
        provider=plain(fields.get("litellm_provider") or "", 60),
        mode=mode,
        prices=base,
        tiers=_whole_tiers(base, collected),
        context_window=whole(fields.get("max_input_tokens")) or whole(fields.get("max_tokens")),
        max_output_tokens=whole(fields.get("max_output_tokens")) or whole(fields.get("max_tokens")),
        capabilities=tuple(one for one in CAPABILITIES if fields.get(f"supports_{one}") is True),
        deprecated_on=_date(fields.get("deprecation_date")),
        unreadable=tuple(collected.unreadable),
        left_out=tuple(sorted(collected.left_out)),
        notes=tuple(dict.fromkeys(collected.notes)),
    )


def _aside(mode: str) -> tuple[str, ...]:
    """Fields that are read for themselves, and not left out."""
    return ("input_cost_per_token_cache_hit", *(("input_cost_per_image",) if mode == "image_generation" else ()))


def _settle(mode: str, fields: dict[Any, Any], collected: _Collected) -> None:
    """What the file says in other words: cache hits, images by the piece, and sides that a mode does not have."""
    base = collected.stated.setdefault(ALWAYS, {})
    _settle_cache_hit(fields.get("input_cost_per_token_cache_hit"), base, collected)
    if mode == "image_generation" and "per_image" not in base and fields.get("input_cost_per_image") is not None:
        collected.take("output_cost_per_image", fields["input_cost_per_image"])
        collected.notes.append("The price per image is given as input_cost_per_image.")
    if base.get("output_image") and base.pop("per_image", None) is not None:
        collected.notes.append(
            "Images are priced by the token; the price by the piece is left out, as both count twice."
        )
    if mode == "embedding" and "input" in base:
        base.setdefault("output", 0)
    if mode == "image_generation":
        _settle_images(base, {name for name, _ in collected.unreadable}, collected.notes)


def _settle_cache_hit(value: Any, base: dict[str, int], collected: _Collected) -> None:
    """Another name of the price of a cache read."""
    if value is None:
        return
    stated = base.pop("cache_read", None)
    collected.take("cache_read_input_token_cost", value)
    if stated is None:
        return
    if base.get("cache_read") != stated:
        collected.unreadable.append(("input_cost_per_token_cache_hit", "it is not the price of a cache read"))
    base["cache_read"] = stated


def _settle_images(base: dict[str, int], unread: set[str], notes: list[str]) -> None:
    """A model of images alone may state no price of text: then what it writes is images, and reading may be free."""
    if (
        "output" not in base
        and "output_cost_per_token" not in unread
        and ("output_image" in base or "per_image" in base)
    ):
        base["output"] = base.get("output_image", 0)
        if base["output"]:
            notes.append("What it writes is priced as images, as no other price is stated.")
    if "input" not in base and "input_cost_per_token" not in unread and "per_image" in base:
        base["input"] = 0


def _whole_tiers(base: dict[str, int], collected: _Collected) -> tuple[Tier, ...]:
    """Each tier as a whole price: what it does not state is as in the base price, and that is noted."""
    found = [Tier(prices, *condition) for condition, prices in sorted(collected.stated.items())] + collected.hours
    broken = {spot.condition for name, _ in collected.unreadable if (spot := place(name))}
    whole_tiers = {tier.service_tier for tier in found if not tier.above_tokens and not tier.hours}
    kept = []
    for tier in found:
        if tier.service_tier and tier.service_tier not in whole_tiers:
            collected.left_out.append(f"{words(tier)}: {tier.service_tier} has no price below that")
            continue
        if (tier.above_tokens, tier.service_tier) in broken and not tier.hours:
            collected.left_out.append(f"{words(tier)}: not all of its prices can be read")
            continue
        taken = _own(base, tier.prices)
        if {"input", "output"} <= set(tier.prices) and (lacking := [name for name in taken if "per_" not in name]):
            collected.notes.append(f"{words(tier)}: {', '.join(lacking)} as in the base price.")
        kept.append(replace(tier, prices={**taken, **tier.prices}))
    return tuple(kept)


def _own(base: dict[str, int], stated: dict[str, int]) -> dict[str, int]:
    """What a tier takes from the base price: all it does not state, but for classes that cost there what their parent
    does, and so follow it here."""
    return {
        name: price
        for name, price in base.items()
        if name not in stated and not (name in PARENT_CLASS and price == base.get(PARENT_CLASS[name]))
    }


def words(tier: Tier) -> str:
    """When a tier holds, for people."""
    said = [tier.service_tier] if tier.service_tier else []
    if tier.above_tokens:
        said.append(f"above {tier.above_tokens:,} prompt tokens")
    if tier.hours:
        said.append(", ".join(f"{a // 60:02d}:{a % 60:02d}–{b // 60:02d}:{b % 60:02d}" for a, b in tier.hours) + " UTC")
    return ", ".join(said)


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
