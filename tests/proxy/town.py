"""A running product with things for sale and tenants to call it, for the gateway's tests."""

from __future__ import annotations

import itertools
import json
import secrets
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import psycopg
from psycopg.rows import dict_row

from billing.meters import COMPLETION_CLASSES, PROMPT_CLASSES
from proxy.sandbox.replay import NAMES
from tests.control import Control
from tests.deadline import until
from tests.product import Product

KINDS = (
    "echo", "paced-20x20", "paced-100x200", "paced-400x10", "paced-3000x2", "fixed", "tools", "reasoning", "cached",
    "json", "400", "401", "429-2", "500", "503", "529", "html", "html200", "error200", "redirect", "timeout",
    "slow-1500", "flaky-1", "drop-3", "truncated-3", "midstream-error-3", "malformed-3", "no-usage", "zero-usage",
    "negative-usage", "huge-usage", "usage-twice", "usage-each", "crlf", "comments", "split", "longline-1024",
    "fixed-0x20", "fixed-0x100", "fixed-0x500", "reasoning-7", "paced-30x20",
)  # fmt: skip
ALIASED = """
[[models]]
name = "acme/talker@2026-01"
aliases = ["talker", "acme.talker-latest"]
context_window = 128000
max_output_tokens = 4096
routes = [{ upstream = "sandbox", model = "sandbox/echo", priority = 1, weight = 1 }]
[models.price]
input = "1.00"
output = "4.00"
[[models]]
name = "unpriced"
context_window = 128000
max_output_tokens = 4096
routes = [{ upstream = "sandbox", model = "sandbox/echo", priority = 1, weight = 1 }]
[[models]]
name = "unrouted"
context_window = 128000
max_output_tokens = 4096
routes = []
[models.price]
input = "1.00"
output = "4.00"
"""
UPSTREAMS = """
[[upstreams]]
name = "sandbox"
dialect = "openai"
base_url = "{url}/v1"
api_key = "upstream-secret"
first_byte_timeout_s = 3
[[upstreams]]
name = "hasty"
dialect = "openai"
base_url = "{url}/v1"
api_key = "upstream-secret"
disconnect_policy = "cancel"
idle_timeout_s = 30
[[upstreams]]
name = "nowhere"
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "upstream-secret"
"""


