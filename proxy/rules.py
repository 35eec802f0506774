"""Rules: how an upstream or a model deviates from its dialect, as data. Presets by provider, and their check. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from proxy import tokenizers
from proxy.factors import LEAST, PER

_NUMBER = re.compile(r"([0-9]{1,2})(?:\.([0-9]{1,3}))?")
OPERATIONS = ("chat", "embeddings", "images")
THINKING = "openai thinking"
"""The dialect of OpenAI's upstreams that want their reasoning back; no operator has to name it."""


class RuleProblem(Exception):
    """A rule that means nothing, in words for the operator who typed it."""


class Key(NamedTuple):
    """One rule: the type of its value, the texts it may be (empty for any), and what it does."""

    kind: type
    choices: tuple[str, ...]
    meaning: str


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "like": Key(str, (), "Start from the rules of this provider; keys beside it win."),
        "operations": Key(list, OPERATIONS, "What the model does; chat where nothing is said."),
        "drop": Key(list, (), "Parameters that are left out, and named in x-tollgate-dropped."),
        "refuse": Key(list, (), "Parameters that are answered with 400 unsupported_parameter."),
        "rename": Key(dict, (), "Parameters that go under another name: {from: to}."),
        "set": Key(dict, (), "Members added to every body; they win over the client's."),
        "most": Key(dict, (), "Numbers that are capped: {parameter: most}."),
        "max_tokens_param": Key(str, ("max_tokens", "max_completion_tokens"), "The name of the output limit."),
        "developer_role": Key(str, ("developer", "system", "user"), "The role a developer message goes under."),
        "sampling": Key(bool, (), "false: temperature, top_p and top_k are left out."),
        "thinking": Key(
            str,
            ("none", "budget", "adaptive", "always", "level"),
            "How effort is asked for: a token budget, adaptive with an effort, a level; always is on and not asked.",
        ),
        "forced_tool_choice": Key(bool, (), "false: required and named tool choices go as auto."),
        "reasoning_details": Key(bool, (), "true: the upstream takes reasoning_details of earlier turns back."),
        "reasoning_content": Key(
            bool,
            (),
            "true: the upstream wants what it thought back with its tool calls, as reasoning_content.",
        ),
        "stream_usage": Key(bool, (), "false: stream_options is not sent, as the upstream refuses it."),
        "path": Key(str, (), "The path of chat completions below the base URL; {model} is the upstream's model."),
        "query": Key(str, (), "A query string on every call, such as api-version=2024-10-21."),
        "auth": Key(str, ("bearer", "api-key", "x-api-key", "x-goog-api-key"), "The header the credential goes in."),
        "tokenizer": Key(
            str,
            (*tokenizers.NAMES, "none"),
            "The vocabulary that tokens are counted in where the upstream does not; by the model's name if not given.",
        ),
        "hold_bytes_per_token": Key(
            str,
            (),
            "Holds less for long inputs than a token a byte: measured, or bytes per token such as 2.5.",
        ),
        "headers": Key(dict, (), "Headers on every call, none of them secret."),
    }
)

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "openai": {},
        "azure": {"auth": "api-key", "path": "/openai/deployments/{model}/chat/completions"},
        "deepseek": {
            "developer_role": "system",
            "max_tokens_param": "max_tokens",
            "drop": ["seed", "logit_bias", "parallel_tool_calls", "store", "metadata", "service_tier"],
            "reasoning_content": True,
        },
        "moonshot": {"developer_role": "system", "max_tokens_param": "max_tokens", "reasoning_content": True},
        "zai": {"developer_role": "system", "max_tokens_param": "max_tokens", "reasoning_content": True},
        "vllm": {"developer_role": "system", "max_tokens_param": "max_tokens", "drop": ["store", "metadata"]},
        "ollama": {
            "developer_role": "system",
            "max_tokens_param": "max_tokens",
            "refuse": ["logit_bias"],
            "most": {"n": 1},
            "drop": ["user", "store", "metadata", "parallel_tool_calls", "service_tier"],
        },
        "openrouter": {"set": {"usage": {"include": True}}, "reasoning_details": True},
        "mistral": {
            "developer_role": "system",
            "max_tokens_param": "max_tokens",
            "rename": {"seed": "random_seed"},
            "stream_usage": False,
            "drop": [
                "logit_bias", "logprobs", "top_logprobs", "user", "store", "metadata", "service_tier", "top_k", "min_p",
                "repetition_penalty", "prompt_cache_key", "safety_identifier", "verbosity",
            ],
        },
        "xai": {"developer_role": "system", "drop": ["logit_bias", "store", "metadata"]},
    }
)  # fmt: skip


