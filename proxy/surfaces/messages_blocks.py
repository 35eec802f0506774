"""Anthropic's turns of blocks as OpenAI's messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.errors import excerpt
from proxy.surfaces import messages_thoughts
from proxy.surfaces.messages_check import missing, text_at, wrong

THINKING = ("thinking", "redacted_thinking")

Message = dict[str, Any]
Parts = list[dict[str, Any]]


class Translation:
    """Messages, one after another. ``thoughts`` is signed reasoning by the id of the tool call it led to; ``thinking``
    is what was thought, signed or not, by the place of its message; ``foreign`` is whether there are blocks that only
    Anthropic understands."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.thoughts: dict[str, list[dict[str, Any]]] = {}
        self.thinking: dict[int, str] = {}
        self.foreign = False
        self._called: set[str] = set()

    def system(self, system: Any) -> None:
        """The system prompt, or a message of that role: one text."""
        texts = [system] if type(system) is str else [block["text"] for block in system]
        text = "\n\n".join(text for text in texts if text.strip())
        if text:
            self.messages.append({"role": "system", "content": text})

    def turn(self, message: Mapping[str, Any], path: str) -> None:
        """One of Anthropic's messages, which can be several of OpenAI's: each tool result is one."""
        content = message["content"]
        blocks: Parts = [{"type": "text", "text": content}] if type(content) is str else content
        if message["role"] == "assistant":
            self._assistant(blocks, f"{path}.content")
        elif message["role"] == "system":
            self.system([{"text": text_at(block, "text", path)} for block in blocks])
        else:
            self._user(blocks, f"{path}.content")

    def _assistant(self, blocks: Parts, path: str) -> None:
        texts: list[str] = []
        calls: Parts = []
        since: list[dict[str, Any]] = []
        for index, block in enumerate(blocks):
            place = f"{path}.{index}"
            match block["type"]:
                case "text":
                    texts.append(text_at(block, "text", place))
                case "thinking" | "redacted_thinking":
                    self._think(block, since)
                case "tool_use":
                    calls.append(_call(block, place))
                    if since:
                        self.thoughts.setdefault(calls[-1]["id"], []).extend(since)
                        since = []
                case _:
                    self._other(block, place)
        self._called.update(call["id"] for call in calls)
        text = "".join(texts)
        thought = "".join(_thought(block) for block in blocks)
        if thought and (calls or text):
            self.thinking[len(self.messages)] = thought
        if calls:
            self.messages.append({"role": "assistant", "content": text or None, "tool_calls": calls})
        elif text:
            self.messages.append({"role": "assistant", "content": text})

    def _think(self, block: dict[str, Any], since: list[dict[str, Any]]) -> None:
        """Reasoning belongs to the call it names, or else to the next one."""
        detail = messages_thoughts.opened(block, len(since))
        if detail is None:
            return
        named = detail.get("id")
        if type(named) is str and named:
            self.thoughts.setdefault(named, []).append(detail)
        else:
            since.append(detail)

    def _user(self, blocks: Parts, path: str) -> None:
        parts: Parts = []
        for index, block in enumerate(blocks):
            place = f"{path}.{index}"
            if block["type"] == "tool_result":
                parts += self._result(block, place)
            else:
                parts += self._part(block, place)
        if parts:
            plain = len(parts) == 1 and parts[0]["type"] == "text"
            self.messages.append({"role": "user", "content": parts[0]["text"] if plain else parts})

    def _result(self, block: dict[str, Any], path: str) -> Parts:
        """A tool's message; what is in it besides text is returned, as only users may show that."""
        identifier = text_at(block, "tool_use_id", path)
        if identifier not in self._called:
            raise wrong(
                path,
                f"unexpected `tool_use_id` found in `tool_result` blocks: {excerpt(identifier)}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in a previous message.",
            )
        content = block.get("content", "")
        given = [{"type": "text", "text": content}] if type(content) is str else content
        if type(given) is not list:
            raise wrong(f"{path}.content", "Input should be a valid string or array", "invalid_type")
        parts: Parts = []
        for index, part in enumerate(given):
            if type(part) is not dict:
                raise wrong(f"{path}.content.{index}", "Input should be an object", "invalid_type")
            parts += self._part(part, f"{path}.content.{index}")
        text = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
        if block.get("is_error") is True:  # OpenAI has no other way to say it
            text = f"Error: {text}"
        self.messages.append({"role": "tool", "tool_call_id": identifier, "content": text})
        return [part for part in parts if part["type"] != "text"]

    def _part(self, block: dict[str, Any], path: str) -> Parts:
        kind = block.get("type")
        if kind == "text":
            text = text_at(block, "text", path)
            return [{"type": "text", "text": text}] if text else []
        if kind == "image":
            return [{"type": "image_url", "image_url": {"url": _url(_source(block, path), path)}}]
        if kind == "document":
            return self._document(block, path)
        if kind == "search_result":
            found = block.get("content")
            texts = [str(part.get("text", "")) for part in found if type(part) is dict] if type(found) is list else []
            return [{"type": "text", "text": "\n".join([str(block.get("title", "")), *texts])}]
        self._other(block, path)
        return []

    def _document(self, block: dict[str, Any], path: str) -> Parts:
        source = _source(block, path)
        title = block.get("title")
        if source.get("type") == "text":
            text = text_at(source, "data", f"{path}.source")
            return [{"type": "text", "text": f"{title}\n\n{text}" if title else text}]
        if source.get("type") == "content":
            inner = source.get("content")
            blocks = [{"type": "text", "text": inner}] if type(inner) is str else inner
            if type(blocks) is not list or any(type(part) is not dict for part in blocks):
                raise wrong(f"{path}.source.content", "Input should be a valid string or array", "invalid_type")
            return [part for one in blocks for part in self._part(one, f"{path}.source.content")]
        name = title if type(title) is str and title else "document.pdf"
        return [{"type": "file", "file": {"filename": name, "file_data": _url(source, path)}}]

    def _other(self, block: dict[str, Any], path: str) -> None:
        """A block for Anthropic alone: its own, or one that is not known yet."""
        kind = block.get("type")
        if kind in (*THINKING, "tool_use", "tool_result", "image", "document"):
            raise wrong(path, f"'{kind}' blocks are not permitted here")
        if kind == "container_upload" or _names_file(block.get("source")):
            raise wrong(path, "files kept at the provider are not available here", "unsupported_parameter")
        self.foreign = True


