"""The table of chat-completion parameters: the type and range of each, and what becomes of it. One row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.errors import BadRequest, excerpt


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: ``kind`` names its check; ``least`` and ``most`` bound a number, or a length."""

    name: str
    kind: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    refuse: str = ""


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MOST_PARAMETERS = 200
UNPRICED = "costs money that no price covers here, so it is not available"

TABLE = (
    Parameter("model", "string", 1, 200),
    Parameter("messages", "array", 1, 20_000),
    Parameter("stream", "boolean"),
    Parameter("stream_options", "object"),
    Parameter("temperature", "number", 0, 2),
    Parameter("top_p", "number", 0, 1),
    Parameter("n", "integer", 1, 128),
    Parameter("max_tokens", "integer", 1, 10_000_000),
    Parameter("max_completion_tokens", "integer", 1, 10_000_000),
    Parameter("stop", "stop", most=4),
    Parameter("frequency_penalty", "number", -2, 2),
    Parameter("presence_penalty", "number", -2, 2),
    Parameter("logprobs", "boolean"),
    Parameter("top_logprobs", "integer", 0, 20),
    Parameter("logit_bias", "bias"),
    Parameter("response_format", "format"),
    Parameter("seed", "integer", -(2**63), 2**63 - 1),
    Parameter("tools", "array", 0, 1024),
    Parameter("tool_choice", "string or object"),
    Parameter("parallel_tool_calls", "boolean"),
    Parameter("functions", "array", 0, 1024),
    Parameter("function_call", "string or object"),
    Parameter("reasoning_effort", "choice", choices=EFFORTS),
    Parameter("reasoning", "object"),
    Parameter("thinking", "object"),
    Parameter("verbosity", "choice", choices=("low", "medium", "high")),
    Parameter("top_k", "integer", 0, 1_000_000),
    Parameter("min_p", "number", 0, 1),
    Parameter("repetition_penalty", "number", 0, 10),
    Parameter("user", "string", 0, 512),
    Parameter("safety_identifier", "string", 0, 512),
    Parameter("prompt_cache_key", "string", 0, 512),
    Parameter("prompt_cache_options", "object"),
    Parameter("prompt_cache_retention", "string", 0, 64),
    Parameter("cache_control", "object"),
    Parameter("safety_settings", "array", 0, 100),
    Parameter("chat_template_kwargs", "object"),
    Parameter("aspect_ratio", "string", 1, 20),
    Parameter("image_size", "string", 1, 20),
    Parameter("metadata", "metadata", most=16),
    Parameter("store", "boolean"),
    Parameter("service_tier", "choice", choices=("auto", "default")),
    Parameter("modalities", "modalities"),
    Parameter("prediction", "object"),
    Parameter("audio", "object", refuse=UNPRICED),
    Parameter("web_search_options", "object", refuse=UNPRICED),
    Parameter("web_search", "object", refuse=UNPRICED),
    Parameter("enable_search", "object", refuse=UNPRICED),
    Parameter("search_parameters", "object", refuse=UNPRICED),
    Parameter("plugins", "object", refuse=UNPRICED),
    Parameter("mcp_servers", "object", refuse=UNPRICED),
    Parameter("inference_geo", "object", refuse=UNPRICED),
    Parameter("speed", "object", refuse=UNPRICED),
    Parameter("best_of", "object", refuse=UNPRICED),
)

STEERING = frozenset(
    {
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "api_type",
        "extra_headers",
        "extra_body",
        "extra_query",
        "headers",
        "custom_llm_provider",
        "user_config",
        "organization",
        "project",
        "fallbacks",
        "mock_response",
        "litellm_params",
        "model_list",
        "deployment_id",
        "num_retries",
        "timeout",
        "caching",
        "router_settings",
        "azure_ad_token",
        "vertex_project",
        "vertex_credentials",
        "aws_access_key_id",
        "aws_secret_access_key",
        "provider_options",
        "models",
        "route",
        "provider",
        "preset",
        "transforms",
    }
)
"""Names by which a client of some gateway, ours or one behind us, could choose its upstream, model or credential.
Here nobody can."""


def bad(message: str, code: str, param: str) -> BadRequest:
    """A 400 that names the parameter."""
    return BadRequest(message, code, param=param)


def wrong_type(name: str, wanted: str, value: object) -> BadRequest:
    """A value of another JSON type than the parameter takes."""
    return bad(f"Invalid type for '{name}': expected {wanted}, got {json_type(value)}.", "invalid_type", name)


def json_type(value: object) -> str:
    """A value's type in the words of OpenAI's errors."""
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")


def _boolean(row: Parameter, value: Any) -> Any:
    if type(value) is not bool:
        raise wrong_type(row.name, "a boolean", value)
    return value


def _integer(row: Parameter, value: Any) -> Any:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise wrong_type(row.name, "an integer", value)
    return _ranged(row, value, "integer")


def _number(row: Parameter, value: Any) -> Any:
    if type(value) is not float and type(value) is not int:
        raise wrong_type(row.name, "a decimal", value)
    return _ranged(row, value, "decimal")


