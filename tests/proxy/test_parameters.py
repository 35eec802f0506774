"""Every parameter of a chat completion: its type, both ends of its range, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy import chat
from proxy.errors import BadRequest
from proxy.parameter_table import STEERING, TABLE, Parameter

MESSAGES = [{"role": "user", "content": "Hello"}]
RANGED = [row for row in TABLE if row.kind in ("integer", "number")]
SIZED = [row for row in TABLE if row.kind in ("string", "array") and row.name != "messages"]
WRONG: dict[str, list[Any]] = {
    "boolean": [0, 1, "true", [], {}],
    "integer": [True, "1", 1.5, [], {}],
    "number": [True, "1", [], {}],
    "string": [1, True, [], {}],
    "array": ["x", 1, True, {}],
    "object": ["x", 1, True, []],
    "string or object": [1, True, []],
    "choice": [1, True, [], {}],
    "stop": [1, True, {}],
    "bias": ["x", 1, []],
    "format": ["json_object", 1, []],
    "metadata": ["x", 1, []],
    "modalities": ["text", 1, {}],
}
GOOD: dict[str, Any] = {
    "boolean": True,
    "integer": 3,
    "number": 0.5,
    "object": {},
    "string or object": "auto",
    "stop": ["a", "b", "c", "d"],
    "bias": {"1": -100, "2": 100},
    "format": {"type": "json_object"},
    "metadata": {"a": "b"},
    "modalities": ["text"],
}


def parse(**fields: Any) -> chat.ChatRequest:
    return chat.parse(json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode())


def refused(raw: bytes | None = None, /, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(**fields) if raw is None else chat.parse(raw)
    return caught.value


def among(row: Parameter, value: Any) -> dict[str, Any]:
    """A request in which the parameter can stand."""
    needs = {"stream_options": {"stream": True}, "top_logprobs": {"logprobs": True}}
    return {**needs.get(row.name, {}), row.name: value}


@pytest.mark.parametrize("row", [row for row in TABLE if not row.refuse], ids=lambda row: row.name)
def test_it_takes_a_good_value(row: Parameter) -> None:
    fallback = "x" if row.kind == "string" else []
    value = row.choices[0] if row.choices else GOOD.get(row.kind, fallback)
    if row.name == "messages":
        value = MESSAGES
    assert parse(**among(row, value)).body[row.name] == value


@pytest.mark.parametrize("row", [row for row in TABLE if not row.refuse], ids=lambda row: row.name)
def test_it_refuses_other_types_by_name(row: Parameter) -> None:
    for value in WRONG[row.kind]:
        error = refused(**among(row, value))
        assert (error.status, error.code, error.param) == (400, "invalid_type", row.name), value


@pytest.mark.parametrize("row", [row for row in TABLE if row.name not in ("model", "messages")], ids=lambda r: r.name)
def test_it_drops_nulls(row: Parameter) -> None:
    assert row.name not in parse(**{row.name: None}).body


@pytest.mark.parametrize("row", RANGED, ids=lambda row: row.name)
def test_it_holds_both_ends_of_a_range(row: Parameter) -> None:
    assert row.least is not None
    assert row.most is not None
    kind = "integer" if row.kind == "integer" else "decimal"
    step = 1 if row.kind == "integer" else 0.001
    for end in (row.least, row.most):
        assert parse(**among(row, end)).body[row.name] == end
    if row.name == "seed":  # its ends are the integers that JSON readers keep; one more is no integer any more
        return
    below, above = refused(**among(row, row.least - step)), refused(**among(row, row.most + step))
    assert (below.code, below.param) == (f"{kind}_below_min_value", row.name)
    assert (above.code, above.param) == (f"{kind}_above_max_value", row.name)


@pytest.mark.parametrize("row", SIZED, ids=lambda row: row.name)
def test_it_bounds_lengths(row: Parameter) -> None:
    assert row.most is not None
    most, one = int(row.most), "x" if row.kind == "string" else [{"type": "function", "function": {"name": "f"}}]
    assert len(parse(**among(row, one * most)).body[row.name]) == most
    assert refused(**among(row, one * (most + 1))).code == f"{row.kind}_above_max_length"
    if row.least:
        assert refused(**among(row, one * 0)).code == f"{row.kind}_below_min_length"


@pytest.mark.parametrize("row", [row for row in TABLE if row.choices], ids=lambda row: row.name)
def test_it_knows_every_choice_and_no_other(row: Parameter) -> None:
    for choice in row.choices:
        assert parse(**{row.name: choice}).body[row.name] == choice
    error = refused(**{row.name: "priority!" + "x" * 100})
    assert (error.code, error.param) == ("invalid_value", row.name)
    assert "x" * 65 not in error.message


@pytest.mark.parametrize("name", sorted(STEERING))
def test_it_refuses_to_be_steered(name: str) -> None:
    error = refused(**{name: "https://evil.example"})
    assert (error.status, error.code, error.param) == (400, "unknown_parameter", name)


@pytest.mark.parametrize(
    "name",
    ["audio", "web_search_options", "plugins", "search_parameters", "best_of", "speed", "n_predict", "max_new_tokens"],
)
def test_it_refuses_what_costs_money_nobody_priced(name: str) -> None:
    error = refused(**{name: {}})
    assert (error.code, error.param) == ("unsupported_parameter", name)
    assert refused(modalities=["text", "audio"]).code == "unsupported_parameter"
    assert refused(service_tier="batch").param == "service_tier"


def test_it_passes_unknown_parameters() -> None:
    assert parse(frobnicate={"a": [1]}).body["frobnicate"] == {"a": [1]}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (-1, "integer_below_min_value"),
        (1.5, "invalid_type"),
        (True, "invalid_type"),
        ("1", "invalid_type"),
        (10**9, "integer_above_max_value"),
        (2**64 - 1, "integer_above_max_value"),
        (2**70, "integer_above_max_value"),
    ],
)
def test_it_refuses_every_wrong_n(value: Any, code: str) -> None:
    error = refused(n=value)
    assert (error.code, error.param) == (code, "n")


@pytest.mark.parametrize("value", [-5, 0, 10**9])
def test_it_refuses_wrong_output_limits(value: int) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        assert refused(**{name: value}).param == name


def test_it_takes_integral_floats_as_integers() -> None:
    request = parse(n=2.0, max_tokens=16.0, seed=-3.0)
    assert (request.choices, request.output_limit, request.body["seed"]) == (2, 16, -3)
    assert all(type(request.body[name]) is int for name in ("n", "max_tokens", "seed"))


def test_it_takes_the_smaller_of_both_output_limits() -> None:
    assert parse(max_tokens=5, max_completion_tokens=7).output_limit == 5
    assert parse().output_limit is None


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"stop": ["a"] * 5}, "array_above_max_length", "stop"),
        ({"stop": ["a", 1]}, "invalid_type", "stop[1]"),
        ({"logit_bias": {"50256": 101}}, "decimal_above_max_value", "logit_bias.50256"),
        ({"logit_bias": {"50256": -101}}, "decimal_below_min_value", "logit_bias.50256"),
        ({"logit_bias": {"50256": "1"}}, "invalid_type", "logit_bias.50256"),
        ({"logit_bias": {"the": 1}}, "invalid_value", "logit_bias.the"),
        ({"tool_choice": "maybe"}, "invalid_value", "tool_choice"),
        ({"tool_choice": 1}, "invalid_type", "tool_choice"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter", "response_format.json_schema"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "object_above_max_properties", "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "invalid_value", "metadata." + "k" * 64),
        ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata.k"),
        ({"metadata": {"k": 1}}, "invalid_value", "metadata.k"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "invalid_type", "stream_options.include_usage"),
        ({"top_logprobs": 2}, "invalid_value", "top_logprobs"),
        ({"tools": [1]}, "invalid_type", "tools[0]"),
        ({"tools": [{"type": "web_search"}]}, "invalid_value", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].function.name"),
    ],
)
def test_it_looks_inside_parameters(fields: dict[str, Any], code: str, param: str) -> None:
    error = refused(**fields)
    assert (error.code, error.param) == (code, param)


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        ([], "array_below_min_length", "messages"),
        (["hi"], "invalid_type", "messages[0]"),
        ([{"content": "x"}], "missing_required_parameter", "messages[0].role"),
        ([{"role": 7, "content": "x"}], "invalid_type", "messages[0].role"),
        ([*MESSAGES, {"role": "robot", "content": "x"}], "invalid_value", "messages[1].role"),
        ([{"role": "user"}], "missing_required_parameter", "messages[0].content"),
        ([{"role": "user", "content": 7}], "invalid_type", "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "invalid_type", "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "x"}]}], "invalid_value", "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": ["x"]}]}], "invalid_value", "messages[0].content[0].type"),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "missing_required_parameter",
            "messages[0].content[0].text",
        ),
        ([{"role": "assistant", "tool_calls": {}}], "invalid_type", "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [{}]}], "missing_required_parameter", "messages[0].tool_calls[0].id"),
        ([{"role": "tool", "content": "x"}], "missing_required_parameter", "messages[0].tool_call_id"),
        ([{"role": "tool", "content": "x", "tool_call_id": "c"}], "invalid_value", "messages[0].tool_call_id"),
        ([{"role": ["user"], "content": "x"}], "invalid_type", "messages[0].role"),
    ],
)
def test_it_names_the_path_of_a_wrong_message(messages: list[Any], code: str, param: str) -> None:
    error = refused(messages=messages)
    assert (error.code, error.param) == (code, param)


def test_it_takes_a_tool_round_trip() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    turns.append({"role": "tool", "tool_call_id": "call_1", "content": "42"})
    assert len(parse(messages=[*MESSAGES, *turns]).body["messages"]) == 3


def test_it_counts_linked_images_into_the_input_bound() -> None:
    content = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    request = parse(messages=[{"role": "user", "content": content}])
    assert request.linked_images == 1
    assert request.input_bound(1_000_000) == request.size + chat.IMAGE_TOKENS
    assert request.input_bound(100) == 100


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  \n",
        b"[]",
        b'"x"',
        b"null",
        b"{",
        b'{"model":"m","messages":[],}',
        b'{"model":"m","temperature":NaN}',
        b'{"model":"m","temperature":Infinity}',
        b'{"model":"m","temperature":-Infinity}',
        b'{"model":"\xff"}',
        b"[" * 5_000 + b"]" * 5_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"a":' * 100_000,
    ],
)
def test_it_refuses_what_is_no_json_object(raw: bytes) -> None:
    error = refused(raw)
    assert (error.status, error.code) == (400, "invalid_json")
    assert len(error.message) < 200


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" * 5_000])
def test_it_refuses_numbers_that_no_number_holds(number: bytes) -> None:
    raw = b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":%s}' % number
    assert refused(raw).status == 400
    assert refused(raw.replace(b"max_tokens", b"unheard_of")).status == 400


@pytest.mark.parametrize("depth", [200, 300, 1_000])
def test_it_parses_only_what_it_can_write_again(depth: int) -> None:
    schema = b'{"a":' * depth + b"1" + b"}" * depth
    raw = b'{"model":"m","messages":[{"role":"user","content":"x"}],"extra":%s}' % schema
    if depth <= 200:
        assert chat.parse(raw).body["extra"]
    else:
        assert refused(raw).code == "invalid_json"


def test_it_does_not_take_brackets_in_a_text_for_nesting() -> None:
    assert parse(messages=[{"role": "user", "content": "[{" * 2_000}]).size > 4_000


def test_it_replaces_lone_surrogates() -> None:
    raw = rb'{"model":"m","messages":[{"role":"user","content":"a\ud800b\udc00c\ud83d\ude00"}]}'
    assert chat.parse(raw).body["messages"][0]["content"] == "a\ufffdb\ufffdc\U0001f600"


def test_it_refuses_a_million_keys() -> None:
    raw = b'{"model":"m","messages":[{"role":"user","content":"x"}],%s}' % b",".join(
        b'"k%d":0' % n for n in range(1_000_000)
    )
    with pytest.raises(BadRequest) as refused:
        chat.parse(raw)
    assert refused.value.code == "invalid_json"


def test_a_file_is_bounded_by_the_context_window_alone() -> None:
    parts = [{"type": "file", "file": {"file_id": "file-1"}}]
    request = chat.parse(json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}).encode())
    assert request.input_bound(400_000) == 400_000
