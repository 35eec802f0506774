"""Every error a client can get, and the one place that renders them.

GatewayError
├── BadRequest            400 invalid_request_error   the request, naming the parameter
├── Unauthorized          401 invalid_request_error   invalid_api_key, the same text for every reason
├── Forbidden             403 permission_error        model_not_allowed
├── NotFound              404 invalid_request_error   model_not_found, or no such route
├── MethodNotAllowed      405 invalid_request_error   with Allow
├── RequestTimeout        408 invalid_request_error   the body did not arrive in time
├── Conflict              409 invalid_request_error   idempotency_in_progress; the SDKs come back
├── TooLarge              413 invalid_request_error
├── UnsupportedEncoding   415 invalid_request_error
├── Mismatch              422 invalid_request_error   idempotency_mismatch
├── RateLimited           429 rate_limit_error        requests, tokens or concurrency; with Retry-After
├── QuotaExhausted        429 insufficient_quota      budget, wallet or credit line; the SDKs must not retry
├── Internal              500 server_error            ours
└── Unavailable           502, 503, 504 server_error  the upstream's, or no capacity
"""

from __future__ import annotations

from typing import Any

import orjson

MOST_RETRY_S = 120  # openai-python ignores a longer Retry-After
ODDITIES = (TypeError, AttributeError, ValueError, LookupError)
"""What reading trips over in JSON of a shape that nobody foresaw: a number for a list, nesting too deep to write."""


class GatewayError(Exception):
    """An error to show a client: HTTP status, OpenAI ``type``, ``code`` and ``param``, and extra headers."""

    status = 500
    type = "server_error"

    def __init__(
        self,
        message: str,
        code: str | None,
        *,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        limit: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers
        self.limit = limit

    def body(self) -> dict[str, Any]:
        """``{"error": {message, type, param, code}}``, with ``limit`` on limit errors."""
        error: dict[str, Any] = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if self.limit is not None:
            error["limit"] = self.limit
        return {"error": error}

    def render(self) -> bytes:
        """The body as JSON."""
        return orjson.dumps(self.body())


class BadRequest(GatewayError):
    status = 400
    type = "invalid_request_error"


class Unauthorized(GatewayError):
    status = 401
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__("Invalid API key provided", "invalid_api_key")


class Forbidden(GatewayError):
    status = 403
    type = "permission_error"


class NotFound(GatewayError):
    status = 404
    type = "invalid_request_error"


class MethodNotAllowed(GatewayError):
    status = 405
    type = "invalid_request_error"

    def __init__(self, allowed: str) -> None:
        super().__init__(
            f"This path answers {allowed} only.",
            "method_not_supported",
            headers=((b"allow", f"{allowed}, OPTIONS".encode()),),
        )


class RequestTimeout(GatewayError):
    status = 408
    type = "invalid_request_error"


class TooLarge(GatewayError):
    status = 413
    type = "invalid_request_error"


class UnsupportedEncoding(GatewayError):
    status = 415
    type = "invalid_request_error"


class Conflict(GatewayError):
    status = 409
    type = "invalid_request_error"


class Mismatch(GatewayError):
    status = 422
    type = "invalid_request_error"


class RateLimited(GatewayError):
    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, retry_after_ms: int, limit: dict[str, Any]) -> None:
        super().__init__(message, "rate_limit_exceeded", headers=retry_after(retry_after_ms), limit=limit)


class QuotaExhausted(GatewayError):
    status = 429
    type = "insufficient_quota"

    def __init__(self, message: str, *, limit: dict[str, Any]) -> None:
        super().__init__(message, "insufficient_quota", headers=((b"x-should-retry", b"false"),), limit=limit)


class Internal(GatewayError):
    def __init__(self, *, charged: bool = False) -> None:
        outcome = "The call was charged: its receipt says what for." if charged else "The call was not charged."
        super().__init__(f"Something failed on our side. {outcome}", "internal_error")


class Unavailable(GatewayError):
    """What the upstream did, or what we lack: ``status`` is 502, 503 or 504."""

    def __init__(self, status: int, message: str, code: str, *, retry_after_ms: int | None = None) -> None:
        if retry_after_ms is None and status == 503:
            retry_after_ms = 1000
        super().__init__(message, code, headers=() if retry_after_ms is None else retry_after(retry_after_ms))
        self.status = status


def retry_after(milliseconds: int) -> tuple[tuple[bytes, bytes], ...]:
    """``retry-after`` in whole seconds, at most 120, and the exact ``retry-after-ms``."""
    milliseconds = max(1, min(milliseconds, MOST_RETRY_S * 1000))
    seconds = -(-milliseconds // 1000)
    return ((b"retry-after", b"%d" % seconds), (b"retry-after-ms", b"%d" % milliseconds))


def excerpt(text: object) -> str:
    """At most 64 characters of what a client sent, safe to echo."""
    return "".join(c if c.isprintable() else "�" for c in str(text)[:64])


def unreadable() -> Unavailable:
    """What a client is told of an answer that makes no sense."""
    return Unavailable(502, "The upstream's answer cannot be read.", "bad_gateway")
