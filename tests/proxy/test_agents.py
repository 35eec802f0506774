"""Requests as coding agents were seen to send them, shortened: each is understood, and every dialect can say it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from proxy.dialects import DIALECTS
from proxy.errors import BadRequest
from proxy.surfaces import SURFACES
from proxy.surfaces.messages_request import native_headers

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
MARK = {"cache_control": {"type": "ephemeral"}}
SCRIPT_CALL = {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": '{"text":"x"}'}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def item(role: str, *texts: str) -> dict[str, Any]:
    """A message as Codex sends it, with an id of its own making."""
    return {
        "type": "message",
        "id": "msg_1",
        "role": role,
        "content": [{"type": "input_text", "text": one} for one in texts],
    }


def codex_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name, "description": "D.", "strict": False, "parameters": SCHEMA}


CLAUDE_CODE: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [text("<system-reminder>"), text("one two three", **MARK)]},
        {"role": "system", "content": "Available agent types for the Agent tool:"},
    ],
    "system": [text("x-anthropic-billing-header: cc_version=2.1;"), text("You are an agent.", **MARK)],
    "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"$schema": "https://a/b", **SCHEMA}}],
    "metadata": {"user_id": json.dumps({"device_id": "f" * 64, "account_uuid": "", "session_id": "7" * 36})},
    "max_tokens": 32000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}
CLAUDE_CODE_TURN: dict[str, Any] = {
    **CLAUDE_CODE,
    "messages": [
        CLAUDE_CODE["messages"][0],
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "<tool_use_error>InputValidationError</tool_use_error>",
                    "is_error": True,
                    **MARK,
                }
            ],
        },
    ],
}
CODEX: dict[str, Any] = {
    "model": "m",
    "input": [item("developer", "You are a coding agent."), item("user", "<environment_context>"), item("user", "Hi")],
    "tools": [
        codex_tool("exec_command"),
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Sub-agents.",
            "tools": [codex_tool("close_agent"), codex_tool("spawn_agent")],
        },
        {"type": "namespace", "name": "mcp__docs", "description": "D.", "tools": [codex_tool("look_up")]},
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0" * 36,
    "client_metadata": {"x-codex-turn-metadata": "{}"},
}
CODEX_CALL = {"type": "function_call", "status": "completed", "id": "fc_1", "arguments": "{}", "call_id": "call_1"}
CODEX_TURN: dict[str, Any] = {
    **CODEX,
    "input": [
        *CODEX["input"],
        {**CODEX_CALL, "name": "exec_command"},
        {**CODEX_CALL, "name": "close_agent", "namespace": "multi_agent_v1", "call_id": "call_2"},
        {**CODEX_CALL, "name": "look_up", "namespace": "mcp__docs", "call_id": "call_3"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "failed: missing field `cmd`"},
        {"type": "function_call_output", "id": "fco_2", "call_id": "call_2", "output": "{}"},
        {
            "type": "function_call_output",
            "id": "fco_3",
            "call_id": "call_3",
            "output": [{"type": "input_text", "text": "Output:"}, {"type": "input_text", "text": "found"}],
        },
    ],
}
CODEX_SUMMARY: dict[str, Any] = {**CODEX, "tools": []}
OPENCODE_RESPONSES: dict[str, Any] = {
    "model": "m",
    "input": [
        {"role": "system", "content": "You are opencode."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "call_1", "name": "bash", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "The tool was called with invalid arguments"},
    ],
    "store": False,
    "prompt_cache_key": "ses_1",
    "tools": [codex_tool("bash")],
    "tool_choice": "auto",
    "stream": True,
}
OPENCODE_CHAT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 32000,
    "messages": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [SCRIPT_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
    ],
    "tools": [{"type": "function", "function": {"name": "bash", "description": "D.", "parameters": SCHEMA}}],
    "tool_choice": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
}
CONTINUE_MESSAGES: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [text("Hi", **MARK)]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "Skills", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]},
    ],
    "system": [text("S", **MARK)],
    "max_tokens": 32000,
    "stream": True,
    "tools": [{"name": "Skills", "description": "D.", "input_schema": SCHEMA, **MARK}],
}
AIDER: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "system", "content": "Act as an expert"}, {"role": "user", "content": "Hi"}],
    "stream": True,
    "temperature": 0,
}
SEEN: dict[str, tuple[str, dict[str, Any]]] = {
    "Claude Code": ("/messages", CLAUDE_CODE),
    "Claude Code, after a call": ("/messages", CLAUDE_CODE_TURN),
    "Codex": ("/responses", CODEX),
    "Codex, after calls": ("/responses", CODEX_TURN),
    "Codex, without tools": ("/responses", CODEX_SUMMARY),
    "opencode by responses": ("/responses", OPENCODE_RESPONSES),
    "opencode by chat": ("/chat/completions", OPENCODE_CHAT),
    "Continue by messages": ("/messages", CONTINUE_MESSAGES),
    "aider": ("/chat/completions", AIDER),
}


def parsed(path: str, body: dict[str, Any]) -> Any:
    return SURFACES[path].parse(orjson.dumps(body))


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("case", SEEN)
def test_every_dialect_can_say_it(case: str, dialect: str) -> None:
    path, body = SEEN[case]
    chat = parsed(path, body)
    assert chat.stream
    call = DIALECTS["chat", dialect].call(chat, "upstream-model", 1000, {})
    said = json.loads(call.body)
    assert said
    assert b"namespace" not in call.body


@pytest.mark.parametrize("body", [CLAUDE_CODE, CLAUDE_CODE_TURN, CONTINUE_MESSAGES])
def test_anthropic_is_told_what_claude_code_said(body: dict[str, Any]) -> None:
    chat = parsed("/messages", body)
    said = json.loads(DIALECTS["messages", "anthropic"].call(chat, "claude", 32000, {}).body)
    assert said == {**body, "model": "claude"}


def test_anthropic_is_told_the_betas() -> None:
    betas = b"claude-code-20250219,interleaved-thinking-2025-05-14,mid-conversation-system-2026-04-07"
    assert native_headers({b"anthropic-beta": betas}) == (("anthropic-beta", betas.decode()),)


def test_no_beta_makes_a_context_window_larger_than_it_is_sold() -> None:
    betas = b"claude-code-20250219, context-1m-2025-08-07,interleaved-thinking-2025-05-14"
    assert native_headers({b"anthropic-beta": betas}) == (
        ("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14"),
    )
    assert native_headers({b"anthropic-beta": b"Context-1M-2025-08-07"}) == ()


def test_a_system_message_in_between_is_one_for_others() -> None:
    roles = [message["role"] for message in parsed("/messages", CLAUDE_CODE).body["messages"]]
    assert roles == ["system", "user", "system"]


def test_codexs_namespaces_are_functions() -> None:
    chat = parsed("/responses", CODEX_TURN)
    names = [tool["function"]["name"] for tool in chat.body["tools"]]
    spaced = ["multi_agent_v1__close_agent", "multi_agent_v1__spawn_agent", "mcp__docs__look_up"]
    assert names == ["exec_command", *spaced]
    [turn] = [message for message in chat.body["messages"] if message["role"] == "assistant"]
    called = [call["function"]["name"] for call in turn["tool_calls"]]
    assert called == ["exec_command", "multi_agent_v1__close_agent", "mcp__docs__look_up"]


def test_what_codex_merely_offers_is_left_out_and_named() -> None:
    assert parsed("/responses", CODEX).dropped == ("web_search",)
    with pytest.raises(BadRequest) as refused:
        parsed("/responses", {**CODEX, "tools": [{"type": "web_search"}]})
    assert refused.value.param == "tools[0].type"


def test_no_choice_is_sent_among_no_tools() -> None:
    body = parsed("/responses", CODEX_SUMMARY).body
    assert body.keys().isdisjoint({"tools", "tool_choice", "parallel_tool_calls"})
