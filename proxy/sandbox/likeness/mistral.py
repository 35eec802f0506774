"""Mistral: refuses every field it does not know, wants tool call ids of nine characters, thinks in content parts."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.likeness.style import Frame, Frames, Style, unknown, usage_with_finish, whole_calls
from proxy.sandbox.plans import Plan
from proxy.sandbox.voices import Refusal

FIELDS = frozenset(
    (
        *("model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata"),
        *("response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction"),
        *("parallel_tool_calls", "prompt_mode", "reasoning_effort", "guardrails", "safe_prompt"),
    )
)
ROLES = ("system", "user", "assistant", "tool")
CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Mistral(Style):
    """See Style."""

    always_usage = True

    def check(self, body: Frame, asked: Behaviour) -> None:
        """422 with ``detail`` for fields and roles, 400 for what the tokenizer refuses."""
        strange = unknown(body, FIELDS)
        if strange:
            raise _unprocessable("extra_forbidden", ["body", strange[0]], "Extra inputs are not permitted")
        for index, message in enumerate(body.get("messages") or ()):
            if message.get("role") not in ROLES:
                tags = ", ".join(f"'{role}'" for role in ROLES)
                given = message.get("role")
                said = f"Input tag '{given}' found using 'role' does not match any of the expected tags: {tags}"
                raise _unprocessable("union_tag_invalid", ["body", "messages", index], said)
            self._call_ids(message)
        last = (body.get("messages") or [{}])[-1]
        if last.get("role") == "assistant" and not last.get("prefix"):
            raise self.refused(
                400,
                "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
                "3230",
            )

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        for choice in body["choices"]:
            message = choice["message"]
            for call in message.get("tool_calls", ()):
                call["id"] = _short(call["id"])
            if plan.thought:
                thought = _thought(message.pop("reasoning_content"))
                message["content"] = [thought, {"type": "text", "text": message["content"] or ""}]
        return _bare(body)

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """The usage is in the chunk with the finish reason."""
        for frame, weight in usage_with_finish(whole_calls(frames)):
            for choice in frame["choices"]:
                delta = choice["delta"]
                for call in delta.get("tool_calls", ()):
                    call["id"] = _short(call["id"])
                if plan.thought and "reasoning_content" in delta:
                    delta["content"] = [_thought(delta.pop("reasoning_content"))]
            yield _bare(frame), weight

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """No ``error`` around it."""
        if status == 401:
            return {"detail": "Unauthorized"}
        return {"object": "error", "message": message, "type": kind, "param": None, "code": code}

    def _call_ids(self, message: Frame) -> None:
        idents = [call.get("id") for call in message.get("tool_calls") or ()]
        for ident in [*idents, message["tool_call_id"]] if "tool_call_id" in message else idents:
            if not CALL_ID.fullmatch(str(ident)):
                raise self.refused(
                    400, f"Tool call id was {ident} but must be a-z, A-Z, 0-9, with a length of 9.", "3280"
                )


def _unprocessable(kind: str, place: list[Any], message: str) -> Refusal:
    detail = [{"type": kind, "loc": place, "msg": message, "input": None}]
    return Refusal(Failure(422, msgspec.json.encode({"detail": detail})))


def _thought(text: str) -> Frame:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _short(ident: str) -> str:
    return "m" + ident[-8:]


def _bare(body: Frame) -> Frame:
    usage = body.get("usage")
    if usage is not None:
        body["usage"] = {name: usage[name] for name in usage if not name.endswith("_details")}
    for name in ("service_tier", "system_fingerprint"):
        body.pop(name, None)
    return body
