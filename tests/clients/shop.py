"""A running product that sells the sandbox's models through every dialect, and the count of what was sold."""

from __future__ import annotations

import itertools
import ssl
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import dict_row

from billing.meters import COMPLETION_CLASSES, PARENT_CLASS, PROMPT_CLASSES
from proxy.dialects import DIALECTS
from tests.deadline import until
from tests.product import PRICES, Product
from tests.proxy.town import Town, bearer, by_class, tenant_toml

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
    return tuple(dialect for dialect in FACES if ("chat", dialect) in DIALECTS)


class Shop(Town):
    """Models are ``<dialect>/<kind>``: the sandbox's ``sandbox/<kind>`` behind an upstream of that dialect.

    Those named ``hasty-<dialect>/<kind>`` are aborted when the client hangs up; ``brief`` upstreams are waited for a
    second.
    """

    def __init__(self, product: Product) -> None:
        super().__init__(product)
        self.counted: set[UUID] = set()
        self.cut_off = 0  # calls a test cuts off, so that nobody has an exact count of them
        self.fresh_serial = itertools.count(1)
        self.trust = ssl.create_default_context()  # making one takes longer than a call
        self.stats = httpx.Client(base_url=self.sandbox.url, timeout=30)
        self.journal: psycopg.Connection[dict[str, Any]] = psycopg.connect(
            product.database_url, autocommit=True, row_factory=dict_row
        )

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
        self.watcher = self.key()
        return self

    def close(self) -> None:
        """End what was started."""
        self.stats.close()
        self.journal.close()
        super().close()

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

    def fresh(self, dialect: str, kind: str, prefix: str = "", **fields: Any) -> str:
        """A model with a route that no other test has worn out: routes that fail are rested for all."""
        serial = next(self.fresh_serial)
        name = f"{dialect}/{kind}@{serial}"
        if kind.startswith("flaky"):
            kind += f"x{serial}"  # the sandbox counts its failures by model
        self.apply(self.model(dialect, kind, name=name, prefix=prefix, **fields))
        until(lambda: all(self.fresh_get(f"/v1/models/{name}", self.watcher).status_code == 200 for _ in range(6)))
        return name

    def fresh_get(self, path: str, key: str) -> httpx.Response:
        """GET on a connection of its own."""
        return httpx.get(self.product.web_url + path, headers=bearer(key), timeout=10, verify=self.trust)

    def events(self, condition: str = "true", *values: Any) -> list[dict[str, Any]]:
        """Rows of the journal."""
        statement = f"SELECT * FROM billing_usageevent WHERE {condition}"  # noqa: S608 - conditions of tests
        return self.journal.execute(statement, values).fetchall()

    def charge(self, request_id: str) -> dict[str, Any] | None:
        """What the sandbox counted for a request."""
        answer = self.stats.get(f"/stats/{request_id}")
        return answer.json() if answer.status_code == 200 else None

    def held(self) -> int:
        """Everything that is held on any allowance."""
        [row] = self.journal.execute("SELECT coalesce(sum(held), 0) AS held FROM billing_allowance").fetchall()
        return int(row["held"])

    # -- the count

    def check_count(self) -> None:
        """Every call since the last count is settled at what the sandbox counted itself, and nothing stays held."""
        until(lambda: not self.events("state = 'open'"), seconds=30)
        found = self.events("id <> ALL(%s)", list(self.counted))
        self.counted |= {event["id"] for event in found}
        guessed = [event for event in found if event["state"] == "settled" and event["basis"] != "exact"]
        wanted, self.cut_off = self.cut_off, 0
        assert len(guessed) == wanted, guessed
        for event in found:
            if event["state"] == "voided":
                assert event["cost"] == 0
            elif event["basis"] == "exact":
                charge = self.charge("req_" + event["id"].hex[:24])
                assert charge is not None, event
                check_event(event, charge)
        assert self.held() == 0


def check_event(event: dict[str, Any], charge: dict[str, Any]) -> None:
    """One call's tokens and cost are the sandbox's, to the last unit."""
    assert event["prompt_tokens"] == charge["prompt_tokens"], (event, charge)
    assert event["completion_tokens"] == charge["completion_tokens"], (event, charge)
    counted = by_class(charge)
    assert {name: event[name] for name in counted} == counted, (event, charge)
    cost = sum(PICO_PER_TOKEN[priced_as(name)] * counted[name] for name in (*PROMPT_CLASSES, *COMPLETION_CLASSES))
    assert event["cost"] == cost, (event, charge)


def priced_as(token_class: str) -> str:
    """The class whose price a class takes that has none of its own."""
    return token_class if token_class in PICO_PER_TOKEN else priced_as(PARENT_CLASS[token_class])
