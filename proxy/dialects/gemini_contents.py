"""OpenAI's messages as Gemini's system instruction and contents. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.dialects import gemini_parts
from proxy.dialects.gemini_parts import Part
from proxy.parameters import bad

FORMAT = "google-gemini-v1"
UNSIGNED = "skip_thought_signature_validator"
"""What Google's guide to thought signatures names for calls that were made without one, or whose own is lost."""

Thoughts = dict[str, list[dict[str, Any]]]


class Contents:
    """A conversation as it is read. Neighbours of one role become one content: Gemini's turns take turns.

    ``thoughts`` are signatures kept by tool-call id, ``signed`` says whether every step with calls must have one.
    """

    def __init__(self, thoughts: Thoughts, *, signed: bool) -> None:
        self.system: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._thoughts = thoughts
        self._signed = signed
        self._names: dict[str, str] = {}

    def read(self, messages: list[dict[str, Any]]) -> None:
        """All messages. Instructions without anything said are said by the user. Raises BadRequest."""
        for index, message in enumerate(messages):
            self._add(message, f"messages[{index}].content")
        if not self.contents and self.system:
            self.contents, self.system = [{"role": "user", "parts": self.system}], []
        if not self.contents:
            raise bad("There is no message with any content.", "invalid_value", "messages")

    def _add(self, message: dict[str, Any], path: str) -> None:
        content = message.get("content")
        match message["role"]:
            case "system" | "developer":
                self.system += gemini_parts.of_content(content, path)
            case "user":
                self._say("user", gemini_parts.of_content(content, path))
            case "assistant":
                self._say("model", self._answered(message, path))
            case "tool" | "function":
                self._say("user", self._result(message, path))

    def _say(self, role: str, parts: list[Part]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def _answered(self, message: dict[str, Any], path: str) -> list[Part]:
        """What the model said, drew and called, each with the signature it came with."""
        signatures = signatures_of(message)
        parts = gemini_parts.of_content(message.get("content"), path)
        if parts and (own := signatures.get("")):
            parts[-1]["thoughtSignature"] = own
        images = message.get("images")
        for index, image in enumerate(images if type(images) is list else ()):
            parts.append(self._drawn(image, path.replace("content", f"images[{index}]")))
        calls = message.get("tool_calls") or []
        if not calls and type(message.get("function_call")) is dict:
            calls = [{"function": message["function_call"]}]
        called = [self._call(call, signatures) for call in calls]
        if called and self._signed and not any("thoughtSignature" in part for part in called):
            called[0]["thoughtSignature"] = UNSIGNED
        return parts + called

    def _drawn(self, image: object, path: str) -> Part:
        image = image if type(image) is dict else {}
        part = gemini_parts.picture(image.get("image_url"), f"{path}.image_url")
        signature = signature_in(image)
        if signature or self._signed:
            part["thoughtSignature"] = signature or UNSIGNED
        return part

    def _call(self, call: dict[str, Any], signatures: dict[str, str]) -> Part:
        function = call.get("function")
        if type(function) is not dict:
            function = {}
        name, ident = str(function.get("name") or "unknown"), call.get("id")
        made: dict[str, Any] = {"name": name, "args": arguments_of(function.get("arguments"))}
        part: Part = {"functionCall": made}
        if type(ident) is str:
            made["id"] = ident
            self._names[ident] = name
            signature = signature_in(call) or signatures.get(ident) or _sealed(self._thoughts.get(ident, ())).get(ident)
            if signature:
                part["thoughtSignature"] = signature
        return part

    def _result(self, message: dict[str, Any], path: str) -> list[Part]:
        """A tool's result by the name of what was called; pictures in it follow as parts of their own."""
        ident, content = message.get("tool_call_id"), message.get("content")
        name = self._names.get(ident, "unknown") if type(ident) is str else str(message.get("name") or "unknown")
        answered: dict[str, Any] = {"name": name, "response": result_of(gemini_parts.text_of(content))}
        if type(ident) is str:
            answered["id"] = ident
        more = gemini_parts.of_content(content, path) if type(content) is list else []
        return [{"functionResponse": answered}, *(part for part in more if "text" not in part)]


def signatures_of(message: dict[str, Any]) -> dict[str, str]:
    """The signatures in a message's ``reasoning_details`` by tool-call id; that of its text under the empty id."""
    details = message.get("reasoning_details")
    return _sealed(details) if type(details) is list else {}


def signature_in(call: dict[str, Any]) -> str:
    """The signature in ``extra_content.google.thought_signature``, as Google's own OpenAI endpoint has it."""
    inner: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        inner = inner.get(name) if type(inner) is dict else None
    return inner if type(inner) is str else ""


def arguments_of(text: object) -> Any:
    """A call's arguments: what is no JSON object is an empty one."""
    return orjson.Fragment(text) if type(text) is str and _is_object(text) else {}


def result_of(text: str) -> Any:
    """A result as the object it must be: its own, or the text wrapped."""
    return orjson.Fragment(text) if _is_object(text) else {"result": text}


def _is_object(text: str) -> bool:
    """Whether a text is a JSON object; it is passed as it is, since what can be read is not always writable."""
    try:
        return text.lstrip()[:1] == "{" and type(orjson.loads(text)) is dict
    except ValueError:
        return False


def _sealed(details: Any) -> dict[str, str]:
    """Signatures of ours, or of nobody in particular, by the id they belong to."""
    found: dict[str, str] = {}
    for detail in details:
        if type(detail) is not dict or detail.get("type") != "reasoning.encrypted":
            continue
        data, ident = detail.get("data"), detail.get("id") or ""
        if type(data) is str and type(ident) is str and (detail.get("format") or FORMAT) == FORMAT:
            found[ident] = data
    return found
