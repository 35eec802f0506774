"""What Anthropic refuses of a conversation: roles, tool results without calls, thoughts that were lost. Pure."""

from __future__ import annotations

from typing import Any

from proxy.sandbox import signatures
from proxy.sandbox.anthropic import blocks
from proxy.sandbox.anthropic.blocks import Block
from proxy.sandbox.anthropic.refusal import invalid
from proxy.sandbox.behaviour import Behaviour

Message = dict[str, Any]
THOUGHTS = ("thinking", "redacted_thinking")


def check(body: dict[str, Any], asked: Behaviour) -> None:
    """Raise the Refusal that the real API would answer to these messages."""
    messages = body.get("messages")
    if messages is None:
        raise invalid("messages: Field required")
    if type(messages) is not list:
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        _message(message, index, last=index == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    conversation = merged(messages)
    _tool_turns(conversation)
    thinking = (body.get("thinking") or {}).get("type")
    _thoughts(conversation, enabled=thinking == "enabled" or (thinking == "adaptive" and asked.kind == "thinking"))
    if thinking in ("enabled", "adaptive") and conversation[-1]["role"] == "assistant":
        raise invalid("When `thinking` is enabled, the conversation must end with a user message.")


def merged(messages: list[Message]) -> list[Message]:
    """The turns: neighbours of one role are one, and a string is a text block."""
    turns: list[Message] = []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if type(content) is str else content
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] = [*turns[-1]["content"], *parts]
        else:
            turns.append({"role": message["role"], "content": parts})
    return turns


def _message(message: Any, index: int, *, last: bool) -> None:
    path = f"messages.{index}"
    if type(message) is not dict:
        raise invalid(f"{path}: Input should be an object")
    role = message.get("role")
    if role == "system":
        raise invalid(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )
    if role not in ("user", "assistant"):
        raise invalid(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant"')
    for name in message.keys() - {"role", "content"}:
        raise invalid(f"{path}.{name}: Extra inputs are not permitted")
    if "content" not in message:
        raise invalid(f"{path}.content: Field required")
    _content(message["content"], path, role, last=last)


def _content(content: Any, path: str, role: str, *, last: bool) -> None:
    if type(content) not in (str, list):
        raise invalid(f"{path}.content: Input should be a valid list")
    final_assistant = last and role == "assistant"
    if not content and not final_assistant:
        raise invalid(
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    if type(content) is str:
        if not content.strip() and not final_assistant:
            raise invalid("messages: text content blocks must contain non-whitespace text")
    else:
        for place, block in enumerate(content):
            blocks.check(block, f"{path}.content.{place}", blocks.OF_USER if role == "user" else blocks.OF_ASSISTANT)
    final = content if type(content) is str else content[-1].get("text", "") if content else ""
    if final_assistant and final != final.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def _tool_turns(conversation: list[Message]) -> None:
    """Every call is answered at the start of the next turn, and every answer has its call in the turn before."""
    seen: set[str] = set()
    called: list[str] = []
    for index, turn in enumerate(conversation):
        answered = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        leading = _leading_results(turn["content"])
        missing = [ident for ident in called if ident not in leading]
        if missing:
            raise invalid(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        for place, ident in enumerate(answered):
            _answer(index, place, ident, called, answered)
        called = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        if seen & set(called) or len(set(called)) < len(called):
            raise invalid("messages: `tool_use` ids must be unique")
        seen |= set(called)
    if called:
        raise invalid(
            f"messages.{len(conversation) - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(called)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def _answer(index: int, place: int, ident: str, called: list[str], answered: list[str]) -> None:
    if ident not in called:
        raise invalid(
            f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {ident}. Each "
            "`tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
    if answered.count(ident) > 1:
        raise invalid(
            f"messages.{index}.content.{place}: each tool_use must have a single result. Found multiple `tool_result` "
            f"blocks with id: {ident}"
        )


def _leading_results(content: list[Block]) -> list[str]:
    """Ids of the tool results before any other block."""
    found = []
    for block in content:
        if block["type"] != "tool_result":
            break
        found.append(block["tool_use_id"])
    return found


def _thoughts(conversation: list[Message], *, enabled: bool) -> None:
    """Signatures are the sandbox's own, and the turn of a running tool call starts with what was thought before it."""
    newest = max((index for index, turn in enumerate(conversation) if turn["role"] == "assistant"), default=-1)
    for index, turn in enumerate(conversation):
        for place, block in enumerate(turn["content"]):
            _thought(block, f"messages.{index}.content.{place}", newest=index == newest)
    if not enabled or newest < 0:
        return
    first = conversation[newest]["content"][0]["type"]
    running = any(block["type"] == "tool_use" for block in conversation[newest]["content"])
    if running and first not in THOUGHTS:
        raise invalid(
            f"messages.{newest}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from "
            "previous turns. To avoid this requirement, disable `thinking`."
        )


def _thought(block: Block, path: str, *, newest: bool) -> None:
    if block["type"] == "redacted_thinking" and not signatures.valid(str(block["data"])):
        raise invalid(f"{path}: Invalid `data` in `redacted_thinking` block")
    if block["type"] != "thinking":
        return
    if not signatures.valid(str(block["signature"])):
        raise invalid(f"{path}: Invalid `signature` in `thinking` block")
    if newest and not signatures.signs(block["signature"], block["thinking"]):
        raise invalid(
            f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
            "These blocks must remain as they were in the original response."
        )
