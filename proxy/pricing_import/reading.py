"""The public ``model_prices_and_context_window.json`` format, read whole: its entries, and the rest. Pure."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from proxy.pricing_import.entry import Entry, entry_of
from proxy.pricing_import.fields import plain

MOST_BYTES = 64 * 1024 * 1024
MOST_ENTRIES = 50_000
LONGEST_NAME = 200
EXAMPLE = "sample_spec"


class PriceFileProblem(Exception):
    """The whole text is no price file, in plain words."""


@dataclass(frozen=True, slots=True)
class PriceFile:
    """The entries in the order of the file, the names of what is none, and a checksum to tell files apart."""

    entries: tuple[Entry, ...]
    skipped: tuple[str, ...]
    sha256: str


def read(content: bytes) -> PriceFile:
    """Every entry of a price file. Raises PriceFileProblem if it is none; odd entries are told one by one."""
    document = _document(content)
    models = {name: value for name, value in document.items() if isinstance(name, str) and isinstance(value, dict)}
    taken = [name for name, value in models.items() if _is_model(name, value)]
    known = {None, *taken}
    skipped = tuple(plain(name, LONGEST_NAME) for name in document if name not in known)
    if not taken:
        raise PriceFileProblem("There is no model in it: each has litellm_provider, mode and its prices.")
    twins = _twins(taken, document.get(None, ()))
    entries = (entry_of(name, models[name]) for name in taken)
    return PriceFile(
        entries=tuple(replace(entry, twins=twins.get(entry.name, ())) for entry in entries),
        skipped=skipped,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _document(content: bytes) -> dict[Any, Any]:
    if len(content) > MOST_BYTES:
        raise PriceFileProblem(f"The file is larger than {MOST_BYTES >> 20} MB.")
    try:
        document = json.loads(
            content.decode("utf-8-sig"), parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_members
        )
    except UnicodeDecodeError:
        raise PriceFileProblem("The file is not UTF-8 text.") from None
    except json.JSONDecodeError as problem:
        raise PriceFileProblem(f"The file is not JSON: {problem.msg} in line {problem.lineno}.") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise PriceFileProblem("The file is JSON that cannot be read: a number too long, or nested too deep.") from None
    if not isinstance(document, dict):
        raise PriceFileProblem("The file is JSON, but no object of models by name.")
    if len(document) > MOST_ENTRIES:
        raise PriceFileProblem(f"The file names more than {MOST_ENTRIES:,} models.")
    return document


def _members(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """An object; under None, the names that are in it twice, which JSON would drop in silence."""
    found: dict[Any, Any] = dict(pairs)
    if len(found) < len(pairs):
        found[None] = tuple(sorted(name for name, times in Counter(name for name, _ in pairs).items() if times > 1))
    return found


def _is_model(name: str, value: dict[Any, Any]) -> bool:
    can_be = 0 < len(name) <= LONGEST_NAME and name.isprintable()
    return can_be and name != EXAMPLE and ("litellm_provider" in value or "mode" in value)


def _twins(names: list[str], repeated: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Names that differ in case alone, or are there twice, each with the others."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.lower(), []).append(name)
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in repeated}
    for group in alike.values():
        if len(group) > 1:
            found |= {name: tuple(other for other in group if other != name) for name in group}
    return found
