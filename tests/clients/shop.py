"""A running product that sells the sandbox's models through every dialect, and the count of what was sold."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any
from uuid import UUID

from proxy.dialects import DIALECTS
from tests.deadline import until
from tests.product import PRICES
from tests.proxy.town import Town, tenant_toml

#: dialect → the base path of the sandbox's face that speaks it
FACES = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini"}
KINDS = ("echo", "fixed", "tools", "reasoning", "cached", "json", "paced-100x10", "midstream-error-3", "timeout")
#: Anthropic gives one answer and no probabilities: n is refused, logprobs are left out.
ONE_ANSWER = {"anthropic"}
#: A context window that 5 MB of text fit into.
CONTEXT_WINDOW = 8_000_000
PICO_PER_TOKEN = {name: int(Decimal(price) * 10**6) for name, price in PRICES.items()}


def spoken() -> tuple[str, ...]:
    """The dialects of chat that this gateway speaks and the sandbox has a face for, OpenAI's first."""
    known = {name for key in DIALECTS for name in ([key] if isinstance(key, str) else [key[1]])}
    return tuple(dialect for dialect in FACES if dialect in known)


class Shop(Town):
    """Models are ``<dialect>/<kind>``: the sandbox's ``sandbox/<kind>`` behind an upstream of that dialect.

    Those named ``hasty-<dialect>/<kind>`` are aborted when the client hangs up; ``brief`` upstreams are waited for a
    second.
    """

    def furnish(self) -> Shop:
        """Offer every kind in every dialect, and make a postpaid tenant."""
        parts = [tenant_toml("acme")]
        for dialect in spoken():
            parts.append(self.upstream(dialect))
            parts += [self.model(dialect, kind) for kind in KINDS]
            parts.append(self.upstream(dialect, "hasty", 'disconnect_policy = "cancel"'))
            parts.append(self.model(dialect, "paced-100x10", prefix="hasty"))
            parts.append(self.upstream(dialect, "brief", "first_byte_timeout_s = 1"))
        self.apply("\n".join(parts))
        self.counted: set[UUID] = set()
        self.cut_off = 0  # calls a test cuts off, so that nobody has an exact count of them
        self.fresh_serial = itertools.count(1)
        return self

    def upstream(self, dialect: str, prefix: str = "", *more: str) -> str:
        """The TOML of the sandbox as an upstream of a dialect."""
        name = "-".join(filter(None, (prefix, dialect)))
        address = self.sandbox.url + FACES[dialect]
        lines = ["[[upstreams]]", f'name = "{name}"', f'dialect = "{dialect}"', f'base_url = "{address}"']
        return "\n".join([*lines, 'api_key = "upstream-secret"', *more, ""])

    def model(self, dialect: str, kind: str, *, name: str = "", prefix: str = "", **fields: Any) -> str:
        """The TOML of a model with a route and a price; ``fields`` are more of its fields."""
        upstream = "-".join(filter(None, (prefix, dialect)))
        settings = {"context_window": CONTEXT_WINDOW, "max_output_tokens": 4096, **fields}
        lines = ["[[models]]", f'name = "{name or f"{upstream}/{kind}"}"']
        lines += [f"{field} = {value}" for field, value in settings.items()]
        lines.append(f'routes = [{{ upstream = "{upstream}", model = "sandbox/{kind}", priority = 1, weight = 1 }}]')
        prices = [f'{token} = "{price}"' for token, price in PRICES.items()]
        return "\n".join([*lines, "[models.price]", *prices, ""])

    def fresh(self, dialect: str, kind: str, prefix: str = "") -> str:
        """A model with a route that no other test has worn out: routes that fail are rested for all."""
        name = f"{dialect}/{kind}@{next(self.fresh_serial)}"
        self.apply(self.model(dialect, kind, name=name, prefix=prefix))
        key = self.key()
        until(lambda: all(self.fresh_get(f"/v1/models/{name}", key).status_code == 200 for _ in range(8)))
        return name

    # -- the count

    def check_count(self) -> None:
        """Every call since the last count is settled at what the sandbox counted itself, and nothing stays held."""
        until(lambda: not self.events("state = 'open'"), seconds=30)
        found = self.events("id <> ALL(%s)", list(self.counted))
        self.counted |= {event["id"] for event in found}
        guessed = [event for event in found if event["state"] == "settled" and event["basis"] != "exact"]
        assert len(guessed) == self.cut_off, guessed
        self.cut_off = 0
        charges = self.sandbox.stats()["detail"]
        for event in found:
            if event["state"] == "voided":
                assert event["cost"] == 0
            elif event["basis"] == "exact":
                check_event(event, charges["req_" + event["id"].hex[:24]])
        assert self.held() == 0


def check_event(event: dict[str, Any], charge: dict[str, Any]) -> None:
    """One call's tokens and cost are the sandbox's, to the last unit."""
    assert event["prompt_tokens"] == charge["prompt_tokens"], (event, charge)
    assert event["completion_tokens"] == charge["completion_tokens"], (event, charge)
    assert event["cache_read"] == charge["cached_tokens"], (event, charge)
    assert event["reasoning"] == charge["reasoning_tokens"], (event, charge)
    written = charge.get("cache_write_tokens", 0)
    fresh = charge["prompt_tokens"] - charge["cached_tokens"]
    assert event["input"] + event["cache_write_5m"] + event["cache_write_1h"] == fresh, (event, charge)
    assert event["cache_write_5m"] + event["cache_write_1h"] == written, (event, charge)
    spoken = charge["completion_tokens"] - charge["reasoning_tokens"]
    amounts = {"input": fresh, "cache_read": charge["cached_tokens"], "output": spoken}
    amounts["reasoning"] = charge["reasoning_tokens"]
    assert event["cost"] == sum(PICO_PER_TOKEN[name] * tokens for name, tokens in amounts.items()), (event, charge)
