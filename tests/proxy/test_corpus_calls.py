"""Everything that upstreams were seen to send, through the whole product: the same words, usage and bill."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from billing.meters import COUNTERS, TOKEN_CLASSES, Usage
from proxy.sandbox.replay import Case, load
from tests.conftest import SERVERS
from tests.deadline import until
from tests.product import Product
from tests.proxy.corpus_case import CORPUS, Got, cases, check, heard, said
from tests.proxy.town import Town, bearer, body, tenant_toml
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.timeout(300)
BASES = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini"}
#: USD per million of each class, all of them different, and for each search
PRICES = dict(zip(TOKEN_CLASSES, (1, 2, 3, 5, 7, 11, 13, 17, 19, 23), strict=True))
PER_SEARCH = "0.01"
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A product whose sandbox replays the corpus, every case a model of its own."""
    folder = tmp_path_factory.mktemp("corpus")
    product = Product(SERVERS, folder, workers=1, variables={"TOLLGATE_ALLOW_PRIVATE_UPSTREAMS": "1"})
    product.sandbox = SandboxProcess(folder / "sandbox", "--replays", str(CORPUS))
    try:
        product.start()
        town = Town(product)
        town.apply("\n".join([*upstreams(product.sandbox.url), *map(offer, every_case()), tenant_toml("acme")]))
        yield town
        town.close()
    finally:
        product.stop()


@pytest.fixture(scope="module")
def client_key(corpus: Town) -> str:
    """A key without limits, once everything is on sale."""
    issued: str = corpus.product.issue_key("acme")["key"]
    until(lambda: corpus.fresh_get("/v1/models", issued).status_code == 200)
    return issued


def every_case() -> list[tuple[str, Path]]:
    """Those that go well first: what breaks an upstream's circuit comes last."""
    return sorted(cases(".sse") + cases(".txt"), key=lambda case: breaks(load(case[1])))


def breaks(case: Case) -> bool:
    """Whether the case is a failure, or may be one."""
    return bool(case.told.get("failure") or case.told.get("any_failure"))


def upstreams(url: str) -> Iterator[str]:
    """The sandbox in every dialect, and once more for what breaks."""
    for dialect, base in BASES.items():
        for name in (dialect, f"{dialect}-broken"):
            yield f'[[upstreams]]\nname = "{name}"\ndialect = "{dialect}"\nbase_url = "{url}{base}"\napi_key = "k"\n'


def offer(case: tuple[str, Path]) -> str:
    """A case as a model, cut by a seed of its own."""
    dialect, path = case
    upstream = f"{dialect}-broken" if breaks(load(path)) else dialect
    model = f"replay-{path.stem}.{1 + zlib.crc32(path.stem.encode()) % 1000}"
    lines = ["[[models]]", f'name = "{path.stem}"', "context_window = 400000", "max_output_tokens = 300000"]
    lines += [
        f'routes = [{{ upstream = "{upstream}", model = "{model}", priority = 1, weight = 1 }}]',
        "[models.price]",
    ]
    searches = f'per_web_search = "{PER_SEARCH}"'
    return "\n".join([*lines, *(f'{name} = "{price}"' for name, price in PRICES.items()), searches])


@pytest.mark.parametrize(("dialect", "path"), every_case(), ids=lambda value: getattr(value, "stem", value))
def test_a_client_gets_it_and_the_tenant_pays_for_it(corpus: Town, client_key: str, dialect: str, path: Path) -> None:
    case = load(path)
    long = len(case.data) > 100_000  # what goes on beyond the limit is cut
    fields: dict[str, Any] = {"stream": case.streamed, "max_tokens": 300_000 if long else 100}
    if case.told.get("choices", 1) > 1:
        fields["n"] = case.told["choices"]
    answer = corpus.http.post("/v1/chat/completions", json=body(path.stem, "Hi", **fields), headers=bearer(client_key))
    got = heard_by_http(answer, streamed=case.streamed)
    row = corpus.event(answer.headers["x-request-id"])
    if got.failed:
        assert breaks(case), answer.text
        assert answer.status_code in (200, 502, 503)
    else:
        got.usage = Usage(*(row[name] for name in COUNTERS)) if row["basis"] == "exact" else None
        check(case, got)
        assert row["state"] == "settled"
        tokens = sum(row[name] * price * 10**6 for name, price in PRICES.items())
        assert row["cost"] == tokens + row["web_searches"] * 10**10 > 0
    assert corpus.held() == 0


def heard_by_http(answer: httpx.Response, *, streamed: bool) -> Got:
    """The answer as a client reads it."""
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
        return Got(failed=True)
    if not streamed:
        return said(answer.json())
    out = answer.content
    if not out.endswith(DONE):
        last = out.rstrip(b"\n").rpartition(b"\n\n")[2]
        assert last.startswith(b'data: {"error":{')
        return dataclasses.replace(heard(out[: out.rindex(last)]), failed=True)
    return heard(out.removesuffix(DONE))


def test_the_books_agree_after_all_of_it(corpus: Town, client_key: str) -> None:
    assert corpus.books()
