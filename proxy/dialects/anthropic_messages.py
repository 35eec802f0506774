"""OpenAI's messages in Anthropic's words: a system prompt, and turns of blocks that take it in turns. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NamedTuple

import orjson

from proxy.chat import ChatRequest
from proxy.errors import BadRequest
from proxy.parameters import bad, wrong_type

FORMAT = "anthropic-claude-v1"
"""The ``format`` of reasoning_details that came from Anthropic and may go back there."""
THINKING = ("thinking", "redacted_thinking")
MEDIA_TYPES = {"image/jpg": "image/jpeg"}
GO_ON = "Continue."

_ODD_ID = re.compile(r"[^a-zA-Z0-9_-]")

Blocks = list[dict[str, Any]]
Thoughts = dict[str, list[dict[str, Any]]]


class Conversation(NamedTuple):
    """``system`` as text blocks; ``turns`` of user and assistant, the first and those after results from the user."""

    system: Blocks
    turns: list[dict[str, Any]]


def conversation(chat: ChatRequest) -> Conversation:
    """All messages, thinking included. Raises BadRequest for what Anthropic cannot be shown."""
    system: Blocks = []
    turns: list[dict[str, Any]] = []
    called: dict[str, str] = {}
    for index, message in enumerate(chat.body["messages"]):
        path, role = f"messages[{index}]", message["role"]
        if role in ("system", "developer"):
            system += _marked(_content(message.get("content"), f"{path}.content"), message)
        elif role == "assistant":
            _add(turns, "assistant", _marked(_assistant(message, chat.thoughts, path, called), message))
        elif role == "user":
            _add(turns, "user", _marked(_content(message.get("content"), f"{path}.content"), message))
        else:
            _add(turns, "user", _marked([_tool_result(message, path, called)], message))
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": GO_ON}]})
    for turn in turns:
        if turn["role"] == "user":  # results come before anything else that is said in their turn
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    _trim(turns)
    return Conversation(system, turns)


def tool_names(turns: list[dict[str, Any]]) -> list[str]:
    """The tools that were called in the conversation, each once."""
    blocks = (block for turn in turns for block in turn["content"])
    return list(dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use"))


def unsigned(turns: list[dict[str, Any]]) -> bool:
    """Whether the turn that tool results go back to began without thinking, or the assistant's words are put before it:
    with a thinking budget Anthropic refuses both."""
    first: dict[str, Any] | None = None
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            first = turn
        elif any(block["type"] != "tool_result" for block in turn["content"]):
            break
    return first is not None and first["content"][0]["type"] not in THINKING


def without_thinking(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with their thinking left out."""
    left: list[dict[str, Any]] = []
    for turn in turns:
        _add(left, turn["role"], [block for block in turn["content"] if block["type"] not in THINKING])
    return left


def tool_id(given: object) -> str:
    """A tool call's id with nothing but what Anthropic lets ids have."""
    return _ODD_ID.sub("_", given) if type(given) is str and given else "call"


