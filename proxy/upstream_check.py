"""Asking an upstream whether it answers, and saying in plain words what it said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from proxy import outbound, rules, upstreams
from proxy.addresses import AddressProblem
from proxy.credentials import CredentialProblem
from proxy.dialects import gemini
from proxy.dialects.anthropic import VERSION
from proxy.models import Credential, Upstream
from proxy.outbound import Request
from proxy.snapshot import call_headers

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
MOST_SECONDS = 15.0
LISTS = {"anthropic": "/v1/models", "gemini": "/v1beta/models"}
"""Where the models are listed, below the base URL; ``/models`` in OpenAI's dialect."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether calls will work as far as one can see, and the sentence to show."""

    good: bool
    words: str


def check_all(upstream: Upstream) -> Iterator[tuple[str, Answer]]:
    """Check an upstream with each of its active credentials: what was checked, by name, and the answer."""
    active = list(upstream.credentials.filter(is_active=True).order_by("pk"))
    if len(active) < 2:
        yield upstream.name, check(upstream, active[0] if active else None)
        return
    for credential in active:
        yield f"{upstream.name}, credential {credential.shown}", check(upstream, credential)


def check(upstream: Upstream, credential: Credential | None = None) -> Answer:
    """Ask for the list of models: it costs nothing, and needs address, certificate and credential to be right.

    With the first active credential, or the one that is given. Never follows a redirect, never shows the upstream's
    own words: they may hold anything.
    """
    try:
        secret = upstreams.secret_of(upstream) if credential is None else upstreams.secret_in(credential)
        headers = call_headers(upstream.dialect, rules.merged(upstream.rules), secret)
        request = Request(
            upstream.base_url,
            LISTS.get(upstream.dialect, "/models"),
            (*headers, VERSION) if upstream.dialect == "anthropic" else headers,
        )
        reply = outbound.send(request, timeout=TIMEOUT, within_s=MOST_SECONDS)
    except (AddressProblem, CredentialProblem) as problem:
        return Answer(False, str(problem))
    except httpx.HTTPError as error:
        return Answer(False, trouble(error))
    return _read(reply.status, reply.body, round(reply.seconds * 1000), has_secret=secret is not None)


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


def trouble(error: httpx.HTTPError) -> str:
    """Why nothing came back."""
    if isinstance(error, httpx.ConnectTimeout):
        return "It could not be reached within 5 s."
    if isinstance(error, httpx.TimeoutException):
        return "It was reached, but said nothing for 10 s."
    if isinstance(error, httpx.ConnectError):
        words = "its certificate is not trusted" if "CERTIFICATE" in str(error).upper() else "nothing listens there"
        return f"It could not be reached: {words}."
    return f"The connection broke ({type(error).__name__})."


def _models(body: bytes) -> int | None:
    """How many models a list names, in ``data`` or, as Gemini has it, in ``models``; None if it is something else."""
    try:
        given = json.loads(body)
        data = given["data"] if "data" in given else given["models"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return len(data) if isinstance(data, list) else None
