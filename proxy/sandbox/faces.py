"""The faces of the sandbox besides OpenAI's chat completions, by the beginning of their paths."""

from __future__ import annotations

from proxy.sandbox.anthropic.face import Anthropic
from proxy.sandbox.failures import Failure
from proxy.sandbox.gemini.face import Gemini
from proxy.sandbox.likeness.azure import Azure
from proxy.sandbox.likeness.deepseek import DeepSeek
from proxy.sandbox.likeness.face import Likeness
from proxy.sandbox.likeness.local import VLLM, Ollama
from proxy.sandbox.likeness.mistral import Mistral
from proxy.sandbox.likeness.openrouter import OpenRouter
from proxy.sandbox.likeness.xai import XAI
from proxy.sandbox.others import Others
from proxy.sandbox.voices import Face, Refusal
from proxy.sandbox.wire import Request

STYLES = {
    "/deepseek/v1": DeepSeek(),
    "/vllm/v1": VLLM(),
    "/ollama/v1": Ollama(),
    "/openrouter/api/v1": OpenRouter(),
    "/mistral/v1": Mistral(),
    "/xai/v1": XAI(),
}
LISTING: dict[str, Anthropic | Gemini | Likeness] = {
    "/anthropic/": Anthropic(),
    "/gemini/": Gemini(),
    "/azure/": Azure(),
    **{prefix + "/": Likeness(prefix, style) for prefix, style in STYLES.items()},
}
FACES: dict[str, Face] = {"/v1/embeddings": Others(), "/v1/images/generations": Others(), **LISTING}


def of(path: str) -> Face | None:
    """The face a path belongs to."""
    return next((face for prefix, face in FACES.items() if path.startswith(prefix)), None)


def models(request: Request) -> Failure | None:
    """The list of models in the words of the face that a path belongs to."""
    face = next((face for prefix, face in LISTING.items() if request.path.startswith(prefix)), None)
    if face is None or request.method != "GET" or not request.path.endswith("/models"):
        return None
    try:
        return face.models(request)
    except Refusal as refusal:
        return refusal.failure