def _ranged(row: Parameter, value: Any, kind: str) -> Any:
    """The value, if it is from ``least`` to ``most``."""
    if row.least is not None and value < row.least:
        raise bad(
            f"Invalid '{row.name}': {kind} below minimum value. Expected a value >= {row.least}, but got "
            f"{excerpt(value)} instead.",
            f"{kind}_below_min_value",
            row.name,
        )
    if row.most is not None and value > row.most:
        raise bad(
            f"Invalid '{row.name}': {kind} above maximum value. Expected a value <= {row.most}, but got "
            f"{excerpt(value)} instead.",
            f"{kind}_above_max_value",
            row.name,
        )
    return value


def _sized(row: Parameter, value: Any, kind: str) -> Any:
    """The value, if its length is from ``least`` to ``most``."""
    if row.least is not None and len(value) < row.least:
        raise bad(f"Invalid '{row.name}': empty {kind}.", f"{kind}_below_min_length", row.name)
    if row.most is not None and len(value) > row.most:
        raise bad(
            f"Invalid '{row.name}': {kind} too long. Expected at most {int(row.most)}, but got {len(value)} instead.",
            f"{kind}_above_max_length",
            row.name,
        )
    return value


def _string(row: Parameter, value: Any) -> Any:
    if type(value) is not str:
        raise wrong_type(row.name, "a string", value)
    return _sized(row, value, "string")


def _array(row: Parameter, value: Any) -> Any:
    if type(value) is not list:
        raise wrong_type(row.name, "an array", value)
    return _sized(row, value, "array")


def _object(row: Parameter, value: Any) -> Any:
    if type(value) is not dict:
        raise wrong_type(row.name, "an object", value)
    return value


def _string_or_object(row: Parameter, value: Any) -> Any:
    if type(value) is not str and type(value) is not dict:
        raise wrong_type(row.name, "a string or an object", value)
    return value


def _choice(row: Parameter, value: Any) -> Any:
    if type(value) is not str:
        raise wrong_type(row.name, "a string", value)
    if value not in row.choices:
        wanted = ", ".join(repr(choice) for choice in row.choices)
        raise bad(f"Invalid value: '{excerpt(value)}'. Supported values are: {wanted}.", "invalid_value", row.name)
    return value


def _stop(row: Parameter, value: Any) -> Any:
    if type(value) is str:
        return value
    _array(row, value)
    for index, text in enumerate(value):
        if type(text) is not str:
            raise wrong_type(f"{row.name}[{index}]", "a string", text)
    return value


def _bias(row: Parameter, value: Any) -> Any:
    _object(row, value)
    for token, bias in value.items():
        _number(Parameter(f"logit_bias.{excerpt(token)}", "number", -100, 100), bias)
    return value


def _format(row: Parameter, value: Any) -> Any:
    _object(row, value)
    kind = value.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise bad(
            f"Invalid value: '{excerpt(kind)}'. Supported values are: 'text', 'json_object', 'json_schema'.",
            "invalid_value",
            "response_format.type",
        )
    if kind == "json_schema" and type(value.get("json_schema")) is not dict:
        raise bad(
            "Missing required parameter: 'response_format.json_schema'.",
            "missing_required_parameter",
            "response_format.json_schema",
        )
    return value


def _metadata(row: Parameter, value: Any) -> Any:
    _object(row, value)
    if len(value) > 16:
        raise bad("Invalid 'metadata': at most 16 pairs.", "object_above_max_properties", "metadata")
    for key, text in value.items():
        if len(key) > 64 or type(text) is not str or len(text) > 512:
            raise bad(
                "Invalid 'metadata': keys have at most 64 characters, values are texts of at most 512.",
                "invalid_value",
                f"metadata.{excerpt(key)}",
            )
    return value


def _modalities(row: Parameter, value: Any) -> Any:
    _array(row, value)
    if value != ["text"]:
        raise bad(f"'modalities' other than text {UNPRICED}.", "unsupported_parameter", "modalities")
    return value


_CHECKS: dict[str, Callable[[Parameter, Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "array": _array,
    "object": _object,
    "string or object": _string_or_object,
    "choice": _choice,
    "stop": _stop,
    "bias": _bias,
    "format": _format,
    "metadata": _metadata,
    "modalities": _modalities,
}

CHECKS = {row.name: (_CHECKS[row.kind], row) for row in TABLE}


def check(body: dict[str, Any]) -> dict[str, Any]:
    """The body with nulls dropped and every known parameter of its type and range; raises BadRequest naming the first.

    Unknown names pass, as clients rely on it, unless they try to steer the gateway.
    """
    if len(body) > MOST_PARAMETERS:
        raise BadRequest(f"The body has more than {MOST_PARAMETERS} members.", "invalid_json")
    checked = {}
    for name, value in body.items():
        if value is None:
            continue
        known = CHECKS.get(name)
        if known is not None:
            if known[1].refuse:
                raise bad(f"'{name}' {known[1].refuse}.", "unsupported_parameter", name)
            value = known[0](known[1], value)
        elif name in STEERING:
            raise bad(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        checked[name] = value
    for name in ("model", "messages"):
        if name not in checked:
            raise bad(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
    return checked