class Town:
    """The product, its tenants and their keys."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.control = Control(product)
        self.sandbox = product.sandbox
        self.http = httpx.Client(base_url=product.web_url, timeout=30)
        self._serial = itertools.count(1)

    def furnish(self) -> Town:
        """Offer every kind of sandbox model, and make a postpaid tenant."""
        parts = [UPSTREAMS.format(url=self.sandbox.url), *map(self.product.model_toml, KINDS), ALIASED]
        for kind in ("paced-400x10", "paced-100x200"):
            parts.append(self.product.model_toml(kind, "hasty").replace('"sandbox/', '"hasty/', 1))
        self.apply("\n".join([*parts, tenant_toml("acme")]))
        return self

    def close(self) -> None:
        """End what was started."""
        self.http.close()
        self.control.stop()

    # -- the control plane

    def apply(self, text: str) -> str:
        """``manage.py apply``."""
        path = self.product.folder / f"{secrets.token_hex(4)}.toml"
        path.write_text(text)
        return self.control.manage("apply", str(path))

    def tenant(self, **fields: str) -> str:
        """A new tenant; returns its slug."""
        slug = f"tenant-{next(self._serial)}"
        self.apply(tenant_toml(slug, **fields))
        return slug

    def issue(self, *options: str, tenant: str = "acme") -> dict[str, str]:
        """A new key that every gateway process knows: its id and text."""
        issued: dict[str, str] = json.loads(self.control.manage("issue_key", "--tenant", tenant, *options, "--json"))
        until(lambda: self.known_everywhere(issued["key"]))
        return issued

    def key(self, *options: str, tenant: str = "acme") -> str:
        """The text of a new key."""
        return self.issue(*options, tenant=tenant)["key"]

    def known_everywhere(self, key: str) -> bool:
        """Whether several connections, and so in all likelihood all processes, accept a key."""
        return all(self.fresh_get("/v1/models/talker", key).status_code != 401 for _ in range(8))

    def fresh_get(self, path: str, key: str) -> httpx.Response:
        """GET on a connection of its own."""
        return httpx.get(self.product.web_url + path, headers=bearer(key), timeout=10)

    # -- calls

    def post(self, key: str, model: str = "sandbox/echo", text: str = "Hello there", **fields: Any) -> httpx.Response:
        """One chat completion on a kept connection."""
        return self.http.post("/v1/chat/completions", json=body(model, text, **fields), headers=bearer(key))

    def parallel(self, number: int, key: str, model: str, **fields: Any) -> list[httpx.Response]:
        """Calls at once, each on a connection of its own."""

        def call(_: int) -> httpx.Response:
            return httpx.post(
                self.product.base_url + "/chat/completions",
                json=body(model, **fields),
                headers=bearer(key),
                timeout=60,
            )

        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(call, range(number)))

    def client(self, key: str, **options: Any) -> openai.OpenAI:
        """The SDK."""
        return self.product.client(key, **options)

    def raw(self, *sent: bytes, until_end: bytes = b"") -> bytes:
        """What the server answers to bytes, until it closes, or has sent ``until_end``."""
        with socket.create_connection(("127.0.0.1", self.product.options.port), timeout=15) as connection:
            for part in sent:
                connection.sendall(part)
            return receive(connection, until_end)

    # -- the books

    def event(self, request_id: str) -> dict[str, Any]:
        """The settled row of a request."""
        rows: list[dict[str, Any]] = []

        def ended() -> bool:
            rows[:] = self.events("id = %s::uuid", uuid_of(request_id))
            return bool(rows) and rows[0]["state"] != "open"

        until(ended)
        return rows[0]

    def events(self, condition: str = "true", *values: Any) -> list[dict[str, Any]]:
        """Rows of the journal."""
        with psycopg.connect(self.product.database_url, row_factory=dict_row) as connection:
            statement = f"SELECT * FROM billing_usageevent WHERE {condition}"  # noqa: S608 - conditions of tests
            return connection.execute(statement, values).fetchall()

    def charge(self, request_id: str) -> dict[str, Any] | None:
        """What the sandbox counted for a request."""
        answer = httpx.get(f"{self.sandbox.url}/stats/{request_id}")
        return answer.json() if answer.status_code == 200 else None

    def held(self) -> int:
        """Everything that is held on any allowance."""
        return int(self.product.query("SELECT coalesce(sum(held), 0) FROM billing_allowance")[0][0])

    def books(self) -> dict[str, Any]:
        """``check_books``; fails on a difference."""
        until(lambda: not self.events("state = 'open'"), seconds=60)
        checked: dict[str, Any] = json.loads(self.control.manage("check_books", "--json"))
        return checked


def by_class(charge: dict[str, Any]) -> dict[str, int]:
    """What the sandbox counted of a call, by token class and surcharge: input and output are what is left of totals."""
    counted = {name: charge[counter] for name, counter in NAMES.items()}
    counted["input"] = charge["prompt_tokens"] - sum(counted[name] for name in PROMPT_CLASSES[1:])
    counted["output"] = charge["completion_tokens"] - sum(counted[name] for name in COMPLETION_CLASSES[1:])
    return counted


def tenant_toml(slug: str, **fields: str) -> str:
    """A postpaid tenant with 1,000 USD of credit unless ``fields`` say otherwise."""
    given = {"name": slug, "billing": "postpaid", **fields}
    if given["billing"] == "postpaid":
        given.setdefault("credit_limit", "1000.00")
    lines = "\n".join(f'{name} = "{value}"' for name, value in given.items())
    return f'[[tenants]]\nslug = "{slug}"\n{lines}\n'


def bearer(key: str) -> dict[str, str]:
    """The header of a key."""
    return {"authorization": f"Bearer {key}"}


def body(model: str = "sandbox/echo", text: str = "Hello there", **fields: Any) -> dict[str, Any]:
    """A chat completion."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def uuid_of(request_id: str) -> str:
    """The journal's id of what an answer or header shows."""
    return request_id.removeprefix("req_").removeprefix("chatcmpl-") + "00000000"


def chunks(text: str) -> list[dict[str, Any]]:
    """The JSON events of a stream."""
    data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


def text_of(events: Sequence[dict[str, Any]]) -> str:
    """What a stream of one choice said."""
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event.get("choices", ()))


def receive(connection: socket.socket, until_end: bytes = b"") -> bytes:
    """All bytes until the peer closes, or those up to ``until_end``."""
    received = b""
    while not (until_end and until_end in received):
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        received += part
    return received
