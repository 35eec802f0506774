"""Asking an upstream whether it answers, and saying in plain words what it said."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import httpx

from proxy import rules, upstreams
from proxy.addresses import AddressProblem
from proxy.credentials import CredentialProblem
from proxy.dialects import gemini
from proxy.models import Upstream
from proxy.snapshot import credential_header

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
MOST_BYTES = 2_000_000
LISTS = {"anthropic": "/v1/models", "gemini": "/v1beta/models"}
"""Where the models are listed, below the base URL; ``/models`` in OpenAI's dialect."""
HEADERS = {"anthropic": {"anthropic-version": "2023-06-01"}}


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether calls will work as far as one can see, and the sentence to show."""

    good: bool
    words: str


def check(upstream: Upstream) -> Answer:
    """Ask for the list of models: it costs nothing, and needs address, certificate and credential to be right.

    Never follows a redirect, never shows the upstream's own words: they may hold anything.
    """
    try:
        upstreams.check_address(upstream.base_url)
        secret = upstreams.secret_of(upstream)
    except (AddressProblem, CredentialProblem) as problem:
        return Answer(False, str(problem))
    headers = _headers(upstream, secret)
    address = upstream.base_url.rstrip("/") + LISTS.get(upstream.dialect, "/models")
    began = time.monotonic()
    try:
        with (
            httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", address, headers=headers) as response,
        ):
            body = _bounded(response)
            status = response.status_code
    except httpx.HTTPError as error:
        return Answer(False, _trouble(error))
    elapsed = round((time.monotonic() - began) * 1000)
    return _read(status, body, elapsed, has_secret=secret is not None)


def _headers(upstream: Upstream, secret: str | None) -> dict[str, str]:
    """What calls of this upstream carry, its credential among them."""
    own_rules = rules.merged(upstream.rules)
    headers = {"accept": "application/json", **HEADERS.get(upstream.dialect, {}), **own_rules.get("headers", {})}
    return headers if secret is None else headers | dict([credential_header(upstream.dialect, own_rules, secret)])


def _read(status: int, body: bytes, elapsed: int, *, has_secret: bool) -> Answer:
    if status == 200:
        count = _models(body)
        if count is None:
            return Answer(False, "It answers, but not as this dialect does: is the path of the base URL right?")
        return Answer(True, f"It answered in {elapsed} ms and offers {count} models.")
    if status in (401, 403) or (status == 400 and gemini.failure_message(body).code == gemini.BAD_CREDENTIAL):
        lack = "refuses the credential" if has_secret else "wants a credential, and none is stored"
        return Answer(False, f"It was reached, but {lack} ({status}).")
    if status in (404, 405):
        return Answer(True, f"It was reached in {elapsed} ms; it has no list of models, so the credential is untested.")
    if 300 <= status < 400:
        return Answer(False, f"It redirects elsewhere ({status}), and redirects are not followed.")
    if status == 429:
        return Answer(False, "It was reached, but has no capacity or credit for this credential (429).")
    return Answer(False, f"It was reached, but answered with {status}.")


def _trouble(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "It could not be reached within 5 s."
    if isinstance(error, httpx.TimeoutException):
        return "It was reached, but said nothing for 10 s."
    if isinstance(error, httpx.ConnectError):
        words = "its certificate is not trusted" if "CERTIFICATE" in str(error).upper() else "nothing listens there"
        return f"It could not be reached: {words}."
    return f"The connection broke ({type(error).__name__})."


def _bounded(response: httpx.Response) -> bytes:
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            break
    return body


def _models(body: bytes) -> int | None:
    """How many models a list names, in ``data`` or, as Gemini has it, in ``models``; None if it is something else."""
    try:
        given = json.loads(body)
        data = given["data"] if "data" in given else given["models"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return len(data) if isinstance(data, list) else None
