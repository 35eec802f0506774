"""The faces of the sandbox besides OpenAI's chat completions, by path."""

from __future__ import annotations

from proxy.sandbox.anthropic.face import Anthropic
from proxy.sandbox.gemini.face import Gemini
from proxy.sandbox.voices import Face

FACES: dict[str, Face] = {
    "/anthropic/": Anthropic(),
    "/gemini/": Gemini(),
}


def of(path: str) -> Face | None:
    """The face a path belongs to."""
    return next((face for prefix, face in FACES.items() if path.startswith(prefix)), None)
