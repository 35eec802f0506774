"""Which entry of the price file prices a model on sale: by provider and upstream model, else by name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.pricing_import.entry import Entry

HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "aiplatform.googleapis.com": "vertex_ai",
    "openai.azure.com": "azure",
    "services.ai.azure.com": "azure_ai",
    "amazonaws.com": "bedrock",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "api.x.ai": "xai",
    "openrouter.ai": "openrouter",
    "api.groq.com": "groq",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.fireworks.ai": "fireworks_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.moonshot.ai": "moonshot",
    "api.minimax.io": "minimax",
    "api.z.ai": "zai",
    "api.cerebras.ai": "cerebras",
    "api.sambanova.ai": "sambanova",
    "api.novita.ai": "novita",
    "api.deepinfra.com": "deepinfra",
    "api.voyageai.com": "voyage",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "integrate.api.nvidia.com": "nvidia_nim",
    "ai-gateway.vercel.sh": "vercel_ai_gateway",
}
"""Providers as the file calls them, by the end of their host."""


@dataclass(frozen=True, slots=True)
class Sold:
    """A model on sale: its names, and (provider, upstream model) of its routes in the order they are tried.

    A provider is empty where an upstream is nobody the file knows. ``origin`` is the entry its last price was from.
    """

    name: str
    aliases: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    origin: str = ""

    @property
    def is_routed(self) -> bool:
        """Whether any of its routes leads to a provider of the file."""
        return any(provider for provider, _ in self.routes)


def provider_of(*, base_url: str, like: str, name: str, known: Iterable[str]) -> str:
    """The provider of an upstream: by its host, else by the preset its rules start from, else by its own name."""
    host = (urlsplit(base_url).hostname or "").lower()
    for ending, provider in HOSTS.items():
        if host == ending or host.endswith(f".{ending}"):
            return provider
    providers = set(known)
    return next((word for word in (like, name, name.replace("-", "_")) if word and word in providers), "")


class Matcher:
    """Finds entries by name."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: Mapping[str, Entry] = {entry.name: entry for entry in entries}

    def entry_for(self, sold: Sold) -> Entry | None:
        """The entry that prices a model, or None. A known provider must agree: the same name costs more elsewhere."""
        for provider, upstream_model in sold.routes:
            for name in (upstream_model, sold.name, *sold.aliases) if provider else ():
                entry = self._of_provider(provider, name)
                if entry is not None:
                    return entry
        if sold.is_routed:
            return None
        if sold.origin in self._by_name:
            return self._by_name[sold.origin]
        names = (sold.name, *sold.aliases, *(upstream_model for _, upstream_model in sold.routes))
        return next((self._by_name[name] for name in _spellings(names) if name in self._by_name), None)

    def _of_provider(self, provider: str, name: str) -> Entry | None:
        for spelling in (f"{provider}/{name}", *_spellings((name,))):
            entry = self._by_name.get(spelling)
            if entry is not None and is_of(provider, entry):
                return entry
        return None


def is_of(provider: str, entry: Entry) -> bool:
    """Whether an entry is one of a provider's: the file adds endings, as in ``vertex_ai-language-models``."""
    theirs = entry.provider
    return theirs == provider or theirs.startswith((f"{provider}-", f"{provider}_converse", f"{provider}_chat"))


def public_name(entry: Entry) -> str:
    """What an entry would be sold as: its name without the provider's."""
    return entry.name.removeprefix(f"{entry.provider}/")


def _spellings(names: Iterable[str]) -> Iterator[str]:
    """A name, and without what stands before its slash."""
    for name in names:
        yield name
        if "/" in name:
            yield name.partition("/")[2]