def _thought(block: dict[str, Any]) -> str:
    """The words of a thinking block."""
    text = block.get("thinking") if block["type"] == "thinking" else None
    return text if type(text) is str else ""


def _call(block: dict[str, Any], path: str) -> dict[str, Any]:
    given = block.get("input", {})
    if type(given) is not dict:
        raise wrong(f"{path}.input", "Input should be an object", "invalid_type")
    function = {"name": text_at(block, "name", path), "arguments": orjson.dumps(given).decode()}
    return {"id": text_at(block, "id", path), "type": "function", "function": function}


def _source(block: dict[str, Any], path: str) -> dict[str, Any]:
    source = block.get("source")
    if type(source) is not dict:
        raise missing(f"{path}.source")
    if _names_file(source):
        raise wrong(f"{path}.source", "files kept at the provider are not available here", "unsupported_parameter")
    return source


def _names_file(source: Any) -> bool:
    return type(source) is dict and (source.get("type") == "file" or "file_id" in source)


def _url(source: dict[str, Any], path: str) -> str:
    """A source by URL, or its data as a data URL."""
    if source.get("type") == "url":
        return text_at(source, "url", f"{path}.source")
    if source.get("type") != "base64":
        raise wrong(f"{path}.source.type", "Input should be 'base64' or 'url'")
    media_type = text_at(source, "media_type", f"{path}.source")
    return f"data:{media_type};base64,{text_at(source, 'data', f'{path}.source')}"
