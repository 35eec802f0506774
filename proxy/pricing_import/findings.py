"""Prices that are probably mistakes of the file, each with its reason in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from billing.meters import TOKEN_CLASSES
from billing.money import PICO_PER_USD, usd
from proxy.pricing_import.entry import Entry, Tier
from proxy.pricing_import.entry import words as said

MOST_RAISE = 5
"""A service tier or a long prompt may cost this many times the base price; the file has had 50."""
LEAST_SHARE = 10
"""A cheaper tier costs at least a tenth of the base price."""
MOST_JUMP = 10
"""A new price is at most ten times the old one, or a tenth of it."""
MOST_SPREAD = 100
"""Output costs at most a hundred times its input."""
MOST_USD = 2_000
"""USD per 1M tokens that no model costs."""
FREE_PROVIDERS = frozenset({"ollama", "lemonade", "github_copilot", "chatgpt"})
"""Providers whose models cost nothing by the token."""


def suspicions(entry: Entry, in_force: Mapping[str, int | None]) -> list[str]:
    """Why the prices of an entry should not be taken without looking; ``in_force`` is empty for a model without."""
    found = [f"{field} was not taken: {problem}." for field, problem in entry.unreadable]
    if entry.twins:
        found.append(f"The file has this model more than once: {', '.join(entry.twins[:3])}.")
    if entry.context_window and entry.max_output_tokens and entry.max_output_tokens > entry.context_window:
        found.append(f"It would write {entry.max_output_tokens:,} tokens, but reads at most {entry.context_window:,}.")
    found += _base(entry)
    for tier in entry.tiers:
        found += _tier(tier, _below(tier, entry), said(tier))
    return found + list(_jumps(entry.prices, in_force))


def notes(entry: Entry) -> list[str]:
    """What is worth knowing and no reason to wait."""
    found = list(entry.notes)
    if entry.prices.get("cache_write_5m") == 0 and entry.prices.get("input"):
        found.append("Writing to the cache costs nothing.")
    if entry.mode == "responses":
        found.append("The provider serves it by its Responses API.")
    if entry.deprecated_on:
        found.append(f"The provider retires it on {entry.deprecated_on.isoformat()}.")
    return found


def per_million(price: int) -> str:
    """Micro-USD per 1M tokens as USD."""
    return usd(price * (PICO_PER_USD // 10**6))


def shown(name: str, price: int | None) -> str:
    """A token price as USD per 1M, a surcharge as USD each."""
    if price is None:
        return "none"
    return per_million(price) if name in TOKEN_CLASSES else usd(price)


def _base(entry: Entry) -> Iterator[str]:
    prices = entry.prices
    if odd := _sides(entry):
        yield odd
    read, written, hour = (prices.get(name) for name in ("cache_read", "cache_write_5m", "cache_write_1h"))
    entrance = prices.get("input", 0)
    if read is not None and read > entrance:
        yield f"Reading from the cache ({per_million(read)}) costs more than input ({per_million(entrance)})."
    if read == 0 and entrance:
        yield f"Reading from the cache costs nothing, but input {per_million(entrance)}."
    if written is not None and written > entrance * MOST_RAISE:
        yield f"Writing to the cache ({per_million(written)}) costs {_times(written, entrance)} input."
    if written is not None and hour is not None and hour < written:
        yield f"An hour in the cache ({per_million(hour)}) costs less than five minutes ({per_million(written)})."
    for name in TOKEN_CLASSES:
        if prices.get(name, 0) > MOST_USD * 10**6:
            yield f"{name} costs {per_million(prices[name])} USD per 1M tokens."


def _sides(entry: Entry) -> str:
    """Input against output, and both against nothing; empty if nothing is odd."""
    read, written = entry.prices.get("input", 0), entry.prices.get("output", 0)
    if not any(entry.prices.values()):
        is_free = entry.provider in FREE_PROVIDERS or "free" in entry.name.lower()
        return "" if is_free else "It costs nothing, and is not known to be free."
    if read and written > read * MOST_SPREAD:
        return f"Output ({per_million(written)}) costs {_times(written, read)} input ({per_million(read)})."
    return _sides_of_chat(entry, read, written) if entry.operation == "chat" else ""


def _sides_of_chat(entry: Entry, read: int, written: int) -> str:
    """A model of text has a price on both sides."""
    if read and not written:
        return f"Output costs nothing, but input {per_million(read)}."
    if written and not read and not entry.prices.get("per_request"):
        return f"Input costs nothing, but output {per_million(written)}."
    if written * 2 < read:
        return f"Output ({per_million(written)}) costs less than half of input ({per_million(read)})."
    return ""


def _below(tier: Tier, entry: Entry) -> Mapping[str, int]:
    """What a tier is compared with: the same service tier with shorter prompts, else the base price."""
    shorter = [
        other
        for other in entry.tiers
        if other.service_tier == tier.service_tier and other.above_tokens < tier.above_tokens and not other.hours
    ]
    return max(shorter, key=lambda other: other.above_tokens).prices if shorter else entry.prices


def _tier(tier: Tier, base: Mapping[str, int], name: str) -> Iterator[str]:
    """A tier that should be dearer and is not, should be cheaper and is not, or is so beyond measure."""
    is_cheaper = bool(tier.hours) or (tier.service_tier in ("flex", "batch") and not tier.above_tokens)
    doubt = _doubt_of_cheaper if is_cheaper else _doubt_of_dearer
    for token_class in TOKEN_CLASSES:
        before, after = base.get(token_class), tier.prices.get(token_class)
        if before is not None and after is not None and (words := doubt(before, after)):
            yield f"{name}: {token_class} costs {per_million(after)}, and {per_million(before)} otherwise: {words}"


def _doubt_of_cheaper(before: int, after: int) -> str:
    if after > before:
        return "it should cost less."
    return "less than a tenth." if after * LEAST_SHARE < before else ""


def _doubt_of_dearer(before: int, after: int) -> str:
    if after < before:
        return "it should cost more."
    return f"{_times(after, before)} as much." if after > before * MOST_RAISE else ""


def _jumps(prices: Mapping[str, int], in_force: Mapping[str, int | None]) -> Iterator[str]:
    """Against the price in force, beyond tenfold either way."""
    for name, after in prices.items():
        before = in_force.get(name)
        if before is None or before == after:
            continue
        told = f"{name} would go from {shown(name, before)} to {shown(name, after)}"
        if not after:
            yield f"{told}: it would be free."
        elif after > before * MOST_JUMP:
            yield f"{told}: {_times(after, before)} the price in force." if before else f"{told}: it was free."
        elif after * MOST_JUMP < before:
            yield f"{told}: the price in force is {_times(before, after)} that."


def _times(more: int, less: int) -> str:
    """How often the lesser is in the greater, for people: ``50 times``."""
    return f"{more // less:,} times" if less else "more than"
