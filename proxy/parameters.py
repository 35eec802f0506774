"""Parameters of chat completions, checked by their table; what a dialect cannot be told, sifted out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.errors import BadRequest, excerpt
from proxy.parameter_table import MOST_PARAMETERS, STEERING, TABLE, UNPRICED, Parameter


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
    if "\0" in value:
        raise bad(f"Invalid '{row.name}': it contains NUL.", "invalid_value", row.name)
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
    return _choice(row, value) if row.choices and type(value) is str else value


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
        if not (token.isascii() and token.isdigit()):
            raise bad(
                "Invalid 'logit_bias': keys are the numbers of tokens.", "invalid_value", f"logit_bias.{excerpt(token)}"
            )
        _number(Parameter(f"logit_bias.{excerpt(token)}", "number", least=-100, most=100), bias)
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
    for index, kind in enumerate(value):
        if kind == "audio":
            raise bad(f"Audio output {UNPRICED}.", "unsupported_parameter", "modalities")
        if kind not in ("text", "image"):
            raise bad("Supported values are: 'text', 'image'.", "invalid_value", f"modalities[{index}]")
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

Checks = dict[str, tuple[Callable[[Parameter, Any], Any], Parameter]]


def checks_of(table: tuple[Parameter, ...]) -> Checks:
    """A table's checks by name; a kind without one is checked by whoever owns the table."""
    return {row.name: (_CHECKS.get(row.kind, _as_it_is), row) for row in table}


def _as_it_is(row: Parameter, value: Any) -> Any:
    return value


CHECKS = checks_of(TABLE)
REQUIRED = ("model", "messages")


def sift(body: dict[str, Any], dialect: str, checks: Checks = CHECKS) -> tuple[str, ...]:
    """The parameters of a checked body that ``dialect`` (anthropic or gemini) has no way to be told, unknown ones too.

    Raises BadRequest for one that must not be left out in silence.
    """
    dropped = []
    for name in body:
        known = checks.get(name)
        fate = "drop" if known is None else getattr(known[1], dialect)
        if fate == "refuse":
            raise bad(f"This model does not take '{name}'.", "unsupported_parameter", name)
        if fate == "drop":
            dropped.append(name)
    return tuple(dropped)


def check(body: dict[str, Any], checks: Checks = CHECKS, required: tuple[str, ...] = REQUIRED) -> dict[str, Any]:
    """The body with nulls dropped and every known parameter of its type and range; raises BadRequest naming the first.

    Unknown names pass, as clients rely on it, unless they try to steer the gateway.
    """
    if len(body) > MOST_PARAMETERS:
        raise BadRequest(f"The body has more than {MOST_PARAMETERS} members.", "invalid_json")
    checked = {}
    for name, value in body.items():
        if value is None:
            continue
        known = checks.get(name)
        if known is not None:
            if known[1].refuse:
                raise bad(f"'{name}' {known[1].refuse}.", "unsupported_parameter", name)
            value = known[0](known[1], value)
        elif name in STEERING:
            raise bad(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
        checked[name] = value
    for name in required:
        if name not in checked:
            raise bad(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
    return checked
