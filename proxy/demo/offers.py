"""What a fresh installation sells: the sandbox's models, and real ones where the environment holds a key."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from portal import environment
from proxy.apply import run
from proxy.apply.document import Document, ModelPart, PricePart, RoutePart, UpstreamPart, parse
from proxy.models import Model, ModelAlias, Upstream
from proxy.sandbox.behaviour import DEFAULTS

SEEDS = Path(__file__).resolve().parent.parent / "seeds"
PROVIDERS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
SANDBOX = "sandbox"
KEY = "sandbox-key"  # any will do: the sandbox only wants one
FIRST_MODEL = "sandbox/echo"
#: The sandbox costs what a small model costs: 0.15, 0.075 and 0.60 USD per 1M tokens.
SANDBOX_PRICE = PricePart({"input": 150_000, "cache_read": 75_000, "output": 600_000}, None)
ALIASES = {FIRST_MODEL: ("echo", "sandbox/echo@1")}
PACED = "sandbox/paced-200x10"
#: upstream → its dialect, and the sandbox's path that speaks it
FACES = {
    SANDBOX: ("openai", "/v1"),
    "sandbox-anthropic": ("anthropic", "/anthropic"),
    "sandbox-gemini": ("gemini", "/gemini"),
}
#: model → upstream, the sandbox's kind, and what it does besides answering text
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sandbox/claude": ("sandbox-anthropic", "sandbox/echo", {}),
    "sandbox/claude-tools": ("sandbox-anthropic", "sandbox/thinking", {}),
    "sandbox/gemini": ("sandbox-gemini", "sandbox/echo", {}),
    "sandbox/gemini-tools": ("sandbox-gemini", "sandbox/thinking", {}),
    "sandbox/gemini-image": (
        "sandbox-gemini",
        "sandbox/image",
        {"capabilities": {"output": ["text", "image"]}, "rules": {"operations": ["chat", "images"]}},
    ),
    "sandbox/embedding": (SANDBOX, "sandbox/echo", {"rules": {"operations": ["embeddings"]}}),
}


def offer(*, sandbox_url: str, now: datetime) -> list[str]:
    """Add what is missing and keep what is there, prices above all; only the sandbox's address follows its process.

    Returns what changed, as ``apply`` tells it.
    """
    lines = run.apply(_missing(_sandbox(sandbox_url), keep=frozenset(FACES)), now=now, sandbox_url=sandbox_url)
    for name, variable in PROVIDERS.items():
        if environment.variable(variable):
            document = parse((SEEDS / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
            lines += run.apply(_missing(_listed(document)), now=now)
    return lines


def _sandbox(url: str) -> Document:
    base = url.rstrip("/").removesuffix("/v1")
    upstreams = tuple(
        UpstreamPart(name, dialect, base + path, KEY, None, {}) for name, (dialect, path) in FACES.items()
    )
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        name: (SANDBOX, name, {}) for name in [*(f"sandbox/{kind}" for kind in DEFAULTS), PACED]
    }
    models = tuple(
        ModelPart(
            name=name,
            settings={"context_window": 128_000, "max_output_tokens": 16_384, **more},
            aliases=ALIASES.get(name, ()),
            routes=(RoutePart(upstream, kind, 1, 1),),
            price=SANDBOX_PRICE,
        )
        for name, (upstream, kind, more) in (kinds | OTHERS).items()
    )
    return Document("sandbox", upstreams=upstreams, models=models)


def _listed(document: Document) -> Document:
    """With list prices that are nobody's own: an import may bring them up to date."""
    return replace(
        document,
        models=tuple(
            replace(model, price=replace(model.price, source="import") if model.price else None)
            for model in document.models
        ),
    )


def _missing(document: Document, keep: frozenset[str] = frozenset()) -> Document:
    """The parts that are not there yet: a later start must not undo what the operator changed since."""
    upstreams = set(Upstream.objects.values_list("name", flat=True))
    models = set(Model.objects.values_list("name", flat=True))
    names = models | set(ModelAlias.objects.values_list("name", flat=True))
    return replace(
        document,
        upstreams=tuple(u for u in document.upstreams if u.name not in upstreams or u.name in keep),
        models=tuple(
            replace(model, aliases=tuple(alias for alias in model.aliases or () if alias not in names))
            for model in document.models
            if model.name not in names
        ),
    )
