"""Items of the Responses API and messages of chat completions, turned into each other. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

import orjson

from proxy.errors import excerpt
from proxy.parameters import bad, wrong_type
from proxy.surfaces.responses_tools import flat

SEAL = "tollgate."
"""Begins encrypted_content that holds a provider's signed reasoning, which finds its way back in it."""
STATEFUL = "This API keeps nothing between calls: send the conversation itself."

Body = dict[str, Any]


class Translation:
    """Input items on their way to messages: calls that follow one another are one assistant's turn.

    ``thinking`` is what was thought, as far as it was shown, by the place of the message it led to.
    """

    def __init__(self) -> None:
        self.messages: list[Body] = []
        self.thinking: dict[int, str] = {}
        self._details: list[Any] = []
        self._thought = ""
        self._told = False

    def item(self, item: Any, path: str) -> None:
        """The next item; raises BadRequest naming its path."""
        if type(item) is not dict:
            raise wrong_type(path, "an object", item)
        kind = item.get("type", "message")
        match kind:
            case "message":
                self._message(item, path)
            case "function_call" | "custom_tool_call":
                self._call(item, kind, path)
            case "function_call_output" | "custom_tool_call_output":
                call_id = _text(item, "call_id", path)
                self.messages.append({"role": "tool", "tool_call_id": call_id, "content": _output(item, path)})
            case "reasoning":
                self._details += opened(item.get("encrypted_content"))
                self._thought, self._told = _shown(item) if self._told else self._thought + _shown(item), False
            case "item_reference":
                raise bad(STATEFUL, "unsupported_value", f"{path}.type")
            case _:
                raise bad(f"Items of type '{excerpt(kind)}' are not taken here.", "invalid_value", f"{path}.type")

    def _message(self, item: Body, path: str) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            wanted = "'user', 'assistant', 'system', 'developer'"
            raise bad(f"Supported values are: {wanted}.", "invalid_value", f"{path}.role")
        content = item.get("content")
        if type(content) is list:
            content = [_part(part, f"{path}.content[{index}]") for index, part in enumerate(content)]
            if role == "assistant":
                content = "".join(part.get("text") or part.get("refusal") or "" for part in content)
        elif type(content) is not str:
            raise wrong_type(f"{path}.content", "a string or an array", content)
        message: Body = {"role": role, "content": content}
        if role != "assistant":
            self._details, self._thought = [], ""  # reasoning that led to nothing
        else:
            self._thought = "" if self._told else self._thought
            self._with_details(message)
        self.messages.append(message)

    def _call(self, item: Body, kind: str, path: str) -> None:
        call: Body = {"id": _text(item, "call_id", path)}
        name = _text(item, "name", path)
        if type(item.get("namespace")) is str:
            name = flat(item["namespace"], name)
        if kind == "function_call":
            call |= {"type": "function", "function": {"name": name, "arguments": item.get("arguments") or "{}"}}
        else:
            call |= {"type": "custom", "custom": {"name": name, "input": item.get("input") or ""}}
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "assistant" or self._details:
            last = {"role": "assistant", "content": None}
            self._with_details(last)
            self.messages.append(last)
        last.setdefault("tool_calls", []).append(call)

    def _with_details(self, message: Body) -> None:
        if self._details:
            message["reasoning_details"], self._details = self._details, []
        if self._thought:  # it stays: results may be told between calls that were made together
            self.thinking[len(self.messages)], self._told = self._thought, True


def _part(part: Any, path: str) -> Body:
    """A content part in the words of chat completions."""
    if type(part) is not dict:
        raise wrong_type(path, "an object", part)
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": _text(part, "text", path)}
    if kind == "refusal":
        return {"type": "refusal", "refusal": _text(part, "refusal", path)}
    if kind == "input_image":
        if type(part.get("image_url")) is not str:
            raise bad("Send images by 'image_url'; no files are kept here.", "unsupported_value", f"{path}.image_url")
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail") or "auto"}}
    if kind == "input_file":
        file = {name: part[name] for name in ("filename", "file_data") if type(part.get(name)) is str}
        if "file_data" not in file:
            raise bad("Send files by 'file_data'; none are kept here.", "unsupported_value", f"{path}.file_data")
        return {"type": "file", "file": file}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    wanted = "'input_text', 'input_image', 'input_file', 'output_text', 'refusal'"
    raise bad(f"Supported values are: {wanted}.", "invalid_value", f"{path}.type")


def _shown(item: Body) -> str:
    """The words of a reasoning item: its content, or else its summary."""
    for name in ("content", "summary"):
        parts = item.get(name)
        given = [part.get("text") for part in parts if type(part) is dict] if type(parts) is list else []
        text = "".join(text for text in given if type(text) is str)
        if text:
            return text
    return ""


def _output(item: Body, path: str) -> Any:
    """What a tool gave back: a text, or parts."""
    output = item.get("output")
    if type(output) is list:
        return [_part(part, f"{path}.output[{index}]") for index, part in enumerate(output)]
    if type(output) is str:
        return output
    raise wrong_type(f"{path}.output", "a string or an array", output)


def _text(item: Body, name: str, path: str) -> str:
    text = item.get(name)
    if text is None:
        raise bad(f"Missing required parameter: '{path}.{name}'.", "missing_required_parameter", f"{path}.{name}")
    if type(text) is not str:
        raise wrong_type(f"{path}.{name}", "a string", text)
    return text


def to_seal(details: Iterable[Any]) -> list[Any]:
    """Those of reasoning_details that hold more than the words that were shown."""
    return [one for one in details if type(one) is dict and (one.get("signature") or one.get("data"))]


def sealed(details: Iterable[Any]) -> str | None:
    """Signed reasoning as encrypted_content; None where there is nothing to carry."""
    kept = to_seal(details)
    return SEAL + base64.urlsafe_b64encode(orjson.dumps(kept)).decode() if kept else None


def opened(content: object) -> list[Any]:
    """The reasoning_details that encrypted_content holds; none where it is not ours."""
    if type(content) is not str or not content.startswith(SEAL):
        return []
    try:
        details = orjson.loads(base64.urlsafe_b64decode(content[len(SEAL) :]))
    except (ValueError, binascii.Error):
        return []
    return [one for one in details if type(one) is dict] if type(details) is list else []


def reasoning_item(item_id: str, text: str, details: Iterable[Any]) -> Body:
    """What the model thought, as a summary, and what must come back with the next turn."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": item_id, "type": "reasoning", "summary": summary, "encrypted_content": sealed(details)}


def message_item(
    item_id: str, text: str, *, refusal: str = "", status: str = "completed", logprobs: Iterable[Any] = ()
) -> Body:
    """What the model said, and how likely each token was, if that was asked for."""
    content: list[Body] = []
    if text or not refusal:
        content.append({"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)})
    if refusal:
        content.append({"type": "refusal", "refusal": refusal})
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(item_id: str, call: Body, *, status: str = "completed") -> Body:
    """A tool call; ``call`` names its function as the client does, with a namespace if it has one."""
    if call.get("type") == "custom":
        made = call.get("custom") or {}
        rest = {"type": "custom_tool_call", "name": made.get("name", ""), "input": made.get("input", "")}
    else:
        made = call.get("function") or {}
        rest = {"type": "function_call", "name": made.get("name", ""), "arguments": made.get("arguments", "")}
    if made.get("namespace"):
        rest["namespace"] = made["namespace"]
    return {"id": item_id, "call_id": call.get("id") or item_id, "status": status, **rest}
