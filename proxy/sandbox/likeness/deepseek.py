"""DeepSeek: blank lines while it works, its own cache counts, usage with the finish, thoughts that must come back."""

from __future__ import annotations

from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.likeness.style import Frame, Frames, Style, usage_with_finish
from proxy.sandbox.plans import Plan

ROLES = ("system", "user", "assistant", "tool")


class DeepSeek(Style):
    """See Style."""

    opening = (b": keep-alive",)
    before = b"\n\n\n"
    always_usage = True

    def check(self, body: Frame, asked: Behaviour) -> None:
        """Roles are the four old ones, and in a turn with tool calls all that was thought comes back."""
        called = False
        for index, message in enumerate(body.get("messages") or ()):
            role = message.get("role")
            if role not in ROLES:
                raise self.refused(
                    400,
                    f"Failed to deserialize the JSON body into the target type: messages[{index}].role: unknown "
                    f"variant `{role}`, expected one of `system`, `user`, `assistant`, `tool` at line 1 column 1",
                    "invalid_request_error",
                )
            called = role != "user" and (called or bool(message.get("tool_calls")))
            thought = message.get("reasoning_content")
            if asked.kind == "thinking" and called and role == "assistant" and not (type(thought) is str and thought):
                raise self.refused(
                    400,
                    f"Missing `reasoning_content` field in the assistant message at message index {index}.",
                    "invalid_request_error",
                )

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        return _counted(body)

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """A thought has a content that is null, and the other way round."""
        for frame, weight in usage_with_finish(frames):
            for choice in frame["choices"]:
                delta = choice["delta"]
                if plan.thought and "reasoning_content" in delta:
                    delta["content"] = None
                elif plan.thought and delta.get("content"):
                    delta["reasoning_content"] = None
            yield _counted(frame), weight


def _counted(body: Frame) -> Frame:
    usage = body.get("usage")
    if usage is not None and "prompt_tokens_details" in usage:
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
        usage["completion_tokens_details"] = {
            "reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]
        }
        usage["prompt_cache_hit_tokens"] = cached
        usage["prompt_cache_miss_tokens"] = usage["prompt_tokens"] - cached
    return body
