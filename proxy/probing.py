"""One probe of a route: three fixed prompts in its upstream's dialect, and what came back. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from proxy import dialects, outbound, rules, snapshot, upstream_check, upstreams
from proxy.addresses import AddressProblem
from proxy.chat import ChatRequest
from proxy.credentials import CredentialProblem
from proxy.dialects.shape import Answer, Asked, Dialect, MalformedAnswer
from proxy.errors import GatewayError
from proxy.models import Route
from proxy.outbound import Request
from proxy.surfaces import SURFACES

PROMPTS = (
    "Say the word yes.",
    "Zählt man 7 Äpfel und 5 Birnen, so sind es: 12 🍎🍐. Repeat the number.",
    'def f(x):\n    return {"a": [x, -1.5e3], "b": "\\u00e9"}\n\nWhat does f(2)["a"][0] give?',
)
"""Words, other alphabets, and code: where tokenizers differ."""
OUTPUT_TOKENS = 16
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
MOST_SECONDS = 30.0
REFUSALS = (401, 402, 403)
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A route as a probe needs it, read from the database beforehand: probing itself does without.

    ``headers`` are those of each active credential: as with calls, a refused one does not keep a route from answering.
    """

    route_id: int
    name: str
    operation: str
    dialect: str
    base_url: str
    upstream_model: str
    headers: tuple[Headers, ...]
    rules: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe saw, in the order of the prompts: tokens (0 is not told) and milliseconds. See RouteProbe."""

    trouble: str = ""
    reported_model: str = ""
    fingerprint: str = ""
    prompt_tokens: tuple[int, ...] = ()
    completion_tokens: tuple[int, ...] = ()
    latency_ms: tuple[int, ...] = ()


class ProbeProblem(Exception):
    """A probe that failed; the message says why, in words of our own."""


def target(route: Route) -> Target | None:
    """What a route's probe needs; None for one that only draws, which no small prompt tries. Raises ProbeProblem."""
    upstream = route.upstream
    merged = dict(rules.merged(upstream.rules, route.model.rules))
    operations = merged.pop("operations", None) or ["chat"]
    operation = next((name for name in ("chat", "embeddings") if name in operations), None)
    if operation is None:
        return None
    try:
        secrets = upstreams.secrets_of(upstream)
    except CredentialProblem as problem:
        raise ProbeProblem(str(problem)) from None
    own = rules.merged(upstream.rules)
    headers = tuple(snapshot.call_headers(upstream.dialect, own, secret) for secret in secrets)
    return Target(
        route.pk, str(route), operation, upstream.dialect, upstream.base_url, route.upstream_model, headers, merged
    )


def probe(route: Target) -> Seen:
    """Ask the three prompts, one after another; the first that fails ends the probe."""
    seen: list[tuple[Answer, int]] = []
    trouble = ""
    try:
        dialect = dialects.find(route.operation, route.dialect)
        if dialect is None:
            raise ProbeProblem("The upstream's dialect has no words for this.")
        for prompt in PROMPTS:
            seen.append(_ask(route, dialect, prompt))
    except ProbeProblem as problem:
        trouble = str(problem)
    usages = [answer.usage for answer, _ in seen]
    bodies = [answer.body for answer, _ in seen]
    return Seen(
        trouble[:300],
        next((answer.reported_model for answer, _ in seen if answer.reported_model), "")[:200],
        next((str(body["system_fingerprint"]) for body in bodies if body.get("system_fingerprint")), "")[:100],
        tuple(usage.prompt_tokens if usage else 0 for usage in usages),
        tuple(usage.completion_tokens if usage else 0 for usage in usages),
        tuple(elapsed for _, elapsed in seen),
    )


def _ask(route: Target, dialect: Dialect, prompt: str) -> tuple[Answer, int]:
    chat = _request(route, prompt)
    asked = Asked("probe", route.upstream_model, False, 1_000_000)
    try:
        call = dialect.call(chat, route.upstream_model, chat.output_limit or 0, route.rules)
        for headers in route.headers:
            request = Request(route.base_url, call.path, (*headers, *call.headers), call.body)
            reply = outbound.send(request, timeout=TIMEOUT, within_s=MOST_SECONDS)
            if reply.status not in REFUSALS:
                break
        if reply.status != 200:
            raise ProbeProblem(f"The upstream answered with {reply.status}.")
        return dialect.answer(reply.body, asked), round(reply.seconds * 1000)
    except AddressProblem as problem:
        raise ProbeProblem(str(problem)) from None
    except httpx.HTTPError as error:
        raise ProbeProblem(upstream_check.trouble(error)) from None
    except MalformedAnswer:
        raise ProbeProblem("The upstream's answer cannot be read.") from None
    except GatewayError as error:
        raise ProbeProblem(error.message) from None


def _request(route: Target, prompt: str) -> ChatRequest:
    """A prompt as a client would send it."""
    body: dict[str, Any] = {"model": route.upstream_model}
    if route.operation == "embeddings":
        return SURFACES["/embeddings"].parse(orjson.dumps({**body, "input": prompt}))
    body |= {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": OUTPUT_TOKENS}
    return SURFACES["/chat/completions"].parse(orjson.dumps(body))
