"""Every error a client can get: status, type, code, when, and what to do. Made into the guide and a page. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.surfaces.messages import anthropic_type

REQUEST, SERVER = "invalid_request_error", "server_error"


class ErrorRow(NamedTuple):
    """One code. ``code`` is None where an error has none."""

    status: int
    type: str
    code: str | None
    when: str
    remedy: str


class StatusRow(NamedTuple):
    """One status as official clients see it. ``again`` is whether they come back by themselves."""

    status: int
    openai: str
    anthropic: str
    again: str


def _request(code: str, when: str, remedy: str) -> ErrorRow:
    return ErrorRow(400, REQUEST, code, when, remedy)


ERRORS: tuple[ErrorRow, ...] = (
    _request("missing_required_parameter", "Something that must be there is not.", "Send what `param` names."),
    _request("invalid_type", "A value has another type than it must; numbers as texts, too.", "See `param`."),
    _request("invalid_value", "A value means nothing, or does not go with the rest.", "See `message`."),
    _request("unknown_parameter", "It would steer the gateway, or the endpoint does not know it.", "Leave it out."),
    _request(
        "unsupported_parameter",
        "It would cost what has no price here, or this model does not take it.",
        "Leave it out, or call another model.",
    ),
    _request("unsupported_value", "This model, or this endpoint, does not do that.", "Change it, or the model."),
    _request("integer_below_min_value", "A whole number below its range.", "See the parameter's range."),
    _request("integer_above_max_value", "A whole number above its range.", "See the parameter's range."),
    _request("decimal_below_min_value", "A number below its range.", "See the parameter's range."),
    _request("decimal_above_max_value", "A number above its range.", "See the parameter's range."),
    _request("string_below_min_length", "An empty text.", "Send some, or leave the parameter out."),
    _request("string_above_max_length", "A text that is too long.", "Shorten it."),
    _request("array_below_min_length", "Too few items.", "Send some, or leave the parameter out."),
    _request("array_above_max_length", "Too many items.", "Split the request."),
    _request("empty_array", "An empty list as the input of embeddings.", "Send at least one text."),
    _request("object_above_max_properties", "More than 16 pairs of metadata.", "Send fewer."),
    _request("invalid_json", "The body is no JSON object, too deep, or has too many values.", "Mend the body."),
    _request("invalid_request_body", "The body was broken off.", "Send it again."),
    _request("invalid_content_encoding", "The compressed body is broken.", "Compress it anew, or send it plain."),
    _request("invalid_idempotency_key", "A key of no or of over 255 characters, or of others.", "Use a UUID."),
    _request("invalid_api_key", "Two different API keys were sent.", "Send one."),
    _request("max_cost_too_low", "The input alone can cost more than `x-max-cost`.", "Shorten it, or raise the cap."),
    _request("context_length_exceeded", "More tokens than the model takes, the upstream says.", "Shorten the input."),
    _request("content_filter", "The upstream's filter refuses the prompt.", "Change the prompt."),
    ErrorRow(401, REQUEST, "invalid_api_key", "No key, or a wrong, revoked or expired one.", "Send a valid key."),
    ErrorRow(
        403,
        "permission_error",
        "model_not_allowed",
        "The key may not use this model.",
        "Ask for it to be allowed, or see `GET /v1/models`.",
    ),
    ErrorRow(404, REQUEST, "model_not_found", "No model has this name.", "See `GET /v1/models`."),
    ErrorRow(404, REQUEST, "request_not_found", "No call of your organisation has this id.", "Check the id."),
    ErrorRow(404, REQUEST, None, "There is no such address.", "Check the base URL."),
    ErrorRow(405, REQUEST, "method_not_supported", "The address takes another method.", "See the header `allow`."),
    ErrorRow(408, REQUEST, "request_timeout", "The body did not arrive in time.", "Send it again."),
    ErrorRow(
        409,
        REQUEST,
        "idempotency_in_progress",
        "The first call with this idempotency key still runs.",
        "Wait as `retry-after` says; official SDKs do.",
    ),
    ErrorRow(413, REQUEST, "request_too_large", "The body is too large, or unpacks to too much.", "Send less."),
    ErrorRow(415, REQUEST, "unsupported_content_encoding", "Compressed in a way not known here.", "Use gzip."),
    ErrorRow(
        422,
        REQUEST,
        "idempotency_mismatch",
        "The idempotency key was used for another request.",
        "Use a new key for a new request.",
    ),
    ErrorRow(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "Too many requests or tokens a minute, or calls at once.",
        "Wait as `retry-after` says; `limit` names whose limit it is.",
    ),
    ErrorRow(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "A budget, the wallet, the credit line or a run has no room for what the call can cost.",
        "See `limit.remedy`, or lower `max_tokens`: its price is held.",
    ),
    ErrorRow(
        500,
        SERVER,
        "internal_error",
        "Our fault; the message says whether the call was charged.",
        "Try again; report the id.",
    ),
    ErrorRow(502, SERVER, "bad_gateway", "The upstream failed, or broke off.", "Try again."),
    ErrorRow(503, SERVER, "upstream_overloaded", "The upstream has no capacity.", "Wait as `retry-after` says."),
    ErrorRow(503, SERVER, "price_unavailable", "The model has no price now, so nobody may call it.", "Tell us."),
    ErrorRow(503, SERVER, "shutting_down", "We stop, or cannot check keys and limits now.", "Try again."),
    ErrorRow(504, SERVER, "timeout", "The upstream, or your own deadline, ran out of time.", "Try again, or stream."),
)

_CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
_AGAIN = {
    408: "yes",
    409: "yes",
    429: "on rates; not on `insufficient_quota` (`x-should-retry: false`)",
}


def statuses() -> list[StatusRow]:
    """Each status once: the class openai-python raises for it, and the type ``/v1/messages`` gives it."""
    return [
        StatusRow(
            status,
            _CLASSES.get(status, "InternalServerError" if status >= 500 else "APIStatusError"),
            anthropic_type(status),
            _AGAIN.get(status, "yes" if status >= 500 else "no"),
        )
        for status in sorted({row.status for row in ERRORS})
    ]


def markdown() -> Iterator[str]:
    """The lines of docs/guide/errors.md."""
    yield "# Error codes"
    yield ""
    yield 'An error is `{"error": {"message", "type", "param", "code"}}` with a real status, on every path. `param`'
    yield "names what is wrong in the request, down to `messages[2].role`. Errors of limits say more in `limit`:"
    yield "`scope, name, limit, used, held, resets_at, remedy`. Other codes than these can come with 400 where an"
    yield "upstream refuses a request in its own words. In a stream that has begun an error is its last event."
    yield ""
    yield "| status | `type` | `code` | when | what to do |"
    yield "|--:|---|---|---|---|"
    for row in ERRORS:
        code = f"`{row.code}`" if row.code else "–"
        yield f"| {row.status} | `{row.type}` | {code} | {row.when} | {row.remedy} |"
    yield ""
    yield "## What clients make of a status"
    yield ""
    yield "| status | class in openai-python | `type` on `/v1/messages` | do SDKs try again? |"
    yield "|--:|---|---|---|"
    for status in statuses():
        yield f"| {status.status} | `{status.openai}` | `{status.anthropic}` | {status.again} |"
    yield ""
    yield "429 and 503 carry `retry-after` (whole seconds, at most 120) and `retry-after-ms`, except where waiting does"
    yield "not help. A client that hangs up is told nothing; its receipt says 499, `client_gone`."
