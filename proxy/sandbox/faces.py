"""The faces of the sandbox besides OpenAI's chat completions, by the beginning of their paths."""

from __future__ import annotations

from proxy.sandbox.anthropic.face import Anthropic
from proxy.sandbox.gemini.face import Gemini
from proxy.sandbox.likeness.azure import Azure
from proxy.sandbox.likeness.deepseek import DeepSeek
from proxy.sandbox.likeness.face import Likeness
from proxy.sandbox.likeness.local import VLLM, Ollama
from proxy.sandbox.likeness.mistral import Mistral
from proxy.sandbox.likeness.openrouter import OpenRouter
from proxy.sandbox.likeness.xai import XAI
from proxy.sandbox.others import Others
from proxy.sandbox.voices import Face

STYLES = {
    "/deepseek/v1": DeepSeek(),
    "/vllm/v1": VLLM(),
    "/ollama/v1": Ollama(),
    "/openrouter/api/v1": OpenRouter(),
    "/mistral/v1": Mistral(),
    "/xai/v1": XAI(),
}
FACES: dict[str, Face] = {
    "/v1/embeddings": Others(),
    "/v1/images/generations": Others(),
    "/anthropic/": Anthropic(),
    "/gemini/": Gemini(),
    "/azure/": Azure(),
    **{prefix + "/": Likeness(prefix, style) for prefix, style in STYLES.items()},
}


def of(path: str) -> Face | None:
    """The face a path belongs to."""
    return next((face for prefix, face in FACES.items() if path.startswith(prefix)), None)