def _add(turns: list[dict[str, Any]], role: str, blocks: Blocks) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _trim(turns: list[dict[str, Any]]) -> None:
    """Words put into the assistant's mouth may not end in white space."""
    last = turns[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()


def _marked(blocks: Blocks, message: dict[str, Any]) -> Blocks:
    """A message's own cache_control belongs to its last block."""
    mark = message.get("cache_control")
    if type(mark) is dict and blocks and blocks[-1]["type"] not in THINKING:
        blocks[-1]["cache_control"] = mark
    return blocks


def _content(content: Any, path: str) -> Blocks:
    """A text or parts; texts of nothing but white space are left out, as Anthropic refuses them."""
    if content is None:
        return []
    if type(content) is str:
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = []
    for index, part in enumerate(content):
        block = _part(part, f"{path}[{index}]")
        if block is None:
            continue
        if type(part.get("cache_control")) is dict:
            block["cache_control"] = part["cache_control"]
        blocks.append(block)
    return blocks


def _part(part: dict[str, Any], path: str) -> dict[str, Any] | None:
    kind = part["type"]
    if kind in ("text", "refusal"):
        text = part[kind]
        if type(text) is not str:
            raise wrong_type(f"{path}.{kind}", "a string", text)
        return {"type": "text", "text": text} if text.strip() else None
    if kind == "image_url":
        return _image(part["image_url"], f"{path}.image_url")
    if kind == "file":
        return _document(part["file"], f"{path}.file")
    raise bad("This model does not take audio.", "unsupported_value", f"{path}.type")


def _image(image: Any, path: str) -> dict[str, Any]:
    url = image.get("url") if type(image) is dict else image
    if type(url) is not str:
        raise wrong_type(f"{path}.url", "a string", url)
    if url[:8].lower().startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_url(url, f"{path}.url")
    media_type = MEDIA_TYPES.get(media_type, media_type)
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document(file: Any, path: str) -> dict[str, Any]:
    """A PDF or plain text; files kept at a provider are nobody's here."""
    if type(file) is not dict or type(file.get("file_data")) is not str:
        raise bad(f"Missing required parameter: '{path}.file_data'.", "missing_required_parameter", f"{path}.file_data")
    given = file["file_data"]
    source: dict[str, Any]
    if given.startswith(("https://", "http://")):
        source = {"type": "url", "url": given}
    else:
        media_type, data = ("application/pdf", given)
        if given[:5].lower() == "data:":
            media_type, data = _data_url(given, f"{path}.file_data")
        if media_type.startswith("text/"):
            source = {"type": "text", "media_type": "text/plain", "data": _decoded(data, f"{path}.file_data")}
        elif media_type == "application/pdf":
            source = {"type": "base64", "media_type": media_type, "data": data}
        else:
            raise bad("This model takes PDF and text files only.", "unsupported_value", f"{path}.file_data")
    name = file.get("filename")
    return {"type": "document", "source": source, **({"title": name} if type(name) is str and name else {})}


def _data_url(url: str, path: str) -> tuple[str, str]:
    """Media type and base64 data of a data URL."""
    head, _, data = url.partition(",")
    head = head.lower()
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise bad(f"'{path}' is neither an https URL nor a data URL in base64.", "invalid_value", path)
    return head[len("data:") : -len(";base64")].partition(";")[0].strip(), data


def _decoded(data: str, path: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise bad(f"'{path}' is no text in base64.", "invalid_value", path) from None


def _assistant(message: dict[str, Any], thoughts: Thoughts, path: str, called: dict[str, str]) -> Blocks:
    """Thinking, then what was said, then the calls, each behind the thinking it came from."""
    calls = message.get("tool_calls") or []
    details = message.get("reasoning_details")
    blocks = _thinking(details)
    said = _content(message.get("content"), f"{path}.content") or _content(message.get("refusal"), path)
    remembered = {} if blocks else {call["id"]: _thinking(thoughts.get(call["id"])) for call in calls}
    if calls and not blocks:
        blocks = remembered.pop(calls[0]["id"], [])
    blocks += said
    for call in calls:
        function = call.get("function")
        if type(function) is not dict or type(function.get("name")) is not str:
            raise bad(f"Missing required parameter: '{path}.tool_calls'.", "missing_required_parameter", path)
        blocks += remembered.get(call["id"], [])
        blocks.append(_tool_use(tool_id(call["id"]), function))
    old = message.get("function_call")
    if type(old) is dict and type(old.get("name")) is str:
        called[old["name"]] = tool_id(f"call_{path}")
        blocks.append(_tool_use(called[old["name"]], old))
    return blocks


def _thinking(details: object) -> Blocks:
    """Blocks of reasoning_details; those without a signature, or another provider's, are nothing to Anthropic."""
    blocks: Blocks = []
    for detail in details if type(details) is list else ():
        if type(detail) is not dict or detail.get("format") not in (None, FORMAT):
            continue
        kind, signature, data = detail.get("type"), detail.get("signature"), detail.get("data")
        if kind == "reasoning.text" and type(signature) is str and signature:
            text = detail.get("text")
            text = text if type(text) is str else ""
            blocks.append({"type": "thinking", "thinking": text, "signature": signature})
        elif kind == "reasoning.encrypted" and type(data) is str and data:
            blocks.append({"type": "redacted_thinking", "data": data})
    return blocks


def _tool_use(identifier: str, function: dict[str, Any]) -> dict[str, Any]:
    try:
        given = orjson.loads(function.get("arguments") or b"{}")
    except (ValueError, TypeError):
        given = {}
    return {
        "type": "tool_use",
        "id": identifier,
        "name": function["name"],
        "input": given if type(given) is dict else {},
    }


def _tool_result(message: dict[str, Any], path: str, called: dict[str, str]) -> dict[str, Any]:
    identifier = tool_id(message.get("tool_call_id"))
    if message["role"] == "function":
        name = message.get("name")
        if type(name) is not str or name not in called:
            raise BadRequest(f"'{path}' answers no earlier function call.", "invalid_value", param=f"{path}.name")
        identifier = called[name]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": identifier}
    content = _content(message.get("content"), f"{path}.content")
    if content:
        block["content"] = content
    return block