def check(rules: Mapping[str, Any]) -> None:
    """Raise RuleProblem for a key nobody knows, a value of another type, or a preset that is none."""
    for name, value in rules.items():
        key = KEYS.get(name)
        if key is None:
            raise RuleProblem(f"There is no rule '{name}'. Rules are: {', '.join(KEYS)}.")
        if type(value) is not key.kind:
            raise RuleProblem(f"The rule '{name}' takes a {WORDS[key.kind]}.")
        given = value if type(value) is list else [value] if type(value) is str else []
        if key.choices and any(text not in key.choices for text in given):
            raise RuleProblem(f"The rule '{name}' takes one of: {', '.join(key.choices)}.")
        if type(value) is list and any(type(text) is not str for text in value):
            raise RuleProblem(f"The rule '{name}' takes a list of names.")
    like = rules.get("like")
    if like is not None and like not in PRESETS:
        raise RuleProblem(f"There are no rules of '{like}'. Providers are: {', '.join(PRESETS)}.")
    if _hold_factor(rules.get("hold_bytes_per_token", "1"), measured=LEAST) is None:
        raise RuleProblem("The rule 'hold_bytes_per_token' takes measured, or a number such as 2.5, at least 1.")
    for name in ("rename", "headers"):
        if any(type(text) is not str or not _printable(text) for pair in rules.get(name, {}).items() for text in pair):
            raise RuleProblem(f"The rule '{name}' takes texts in one line.")


def merged(*layers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rules of an upstream, then those of a model: later ones win, lists of names and maps add up."""
    whole: dict[str, Any] = {}
    for layer in layers:
        preset = PRESETS.get(layer.get("like", ""), {})
        for name, value in (*preset.items(), *layer.items()):
            whole[name] = _joined(whole.get(name), value) if name != "operations" else value
    whole.pop("like", None)
    return MappingProxyType(whole)


def spoken(dialect: str, rules: Mapping[str, Any]) -> str:
    """The dialect of a route: what its upstream speaks, or the kind of it that its rules ask for."""
    return THINKING if dialect == "openai" and rules.get("reasoning_content") else dialect


def hold_factor(rules: Mapping[str, Any], *, measured: int) -> int:
    """Bytes per 1,000 tokens that holds go by; ``measured`` is what was learned, or 0 while that is too little."""
    return _hold_factor(rules.get("hold_bytes_per_token", "1"), measured=measured) or LEAST


def _hold_factor(text: str, *, measured: int) -> int | None:
    """None for a text that is no such number."""
    if text == "measured":
        return max(measured, LEAST)
    found = _NUMBER.fullmatch(text)
    factor = int(found[1]) * PER + int((found[2] or "").ljust(3, "0")) if found else 0
    return factor if factor >= LEAST else None


def _joined(known: Any, value: Any) -> Any:
    """Two values of one rule."""
    if type(known) is list and type(value) is list:
        return [*known, *(item for item in value if item not in known)]
    return {**known, **value} if type(known) is dict and type(value) is dict else value


WORDS = {str: "text", list: "list", dict: "map of names to values", bool: "true or false"}


def _printable(text: str) -> bool:
    return text.isprintable() and text.isascii()
