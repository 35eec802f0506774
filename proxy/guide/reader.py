"""Who reads the guide: the addresses and names that its examples are filled in with. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ORIGINS = ("http://127.0.0.1:8000", "https://llm.example.com")
CHAT_MODELS = ("sandbox/echo", "sandbox/claude-tools", "sandbox/claude", "sandbox/gemini-tools")
"""The models of examples, which run on the sandbox, that any chat model can stand in for."""
NAMED_MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5")


@dataclass(frozen=True, slots=True)
class Reader:
    """``origin`` is where this gateway is reached; the models are those to show, empty for the examples' own.

    ``key`` is what stands for an API key.
    """

    origin: str
    model: str = ""
    embedding: str = ""
    image: str = ""
    key: str = "sk-tg-…"

    def fill(self, code: str) -> str:
        """An example as this reader would type it."""
        code = code.replace("export TOLLGATE=http://127.0.0.1:8000 KEY=sk-tg-…", self._exported())
        for origin in ORIGINS:
            code = code.replace(origin, self.origin)
        for names, mine in ((CHAT_MODELS, self.model), (NAMED_MODELS, self.model)):
            for name in names if mine else ():
                code = code.replace(name, mine)
        if self.embedding:
            code = code.replace("sandbox/embedding", self.embedding)
        return code.replace("sandbox/gemini-image", self.image) if self.image else code

    def _exported(self) -> str:
        return f"export TOLLGATE={self.origin} KEY={self.key}"
