"""Any bytes in bodies, headers and paths: an answer or a refusal, never a 500, and every token is in the books."""

from __future__ import annotations

import gzip
import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deadline import until
from tests.proxy.test_raw_http import DATA, Answer, ask, chunked, head, parsed
from tests.proxy.town import Town

pytestmark = pytest.mark.timeout(300)

SPOKEN = {"anthropic": "/anthropic", "gemini": "/gemini"}
MODELS = ["sandbox/echo", *(f"{dialect}/odd" for dialect in SPOKEN)]
OFFER = """
[[upstreams]]
name = "{dialect}-odd"
dialect = "{dialect}"
base_url = "{url}"
api_key = "upstream-secret"
[[models]]
name = "{dialect}/odd"
context_window = 128000
max_output_tokens = 4096
routes = [{{ upstream = "{dialect}-odd", model = "sandbox/echo", priority = 1, weight = 1 }}]
[models.price]
input = "1.00"
output = "4.00"
"""

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PARAMETERS = """
model messages stream stream_options temperature n max_tokens stop user tools tool_choice logit_bias metadata
response_format seed reasoning_effort functions logprobs top_logprobs modalities x é
"""
HEADERS = """
content-type content-encoding accept accept-encoding x-api-key api-key origin cookie x-run-id x-run-budget
x-max-cost idempotency-key x-stainless-timeout openai-organization x-request-id range te authorization
"""

WORDS = """
system content type text source data media_type tool_use tool_result tool_use_id input id thinking signature
budget_tokens stop_sequences prompt size quality encoding_format dimensions instructions output previous_response_id
"""

names = st.sampled_from([*PARAMETERS.split(), "\0"])
texts = st.text(max_size=20) | st.sampled_from(["sandbox/echo", "talker", "\0", "\ud800", "user", "tool", "text"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module", autouse=True)
def _every_dialect(town: Town) -> None:
    """The echo behind each of the other dialects."""
    for dialect, path in SPOKEN.items():
        town.apply(OFFER.format(dialect=dialect, url=town.sandbox.url + path))
    key = town.key()
    until(lambda: all(town.post(key, model).status_code == 200 for model in MODELS))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good body with some bytes replaced."""
    start = draw(st.integers(0, len(DATA)))
    return DATA[:start] + draw(st.binary(max_size=6)) + DATA[start + draw(st.integers(0, 6)) :]


@st.composite
def extended(draw: st.DrawFn) -> bytes:
    """A good body with members of any type and value."""
    extra = draw(st.dictionaries(names, trees, max_size=3))
    kept = (
        json.loads(DATA)
        | {"model": draw(st.sampled_from(MODELS))}
        | (extra if draw(st.booleans()) else {"messages": [{"role": "user", "content": extra}]})
    )
    return json.dumps(kept).encode()


@st.composite
def foreign(draw: st.DrawFn) -> tuple[str, bytes]:
    """What other endpoints take, with members of any type and value."""
    good: dict[str, dict[str, object]] = {
        "/v1/messages": {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello there"}]},
        "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "Hello there"}]},
        "/v1/responses": {"input": "Hello there"},
        "/v1/embeddings": {"input": ["Hello", "there"]},
        "/v1/images/generations": {"prompt": "A hill"},
        "/v1/estimate": {"messages": [{"role": "user", "content": "Hello there"}]},
        "/api/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello there"}]},
    }
    path = draw(st.sampled_from(sorted(good)))
    blocks = st.dictionaries(names | st.sampled_from(WORDS.split()), trees, max_size=4) | trees
    extra = draw(
        st.dictionaries(names | st.sampled_from(WORDS.split()), st.lists(blocks, max_size=3) | trees, max_size=3)
    )
    return path, json.dumps({"model": draw(st.sampled_from(MODELS))} | good[path] | extra).encode()


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Messages whose members are anything."""
    parts = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "text", "image_url", "file"), trees))
    members = {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "developer", "function"]) | trees,
        "content": texts | st.lists(parts, max_size=3) | trees,
        "tool_calls": trees | st.lists(st.dictionaries(st.sampled_from(["id", "type", "function"]), trees), max_size=2),
        "tool_call_id": texts,
    }
    messages = draw(st.lists(st.fixed_dictionaries({}, optional=members), max_size=3))
    model = draw(st.sampled_from(MODELS))
    return json.dumps({"model": model, "stream": draw(st.booleans()), "messages": messages}).encode()


