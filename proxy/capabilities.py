"""Whether a model can do what a request asks of it, and whether that has a price. Pure."""

from __future__ import annotations

from typing import Any

from billing.pricing import PriceVersion
from proxy.chat import ChatRequest
from proxy.directory import ModelEntry
from proxy.parameters import bad

MOST_IMAGES = 8
"""More pictures than any model puts into one answer."""
DEEDS = {"embeddings": "embeddings", "images": "images"}
PART_INPUTS = {"image_url": "image", "input_audio": "audio", "file": "file"}


def check(chat: ChatRequest, entry: ModelEntry, price: PriceVersion) -> None:
    """Raise BadRequest for an operation, a kind of input or output, or a service tier that is not to be had."""
    deed = DEEDS.get(chat.operation, "chat")
    if deed not in entry.operations:
        does = ", ".join(sorted(entry.operations))
        raise bad(f"The model '{entry.name}' does not do {deed}. It does: {does}.", "invalid_value", "model")
    if chat.service_tier and not price.sells(chat.service_tier):
        raise bad(
            f"The model '{entry.name}' has no price for service_tier '{chat.service_tier}'.",
            "unsupported_value",
            "service_tier",
        )
    if deed == "chat":
        if "modalities" in chat.body:
            _check_outputs(chat, entry)
        if chat.parts:
            _check_inputs(chat, entry)


def images_of(chat: ChatRequest, entry: ModelEntry) -> int:
    """How many images a chat answer can bring: some models make them unasked."""
    if not entry.capabilities or "image" not in entry.capabilities.get("output", ()):
        return 0
    return MOST_IMAGES * chat.choices


def _check_outputs(chat: ChatRequest, entry: ModelEntry) -> None:
    wanted = chat.body.get("modalities")
    if wanted is None or wanted == ["text"]:
        return
    made = entry.capabilities.get("output", ["text"])
    for index, kind in enumerate(wanted):
        if kind not in made:
            raise bad(f"The model '{entry.name}' does not make {kind}.", "unsupported_value", f"modalities[{index}]")


def _check_inputs(chat: ChatRequest, entry: ModelEntry) -> None:
    """Audio must be declared, as it has its own price; other kinds only where the model says what it takes."""
    taken = entry.capabilities.get("input")
    for index, message in enumerate(chat.body["messages"]):
        content: Any = message.get("content")
        if type(content) is not list:
            continue
        for place, part in enumerate(content):
            kind = PART_INPUTS.get(part.get("type", ""))
            if kind is None or (taken is None and kind != "audio") or kind in (taken or ()):
                continue
            raise bad(
                f"The model '{entry.name}' does not take {kind} input.",
                "unsupported_value",
                f"messages[{index}].content[{place}]",
            )
