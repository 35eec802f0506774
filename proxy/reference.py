"""The reference of the API's parameters, made of the table that checks them: for the page and for docs/. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.operation_parameters import EMBEDDINGS, IMAGES
from proxy.parameter_table import STEERING, TABLE, Parameter

TYPES = {
    "stop": "string or array",
    "input": "string or array",
    "bias": "object",
    "format": "object",
    "metadata": "object",
    "modalities": "array",
    "choice": "string",
}
FATES = {
    "pass": "as it is",
    "translate": "translated",
    "drop": "left out",
    "refuse": "refused",
}
REQUIRED = ("model", "messages")
OTHERS = {
    "/v1/embeddings": (EMBEDDINGS, ("model", "input")),
    "/v1/images/generations": (IMAGES, ("model", "prompt")),
}
"""Paths with tables of their own, and what they require."""


class Row(NamedTuple):
    """One parameter in words: its type, what it may be, what it does, and what becomes of it by dialect."""

    name: str
    type: str
    range: str
    meaning: str
    required: bool
    anthropic: str
    gemini: str


def rows(table: tuple[Parameter, ...] = TABLE, required: tuple[str, ...] = REQUIRED) -> list[Row]:
    """Every parameter that is taken."""
    return [
        Row(
            parameter.name,
            TYPES.get(parameter.kind, parameter.kind),
            range_of(parameter),
            parameter.meaning,
            parameter.name in required,
            fate_of(parameter.anthropic),
            fate_of(parameter.gemini),
        )
        for parameter in table
        if not parameter.refuse
    ]


def refused() -> list[str]:
    """Names that are answered with 400: what would cost money nobody priced, and what would steer the gateway."""
    return sorted([*(parameter.name for parameter in TABLE if parameter.refuse), *STEERING])


def range_of(parameter: Parameter) -> str:
    """What a value may be, in words; empty for anything of the type."""
    least, most = parameter.least, parameter.most
    if parameter.choices:
        return ", ".join(parameter.choices)
    if parameter.kind in ("integer", "number") and least is not None and most is not None:
        return "" if most >= 2**62 else f"{least:,} to {most:,}"
    if parameter.kind in ("string", "array") and most is not None:
        unit = "characters" if parameter.kind == "string" else "items"
        return f"{least:,} to {most:,} {unit}" if least else f"up to {most:,} {unit}"
    return f"up to {most:,}" if most is not None else ""


def fate_of(fate: str) -> str:
    """What becomes of a parameter, in words."""
    return FATES.get(fate) or f"as {fate.removeprefix('→ ')}"


def markdown() -> Iterator[str]:
    """The lines of docs/parameters.md."""
    yield "# Parameters of `/v1/chat/completions`"
    yield ""
    yield "Made by `manage.py api_reference` from the table that checks requests; do not edit it by hand."
    yield ""
    yield "To OpenAI-compatible upstreams everything goes as it is, unless the upstream's rules say otherwise. What an"
    yield "upstream cannot be told is left out, and the answer's header `x-tollgate-dropped` names it."
    yield ""
    yield "| parameter | type | range | meaning | to Anthropic | to Gemini |"
    yield "|---|---|---|---|---|---|"
    for row in rows():
        yield _line(named(row), row.type, row.range, row.meaning, row.anthropic, row.gemini)
    yield ""
    yield "Refused with 400: " + ", ".join(f"`{name}`" for name in refused()) + "."
    for path, (table, required) in OTHERS.items():
        yield ""
        yield f"## Parameters of `{path}`"
        yield ""
        yield "| parameter | type | range | meaning | to Gemini |"
        yield "|---|---|---|---|---|"
        for row in rows(table, required):
            yield _line(named(row), row.type, row.range, row.meaning, row.gemini)


def named(row: Row) -> str:
    """A parameter's name, and whether it must be there."""
    return f"`{row.name}`" + (" (required)" if row.required else "")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