bodies = st.binary(max_size=200) | damaged() | extended() | conversations()
tokens = st.text(string.ascii_letters + string.digits + "-_.!#$", min_size=1, max_size=12)
values = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte >= 32 and byte != 127))
known = st.sampled_from(HEADERS.split())
lines = st.lists(st.tuples(known | tokens, values), max_size=4)


def lawful(answer: Answer, key: str) -> None:
    """An answer or a refusal that says why, without the key in it."""
    assert answer.status == 200 or 400 <= answer.status < 500, answer
    assert key.encode() not in answer.body
    if answer.status != 200 and answer.body:
        assert answer.error["message"]


def settled(town: Town, answer: Answer) -> None:
    """What the upstream counted for a call is what its event says, to the token."""
    if answer.status == 200 and "x-tollgate-upstream" in answer.headers:
        number = answer.headers["x-request-id"]
        event, charge = town.event(number), town.charge(number)
        assert charge is not None
        counted = charge["prompt_tokens"], charge["completion_tokens"]
        assert (event["state"], event["prompt_tokens"], event["completion_tokens"]) == ("settled", *counted)


def balanced(town: Town) -> None:
    """Nothing is open, nothing held, and every sum agrees."""
    until(lambda: town.held() == 0)
    assert town.books()


def test_odd_bodies(town: Town, key: str) -> None:
    @QUICK
    @given(data=bodies, pieces=st.none() | st.integers(1, 50), packed=st.booleans())
    def try_one(data: bytes, pieces: int | None, packed: bool) -> None:
        sent = head(key) + b"connection: close\r\n"
        if packed:
            data, sent = gzip.compress(data, 1), sent + b"content-encoding: gzip\r\n"
        if pieces is None:
            answer = parsed(town.raw(sent + b"content-length: %d\r\n\r\n%s" % (len(data), data)))
        else:
            framed = chunked(data, pieces) + b"0\r\n\r\n"
            answer = parsed(town.raw(sent + b"transfer-encoding: chunked\r\n\r\n" + framed))
        lawful(answer, key)
        settled(town, answer)

    try_one()
    balanced(town)


def test_odd_calls_of_other_endpoints(town: Town, key: str) -> None:
    @QUICK
    @given(call=foreign())
    def try_one(call: tuple[str, bytes]) -> None:
        path, data = call
        top = head(key, path) + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(data)
        answer = parsed(town.raw(top + data))
        assert answer.status == 200 or 400 <= answer.status < 500, answer
        settled(town, answer)

    try_one()
    balanced(town)


def test_odd_headers(town: Town, key: str) -> None:
    @QUICK
    @given(sent=lines)
    def try_one(sent: list[tuple[str, bytes]]) -> None:
        given = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in sent)
        top = head(key) + given + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(DATA)
        answer = parsed(town.raw(top + DATA))
        lawful(answer, key)
        settled(town, answer)

    try_one()
    balanced(town)


def test_odd_paths(town: Town, key: str) -> None:
    starts = st.sampled_from(["/v1/", "/V1/models/", "/api/v1/", "/openai/deployments/", "//", "/v1/v1/", "/models"])
    marks = st.text("/%.?;:@&=+$,~*'()!aZ09", max_size=12) | st.binary(max_size=6).map(quoted)

    @QUICK
    @given(start=starts, rest=marks, end=st.sampled_from(["", "/chat/completions"]))
    def try_one(start: str, rest: str, end: str) -> None:
        answer = ask(town, head(key, start + rest + end) + b"content-length: %d\r\n\r\n" % len(DATA), DATA)
        lawful(answer, key)
        assert "location" not in answer.headers

    try_one()
    balanced(town)


def quoted(data: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in data)
