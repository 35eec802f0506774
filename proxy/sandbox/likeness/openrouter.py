"""OpenRouter: comments while it waits, usage beside an empty delta after the finish, errors as a finish reason."""

from __future__ import annotations

from proxy.sandbox.likeness.style import Frame, Frames, Style
from proxy.sandbox.plans import Plan

PROVIDER = "Sandbox"


class OpenRouter(Style):
    """See Style."""

    thinking = "reasoning"
    opening = (b": OPENROUTER PROCESSING", b": OPENROUTER PROCESSING")
    always_usage = True

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        for choice in body["choices"]:
            choice["native_finish_reason"] = choice["finish_reason"]
            if plan.thought:
                choice["message"]["reasoning_details"] = [_detail("".join(plan.thought))]
        return _costed({**body, "provider": PROVIDER})

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """See Style."""
        for frame, weight in frames:
            frame["provider"] = PROVIDER
            if not frame["choices"]:
                frame["choices"] = [{"index": 0, "delta": {}, "finish_reason": None}]
            elif frame.get("usage", 0) is None:
                del frame["usage"]
            for choice in frame["choices"]:
                delta = {"role": "assistant", "content": "", **choice["delta"]}
                if plan.thought and delta.get("reasoning"):
                    delta["reasoning_details"] = [_detail(delta["reasoning"])]
                choice["delta"], choice["native_finish_reason"] = delta, choice["finish_reason"]
            yield _costed(frame), weight

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """The code is the status."""
        return {"error": {"message": message, "code": status}, "user_id": "user_sandbox"}

    def broken(self, first: Frame) -> Frame:
        """A chunk that is an error and has a choice."""
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
        error = {"code": 502, "message": "Provider disconnected unexpectedly"}
        return {**first, "provider": PROVIDER, "error": error, "choices": [choice]}


def _detail(text: str) -> Frame:
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def _costed(body: Frame) -> Frame:
    if body.get("usage"):
        body["usage"] = {**body["usage"], "cost": 0.0001, "is_byok": False, "cost_details": {}}
    return body
