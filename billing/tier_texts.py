"""Tiers as people write them: one a line, where it begins and its price. Pure."""

from __future__ import annotations

import re

from billing.contract_sums import USD
from billing.money import MoneyProblem, parse_price, parse_usd, per_cent, usd
from billing.tiers import TierProblem, Tiers

SHORT = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_COUNT = re.compile(r"([\d,_]+)(?:\.(\d{1,9}))?\s*([kmb]?)", re.ASCII | re.IGNORECASE)
_PER_CENT = re.compile(r"(\d{1,3})(?:\.(\d{1,2}))?\s*%?", re.ASCII)


def parse(text: str, *, mode: str, unit: str) -> Tiers:
    """``0: 2.50`` and ``1M: 2.00``, a line each or parted by semicolons, as tiers; raises TierProblem in plain words.

    Prices are USD per 1M tokens or, where thresholds are USD, per cent off the list price.
    """
    tiers = [_tier(line, unit) for line in re.split(r"[;\n]", text) if line.strip()]
    if not tiers:
        raise TierProblem("Write tiers such as 0: 2.50 and, on the next line, 1M: 2.00.")
    return Tiers(mode, tuple(above for above, _price in tiers), tuple(price for _above, price in tiers))


def said(tiers: Tiers, unit: str) -> str:
    """Tiers as ``parse`` reads them."""
    return "\n".join(
        f"{usd(above) if unit == USD else f'{above:,}'}: {per_cent(price)}%"
        if unit == USD
        else f"{above:,}: {usd(price * 10**6)}"
        for above, price in zip(tiers.thresholds, tiers.prices, strict=True)
    )


def count(text: str) -> int:
    """``1,000,000``, ``1M`` or ``2.5k`` tokens; raises TierProblem."""
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise TierProblem(f"{text.strip()[:40]!r} is no number of tokens such as 1,000,000 or 1M.")
    whole, rest, unit = match[1].replace(",", "").replace("_", ""), match[2] or "", SHORT[match[3].lower()]
    beside, left = divmod(unit * int(rest or 0), int(f"1{'0' * len(rest)}"))
    if not whole or len(whole) > 18 or left:
        raise TierProblem(f"{text.strip()[:40]!r} is no whole number of tokens.")
    return int(whole) * unit + beside


def _tier(line: str, unit: str) -> tuple[int, int]:
    above, colon, price = line.partition(":")
    if not colon:
        raise TierProblem(f"{line.strip()[:40]!r} is no tier: write where it begins, a colon, and its price.")
    try:
        if unit == USD:
            return parse_usd(above.strip().replace(",", "")), _basis_points(price.strip())
        return count(above), parse_price(price.strip())
    except MoneyProblem as problem:
        raise TierProblem(f"{problem}.") from None


def _basis_points(text: str) -> int:
    match = _PER_CENT.fullmatch(text)
    if not match:
        raise TierProblem(f"{text[:40]!r} is no discount such as 5% with at most two decimals.")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
