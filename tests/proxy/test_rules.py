"""Rules: deviations of upstreams and models as data."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy import rules
from proxy.chat import request
from proxy.dialects.openai import OpenAI
from proxy.errors import BadRequest

BODY: dict[str, Any] = {
    "model": "ours",
    "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
}


def sent(given: dict[str, Any], own: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Path, body and dropped parameters of what an upstream with these rules is sent."""
    call = OpenAI().call(request({**BODY, **given}, size=100), "theirs", 50, rules.merged(own, fields))
    return call.path, orjson.loads(call.body), call.dropped


def test_it_sends_everything_where_there_are_no_rules() -> None:
    path, body, dropped = sent({"top_k": 3, "unheard_of": 1}, {})
    assert (path, dropped) == ("/chat/completions", ())
    assert body == {**BODY, "model": "theirs", "top_k": 3, "unheard_of": 1, "max_tokens": 50}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5", "max_completion_tokens"),
        ("openai/gpt-5.1-mini", "max_completion_tokens"),
        ("o3-mini-2025-01-31", "max_completion_tokens"),
        ("o1", "max_completion_tokens"),
        ("gpt-4o", "max_tokens"),
        ("gpt-50b-chat", "max_tokens"),
        ("olmo-2", "max_tokens"),
    ],
)
def test_it_names_the_output_limit_as_the_models_family_does(model: str, name: str) -> None:
    limits = {"max_tokens", "max_completion_tokens"}
    for given in ({}, {"max_tokens": 9}):
        call = OpenAI().call(request({**BODY, **given}, size=100), model, 50, {})
        assert limits & orjson.loads(call.body).keys() == {name}
    call = OpenAI().call(request(dict(BODY), size=100), model, 50, {"max_tokens_param": "max_tokens"})
    assert limits & orjson.loads(call.body).keys() == {"max_tokens"}


@pytest.mark.parametrize("name", rules.PRESETS)
def test_every_preset_is_made_of_rules_there_are(name: str) -> None:
    rules.check(rules.PRESETS[name])
    rules.check({"like": name})


def test_it_drops_and_names() -> None:
    _, body, dropped = sent({"seed": 1, "user": "u", "temperature": 1}, {"like": "ollama", "sampling": False})
    assert dropped == ("user", "temperature")
    assert "user" not in body
    assert body["seed"] == 1


def test_it_renames_the_output_limit_both_ways() -> None:
    assert sent({"max_completion_tokens": 9}, {"max_tokens_param": "max_tokens"})[1]["max_tokens"] == 50
    body = sent({"max_tokens": 9}, {"max_tokens_param": "max_completion_tokens"})[1]
    assert (body["max_completion_tokens"], "max_tokens" in body) == (50, False)


def test_it_renames_sets_and_changes_the_developer_role() -> None:
    _, body, _ = sent({"seed": 7}, {"like": "mistral"}, set={"safe_prompt": True})
    assert (body["random_seed"], body["safe_prompt"]) == (7, True)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_it_refuses_by_name_and_by_number() -> None:
    with pytest.raises(BadRequest) as refused:
        sent({"logit_bias": {"1": 1}}, {"like": "ollama"})
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "logit_bias")
    with pytest.raises(BadRequest) as too_many:
        sent({"n": 2}, {"like": "ollama"})
    assert too_many.value.param == "n"


def test_it_finds_azures_path_and_version() -> None:
    path, _, _ = sent({}, {"like": "azure", "query": "api-version=2024-10-21"})
    assert path == "/openai/deployments/theirs/chat/completions?api-version=2024-10-21"


def test_it_forces_no_tool_where_the_model_cannot_be_forced() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    _, body, dropped = sent({"tools": tools, "tool_choice": "required"}, {"forced_tool_choice": False})
    assert (body["tool_choice"], dropped) == ("auto", ("tool_choice",))


def test_it_asks_no_usage_of_a_stream_that_must_not_be_asked() -> None:
    assert "stream_options" not in sent({"stream": True}, {"stream_usage": False})[1]
    assert sent({"stream": True}, {})[1]["stream_options"] == {"include_usage": True}


def test_a_models_rules_add_to_its_upstreams() -> None:
    both = rules.merged({"like": "deepseek", "drop": ["user"]}, {"drop": ["top_k"], "developer_role": "developer"})
    assert {"user", "top_k", "seed"} <= set(both["drop"])
    assert both["developer_role"] == "developer"
    assert "like" not in both


@pytest.mark.parametrize(
    "wrong",
    [
        {"drops": ["user"]},
        {"drop": "user"},
        {"drop": [1]},
        {"like": "nobody"},
        {"thinking": "hard"},
        {"sampling": "no"},
        {"operations": ["dance"]},
        {"headers": {"x": "a\r\nb"}},
        {"rename": {"seed": 1}},
    ],
)
def test_it_knows_a_rule_that_means_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(rules.RuleProblem):
        rules.check(wrong)


def test_only_who_takes_signed_reasoning_back_gets_it() -> None:
    told = {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.text"}]}
    plain = sent({"messages": [*BODY["messages"], told]}, {})[1]
    assert "reasoning_details" not in plain["messages"][-1]
    routed = sent({"messages": [*BODY["messages"], told]}, {"like": "openrouter"})[1]
    assert routed["messages"][-1] == told
