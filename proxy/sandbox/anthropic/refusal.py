"""Refusals and failures in Anthropic's words."""

from __future__ import annotations

import msgspec

from proxy.sandbox import failures
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.voices import Refusal

REQUEST_ID = "req_011CSandboxSandboxSandbox"
INVALID = "invalid_request_error"
#: kind → status, type, message
STATUSES: dict[str, tuple[int, str, str]] = {
    "400": (400, INVALID, "messages.0: The sandbox was asked to refuse this request."),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "402": (
        400,
        INVALID,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
        "purchase credits.",
    ),
    "403": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "429": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "500": (500, "api_error", "Internal server error"),
    "503": (503, "api_error", "Service Unavailable"),
    "529": (529, "overloaded_error", "Overloaded"),
    "error200": (200, "api_error", "Internal server error"),
    "too-long": (400, INVALID, "prompt is too long: 200001 tokens > 200000 maximum"),
}


def body(kind: str, message: str) -> bytes:
    """Anthropic's error body."""
    error = {"type": kind, "message": message}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": REQUEST_ID})


def invalid(message: str) -> Refusal:
    """400 ``invalid_request_error``."""
    return refused(400, INVALID, message)


def refused(status: int, kind: str, message: str) -> Refusal:
    """Any refusal."""
    return Refusal(Failure(status, body(kind, message), headers=_headers()))


def failure(asked: Behaviour) -> Failure | None:
    """The failure that a behaviour is at once."""
    if asked.kind in failures.PAGES:
        return failures.page(asked.kind)
    if asked.kind not in STATUSES:
        return None
    status, kind, message = STATUSES[asked.kind]
    retry = b"retry-after: %d\r\n" % asked.first if asked.kind in ("429", "503") and asked.first else b""
    return Failure(status, body(kind, message), headers=_headers() + retry)


def _headers() -> bytes:
    return b"request-id: %s\r\n" % REQUEST_ID.encode()
