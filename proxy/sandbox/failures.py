"""The answers of the sandbox that are no answers: statuses, pages and redirects, as upstreams and proxies word them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from proxy.sandbox import answers
from proxy.sandbox.behaviour import Behaviour

JSON = b"application/json"
PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
PAGES = ("html", "html200", "redirect")
#: kind → status, message, type, code
STATUSES: dict[str, tuple[int, str, str, str | None]] = {
    "400": (400, "The sandbox was asked to refuse this request.", "invalid_request_error", "invalid_value"),
    "401": (401, "Incorrect API key provided: sandbox.", "invalid_request_error", "invalid_api_key"),
    "402": (402, "Insufficient Balance", "unknown_error", "invalid_request_error"),
    "403": (403, "Project does not have access to this model.", "invalid_request_error", "model_not_found"),
    "429": (429, "Rate limit reached for the sandbox.", "requests", "rate_limit_exceeded"),
    "500": (500, "The server had an error while processing your request. Sorry about that!", "server_error", None),
    "503": (503, "The engine is currently overloaded, please try again later.", "server_error", "overloaded"),
    "529": (529, "Overloaded", "overloaded_error", None),
    "error200": (200, "The server had an error while processing your request.", "server_error", None),
    "blocked": (400, "Your request was rejected by the safety system.", "invalid_request_error", "content_policy"),
    "too-long": (
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A whole HTTP answer; ``headers`` are lines with their line ends."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: bytes = b""


def failure(behaviour: Behaviour) -> Failure | None:
    """The failure a behaviour is at once; None for those that answer, or fail later."""
    kind = behaviour.kind
    if kind in PAGES:
        return page(kind)
    if kind not in STATUSES:
        return None
    return _worded(kind, behaviour.first if kind in ("429", "503") else 0)


def page(kind: str) -> Failure:
    """What a proxy in front of an upstream says, whoever the upstream is."""
    if kind == "redirect":
        return Failure(307, b"", b"text/plain", b"location: /v1/redirected\r\n")
    return Failure(502 if kind == "html" else 200, PAGE, b"text/html")


def refused(status: int, message: str, code: str, param: str | None = None) -> Failure:
    """The refusal of a request the sandbox cannot answer."""
    body = answers.error(message, "invalid_request_error", code, param)
    return Failure(status, msgspec.json.encode(body))


def _worded(kind: str, retry_after: int) -> Failure:
    status, message, error_type, code = STATUSES[kind]
    headers = b"retry-after: %d\r\n" % retry_after if retry_after else b""
    return Failure(status, msgspec.json.encode(answers.error(message, error_type, code)), headers=headers)
