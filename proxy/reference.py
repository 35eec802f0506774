"""The reference of the API: endpoints, and parameters made of the table that checks them. For pages and docs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from proxy import rules
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


class Endpoint(NamedTuple):
    """One address: its method, its path, and what it is for."""

    method: str
    path: str
    meaning: str


ENDPOINTS = (
    Endpoint("POST", "/v1/chat/completions", "OpenAI’s chat completions, whole or streamed, by any model."),
    Endpoint("POST", "/v1/messages", "Anthropic’s Messages, by any model."),
    Endpoint("POST", "/v1/messages/count_tokens", "How many tokens a message would be, by estimate; free."),
    Endpoint("POST", "/v1/responses", "OpenAI’s Responses, by any model; nothing is kept."),
    Endpoint("POST", "/v1/embeddings", "Vectors of texts."),
    Endpoint("POST", "/v1/images/generations", "Images from a prompt."),
    Endpoint("GET", "/v1/models", "The models that your key may use, with limits, abilities and prices."),
    Endpoint("GET", "/v1/models/{id}", "One of them, by its name or an alias."),
    Endpoint("POST", "/v1/estimate", "What a chat completion would cost, and which limit it meets first; free."),
    Endpoint("GET", "/v1/receipts/{id}", "What a call was and cost, signed."),
    Endpoint("GET", "/v1/receipts/keys", "The keys that receipts are signed with; needs no API key."),
    Endpoint("GET", "/v1/usage", "What your key used, by model, from start to end."),
)


class Section(NamedTuple):
    """A path and its parameters. Rows are found on the page by ``prefix`` and their name."""

    path: str
    title: str
    prefix: str
    rows: list[Row]


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


def sections() -> list[Section]:
    """The paths that have tables of their own."""
    found = []
    for path, (table, required) in OTHERS.items():
        name = path.split("/")[2]
        found.append(Section(path, name.capitalize(), f"{name}-", rows(table, required)))
    return found


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


def rules_markdown() -> Iterator[str]:
    """The tables of rules and of providers in docs/operating.md."""
    yield "| rule | takes | what it does |"
    yield "|---|---|---|"
    for name, key in rules.KEYS.items():
        choices = ": " + ", ".join(f"`{choice}`" for choice in key.choices) if key.choices and name != "like" else ""
        yield _line(f"`{name}`", rules.WORDS[key.kind] + choices, key.meaning)
    yield ""
    yield "| provider | its rules |"
    yield "|---|---|"
    for name, preset in rules.PRESETS.items():
        yield _line(f"`{name}`", f"`{json.dumps(preset)}`")


def named(row: Row) -> str:
    """A parameter's name, and whether it must be there."""
    return f"`{row.name}`" + (" (required)" if row.required else "")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
