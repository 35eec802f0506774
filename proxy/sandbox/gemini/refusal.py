"""Refusals and failures in Google's words."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.sandbox import failures
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.voices import Refusal

INVALID = "INVALID_ARGUMENT"
BAD_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}
#: kind → HTTP status, status, message
STATUSES: dict[str, tuple[int, str, str]] = {
    "400": (400, INVALID, "Request contains an invalid argument."),
    "401": (400, INVALID, "API key not valid. Please pass a valid API key."),
    "402": (403, "PERMISSION_DENIED", "This API method requires billing to be enabled."),
    "403": (403, "PERMISSION_DENIED", "The caller does not have permission"),
    "429": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    "500": (500, "INTERNAL", "An internal error has occurred. Please retry or report the problem."),
    "503": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "529": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "error200": (200, "INTERNAL", "An internal error has occurred. Please retry or report the problem."),
    "too-long": (
        400,
        INVALID,
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    ),
}
UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
    "form of API consumer identity to call this API."
)


def body(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> bytes:
    """Google's error body."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    return msgspec.json.format(msgspec.json.encode({"error": error}), indent=2)


def invalid(message: str) -> Refusal:
    """400 ``INVALID_ARGUMENT``."""
    return refused(400, INVALID, message)


def refused(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> Refusal:
    """Any refusal."""
    return Refusal(Failure(code, body(code, status, message, details)))


def bad_key() -> Refusal:
    """What a wrong key gets: 400, not 401."""
    code, status, message = STATUSES["401"]
    return refused(code, status, message, [BAD_KEY])


def failure(asked: Behaviour) -> Failure | None:
    """The failure that a behaviour is at once. When to come back is in the details, not in a header."""
    if asked.kind in failures.PAGES:
        return failures.page(asked.kind)
    if asked.kind not in STATUSES:
        return None
    code, status, message = STATUSES[asked.kind]
    details = [BAD_KEY] if asked.kind == "401" else []
    if asked.kind == "429":
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{asked.first}s"}]
    return Failure(code, body(500 if code == 200 else code, status, message, details))
