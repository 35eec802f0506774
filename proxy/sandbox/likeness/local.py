"""Servers that people run themselves: vLLM and Ollama."""

from __future__ import annotations

from typing import Any

from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.likeness.style import Frame, Frames, Style, whole_calls
from proxy.sandbox.plans import Plan

ERROR_TYPES = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 429: "RateLimitError"}


class VLLM(Style):
    """``reasoning``, and usage so far on every chunk."""

    thinking = "reasoning"

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        for choice in body["choices"]:
            choice |= {"stop_reason": None, "token_ids": None}
        return {**_bare(body), "prompt_logprobs": None, "kv_transfer_params": None}

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """See Style."""
        sent = 0
        for frame, weight in frames:
            sent += weight.tokens
            if "usage" in frame and frame["usage"] is None:
                usage = {"prompt_tokens": plan.prompt, "completion_tokens": sent, "total_tokens": plan.prompt + sent}
                frame["usage"] = usage
            yield _bare(frame), weight

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """The code is the status, as a number."""
        name = ERROR_TYPES.get(status, "InternalServerError")
        return {"error": {"message": message, "type": name, "param": None, "code": status}}


class Ollama(Style):
    """Tool calls in one piece each, all of them with index 0; one choice."""

    thinking = "reasoning"

    def check(self, body: Frame, asked: Behaviour) -> None:
        """No more than one choice, and no logit_bias."""
        for name, plain in (("n", (None, 1)), ("logit_bias", (None,))):
            if body.get(name) not in plain:
                raise self.refused(400, f"{name} is not supported")

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        for choice in body["choices"]:
            for call in choice["message"].get("tool_calls", ()):
                call["index"] = 0
        return _bare({**body, "system_fingerprint": "fp_ollama"})

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """Every delta says its role again."""
        for frame, weight in whole_calls(frames):
            frame["system_fingerprint"] = "fp_ollama"
            for choice in frame["choices"]:
                delta = choice["delta"]
                choice["delta"] = {"role": "assistant", "content": "", **delta}
                for call in delta.get("tool_calls", ()):
                    call["index"] = 0
            yield _bare(frame), weight

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """See Style."""
        name = "invalid_request_error" if status < 500 else "api_error"
        return {"error": {"message": message, "type": name, "param": None, "code": None}}


def _bare(body: Frame) -> Frame:
    """Usage in three numbers, and what came from the cache where something did."""
    usage = body.get("usage")
    if usage is not None:
        details = usage.pop("prompt_tokens_details", None)
        usage.pop("completion_tokens_details", None)
        cached: dict[str, Any] | None = {"cached_tokens": details["cached_tokens"]} if details else None
        usage["prompt_tokens_details"] = cached if cached and cached["cached_tokens"] else None
    body.pop("service_tier", None)
    return body
