"""What is in the guide, in the order of reading. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A page: its name in addresses and of its file, and what links to it say.

    ``written`` is False of pages that are not of Markdown but made of what the gateway knows.
    """

    slug: str
    title: str
    written: bool = True


class Chapter(NamedTuple):
    """Pages under a heading."""

    title: str
    entries: tuple[Entry, ...]


REFERENCE = Entry("api", "API reference", written=False)
MODELS = Entry("models", "Models and prices", written=False)
STATUS = Entry("status", "Status", written=False)

CHAPTERS = (
    Chapter(
        "Start",
        (
            Entry("quick-start", "Quick start"),
            Entry("authentication", "Authentication"),
            Entry("ide-integration", "IDE integration"),
            Entry("naming-and-compatibility", "Naming and compatibility"),
        ),
    ),
    Chapter(
        "Calls",
        (
            Entry("streaming", "Streaming"),
            Entry("tools", "Tools and thinking"),
            Entry("images-and-embeddings", "Images and embeddings"),
            Entry("idempotency", "Idempotency"),
            Entry("runs", "Estimates, caps and runs"),
        ),
    ),
    Chapter(
        "Money",
        (
            MODELS,
            Entry("pricing", "How calls are priced"),
            Entry("caching-and-cost", "Caching and cost"),
            Entry("limits", "Limits and budgets"),
            Entry("receipts", "Receipts"),
        ),
    ),
    Chapter(
        "Trust",
        (
            STATUS,
            Entry("quality-of-service", "Quality of service"),
            Entry("model-verification", "Model verification"),
            Entry("network-and-connectivity", "Network and connectivity"),
        ),
    ),
    Chapter(
        "Coming from",
        (
            Entry("from-openai", "OpenAI"),
            Entry("from-litellm", "LiteLLM"),
            Entry("from-openrouter", "OpenRouter"),
        ),
    ),
    Chapter("Reference", (REFERENCE, Entry("errors", "Error codes"), Entry("webhooks", "Webhooks"))),
)
ENTRIES = tuple(entry for chapter in CHAPTERS for entry in chapter.entries)
WRITTEN = {entry.slug: entry for entry in ENTRIES if entry.written}


def beside(entry: Entry) -> tuple[Entry | None, Entry | None]:
    """The pages before and after this one."""
    place = ENTRIES.index(entry)
    return ENTRIES[place - 1] if place else None, ENTRIES[place + 1] if place + 1 < len(ENTRIES) else None
