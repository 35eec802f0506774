"""Azure OpenAI: deployments in the path, a key of its own, and verdicts of a content filter all over the answer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.sandbox.answers import NOTHING
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.likeness.face import Likeness
from proxy.sandbox.likeness.style import Frame, Frames, Style
from proxy.sandbox.plans import Plan
from proxy.sandbox.wire import Request

PATH = re.compile(r"/azure/openai/deployments/(?P<deployment>.+)/(?P<operation>chat/completions|embeddings)")
VERSION = re.compile(r"(?:^|&)api-version=[0-9a-z-]+")
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
NAMELESS = {"created": 0, "id": "", "model": "", "object": ""}
FILTERED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
    "Please modify your prompt and retry.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {**SAFE, "hate": {"filtered": True, "severity": "high"}},
    },
}


class AzureStyle(Style):
    """The first chunk has no choices, and one in the middle no delta."""

    def body(self, body: Frame, plan: Plan) -> Frame:
        """See Style."""
        for choice in body["choices"]:
            choice["content_filter_results"] = SAFE
        return {**body, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]}

    def frames(self, frames: Frames, plan: Plan) -> Frames:
        """See Style."""
        verdict = {"prompt_index": 0, "content_filter_results": SAFE}
        yield {"choices": [], **NAMELESS, "prompt_filter_results": [verdict]}, NOTHING
        for number, (frame, weight) in enumerate(frames):
            for choice in frame["choices"]:
                choice["content_filter_results"] = {} if choice["finish_reason"] else SAFE
            yield frame, weight
            if number == 1:
                offsets = {"check_offset": 0, "start_offset": 0, "end_offset": 1}
                seen = {"content_filter_offsets": offsets, "content_filter_results": SAFE}
                yield {"choices": [{**seen, "finish_reason": None, "index": 0}], **NAMELESS}, NOTHING

    def error(self, status: int, message: str, kind: str, code: str | None) -> Frame:
        """Azure's gateway says little: code and message, the code a string of the status."""
        if code == "model_not_found":
            return {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}
        if status in (401, 404, 429):
            return {"error": {"code": str(status), "message": message}}
        return super().error(status, message, kind, code)

    def failure(self, asked: Behaviour) -> Failure | None:
        """See Style."""
        if asked.kind == "blocked":
            return Failure(400, msgspec.json.encode({"error": FILTERED}))
        return super().failure(asked)


class Azure(Likeness):
    """``/azure/openai/deployments/{deployment}/chat/completions?api-version=…`` with ``api-key``."""

    def __init__(self) -> None:
        super().__init__("/azure/openai", AzureStyle())

    def operation(self, request: Request) -> str:
        """What the path asks for; without a version there is nothing there."""
        match = PATH.fullmatch(unquote(request.path))
        if match is None or not VERSION.search(request.query):
            raise self.style.refused(404, "Resource not found")
        return match["operation"]

    def allowed(self, request: Request) -> bool:
        """``api-key``, or a token of Entra."""
        key = request.header(b"api-key") or request.header(b"authorization").removeprefix("Bearer ")
        return bool(key) and not key.startswith("invalid")

    def model(self, request: Request, body: dict[str, Any]) -> str:
        """The deployment; a model in the body means nothing here."""
        match = PATH.fullmatch(unquote(request.path))
        return "" if match is None else match["deployment"]
