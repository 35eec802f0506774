"""Gemini's models, embeddings and images for sale in a town, and the check of what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx

from billing.meters import COMPLETION_CLASSES, COUNTERS, PARENT_CLASS, PROMPT_CLASSES
from tests.deadline import until
from tests.proxy.town import Town, bearer, by_class

#: USD per 1M tokens, each another, so that a token in a wrong class shows in the cost
PRICES = {"input": "1.00", "cache_read": "0.25", "output": "4.00", "reasoning": "6.00", "output_image": "30.00"}
PER_IMAGE = "0.04"
PICO = {name: int(Decimal(price) * 10**6) for name, price in PRICES.items()}
PICO_PER_IMAGE = int(Decimal(PER_IMAGE) * 10**12)
GEMINI_KINDS = (
    "echo", "tools", "tools-2", "thinking", "thinking-16", "reasoning", "cached", "json", "image-1290x2", "paced-20x20",
    "refusal", "recitation", "image-safety", "blocked", "malformed-call", "400", "401", "429-7", "503", "too-long",
    "html", "error200", "midstream-error-3", "truncated-3", "malformed-3", "no-usage", "zero-usage", "negative-usage",
    "usage-twice", "usage-each", "crlf", "comments", "split", "longline-1024",
)  # fmt: skip
UPSTREAM = """
[[upstreams]]
name = "{name}"
dialect = "gemini"
base_url = "{url}/gemini"
api_key = "{key}"
"""
DRAWS = 'capabilities = { input = ["text", "image"], output = ["text", "image"] }'


class Gallery:
    """A town with ``gemini/<kind>`` for chat, ``embed/<dialect>`` and ``draw/<dialect>``, ``draw/piece`` by the image.

    ``forged/echo`` is behind an upstream whose credential is wrong. Lost signatures are made up for
    ``gemini/thinking``, not for ``gemini/thinking-16``; the sandbox refuses calls without any.
    """

    def __init__(self, town: Town) -> None:
        self.town = town
        self.http = httpx.Client(base_url=town.product.web_url, timeout=30)

    def furnish(self) -> Gallery:
        """Offer them all."""
        parts = [
            UPSTREAM.format(name="gemini", url=self.town.sandbox.url, key="upstream-secret"),
            UPSTREAM.format(name="forged", url=self.town.sandbox.url, key="invalid-key"),
        ]
        for kind in GEMINI_KINDS:
            level = 'rules = { thinking = "level" }' if kind == "thinking" else 'rules = { thinking = "budget" }'
            parts.append(model(f"gemini/{kind}", "gemini", kind, DRAWS if kind.startswith("image") else "", level))
        parts.append(model("forged/echo", "forged", "echo"))
        for dialect in ("sandbox", "gemini"):
            rules = 'rules = { operations = ["embeddings"] }'
            parts.append(model(f"embed/{dialect}", dialect, "echo", rules))
            parts.append(model(f"embed/{dialect}/uncounted", dialect, "no-usage", rules))
            parts.append(model(f"draw/{dialect}", dialect, "image-700x1", DRAWS, IMAGES))
        parts.append(model("draw/piece", "sandbox", "no-usage", DRAWS, IMAGES) + f'per_image = "{PER_IMAGE}"\n')
        parts.append(model("draw/both", "gemini", "image-700x1", DRAWS) + f'per_image = "{PER_IMAGE}"\n')
        self.town.apply("\n".join(parts))
        key = self.town.key()
        until(lambda: all(self.town.fresh_get("/v1/models/draw/both", key).status_code == 200 for _ in range(8)))
        return self

    def close(self) -> None:
        """End what was started."""
        self.http.close()

    def post(self, path: str, key: str, **body: Any) -> httpx.Response:
        """A call on a path below ``/v1``."""
        return self.http.post("/v1" + path, json=body, headers=bearer(key))

    def check(self, request_id: str, *, per_image: int = 0) -> dict[str, Any]:
        """A call's tokens and cost are the sandbox's to the last unit; returns its row."""
        event = self.town.event(request_id)
        charge = self.town.charge("req_" + event["id"].hex[:24])
        assert charge is not None
        assert (event["state"], event["basis"]) == ("settled", "exact"), event
        counted = by_class(charge)
        assert {name: event[name] for name in COUNTERS} == counted, (event, charge)
        tokens = sum(PICO[priced_as(name)] * counted[name] for name in (*PROMPT_CLASSES, *COMPLETION_CLASSES))
        assert event["cost"] == tokens + per_image * counted["images"], (event, charge)
        return event


def priced_as(token_class: str) -> str:
    """The class whose price a class takes that has none of its own."""
    return token_class if token_class in PICO else priced_as(PARENT_CLASS[token_class])


IMAGES = 'rules = { operations = ["images", "chat"] }'


def model(name: str, upstream: str, kind: str, *more: str) -> str:
    """The TOML of a model, its price last."""
    lines = ["[[models]]", f'name = "{name}"', "context_window = 128000", "max_output_tokens = 4096", *more]
    lines.append(f'routes = [{{ upstream = "{upstream}", model = "sandbox/{kind}", priority = 1, weight = 1 }}]')
    prices = [f'{token} = "{price}"' for token, price in PRICES.items()]
    return "\n".join([*lines, "[models.price]", *prices, ""])
