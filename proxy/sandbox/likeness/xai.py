"""xAI: completion_tokens without the reasoning, tool calls in one piece, errors in two strings."""

from __future__ import annotations

from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.likeness.style import Frame, Frames, Style, whole_calls
from proxy.sandbox.plans import THINKERS, Plan

UNTHINKABLE = {"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty", "stop": "stop"}


class XAI(Style):
    """See Style."""

    always_usage = True

    def check(self, body: Frame, asked: Behaviour) -> None:
        """Models that think take no penalties and no stop."""
        for name, theirs in UNTHINKABLE.items():
            if asked.kind in THINKERS and body.get(name) is not None:
                raise self.refused(400, f"Argument not supported on this model: {theirs}")

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        return _apart(body, plan)

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """See Style."""
        for frame, weight in whole_calls(frames):
            yield _apart(frame, plan), weight

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """See Style."""
        return {"code": "Client specified an invalid argument" if status == 400 else kind, "error": message}


def _apart(body: Frame, plan: Plan) -> Frame:
    """Reasoning is counted beside the completion, and in the total."""
    usage = body.get("usage")
    if usage and usage.get("completion_tokens_details"):
        usage["completion_tokens"] -= usage["completion_tokens_details"]["reasoning_tokens"]
        usage["prompt_tokens_details"] |= {"text_tokens": plan.prompt, "image_tokens": 0}
        usage["num_sources_used"] = plan.searches
    return body
