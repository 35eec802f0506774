"""A provider that speaks OpenAI's chat completions in its own style."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from proxy.sandbox import answers, behaviour, embeddings
from proxy.sandbox.answers import Call, Envelope
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.likeness.style import Style, StyleVoice
from proxy.sandbox.plans import SHOWN
from proxy.sandbox.voices import BENT_USAGE, Job, OpenAIVoice, Refusal
from proxy.sandbox.wire import Request


class Likeness:
    """See Face. ``prefix`` is the base path of its API."""

    def __init__(self, prefix: str, style: Style) -> None:
        self.prefix = prefix
        self.style = style

    def read(self, request: Request) -> Job | Failure:
        """A chat completion or embeddings."""
        operation = self.operation(request)
        if not self.allowed(request):
            raise self.style.refused(401, "Authentication Fails", "invalid_api_key")
        body = self._parse(request.body)
        model = self.model(request, body)
        asked = behaviour.parse(model)
        if asked is None:
            raise self.style.refused(404, f"The model `{model[:64]}` does not exist.", "model_not_found")
        try:
            if operation == "embeddings":
                return embeddings.job(body, model, asked)
            return self._accept({**body, "model": model}, asked)
        except Refusal as problem:
            problem.model = model
            raise

    def failure(self, asked: Behaviour) -> Failure | None:
        """See Face."""
        return self.style.failure(asked)

    def models(self, request: Request) -> Failure:
        """``GET /models``."""
        if not self.allowed(request):
            raise self.style.refused(401, "Authentication Fails", "invalid_api_key")
        return Failure(200, msgspec.json.encode(answers.model_list(list(behaviour.DEFAULTS))))

    def operation(self, request: Request) -> str:
        """What the path asks for."""
        path = request.path.removeprefix(self.prefix)
        if path not in ("/chat/completions", "/embeddings"):
            raise self.style.refused(404, "Not Found")
        return path[1:]

    def allowed(self, request: Request) -> bool:
        """Whether the request carries a credential that could be one."""
        key = request.header(b"authorization").removeprefix("Bearer ")
        return bool(key) and not key.startswith("invalid")

    def model(self, request: Request, body: dict[str, Any]) -> str:
        """The model that is asked for."""
        return str(body.get("model"))

    def _parse(self, raw: bytes) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(raw)
        except msgspec.MsgspecError as problem:
            raise self.style.refused(400, f"Failed to parse the request body as JSON: {problem}") from None
        if type(body) is not dict:
            raise self.style.refused(400, "The request body is not an object.")
        return body

    def _accept(self, body: dict[str, Any], asked: Behaviour) -> Job:
        self.style.check(body, asked)
        try:
            call = msgspec.convert(body, Call)
        except msgspec.ValidationError as problem:
            raise self.style.refused(400, str(problem)) from None

        def voice(request_id: str) -> StyleVoice:
            usage = asked.kind if asked.kind in BENT_USAGE else ""
            ident = "chatcmpl-" + request_id.removeprefix("req_")
            envelope = Envelope(ident, call.model, int(time.time()), usage, self.style.thinking)
            return StyleVoice(OpenAIVoice(envelope, b"", call.wants_usage), self.style)

        return Job(call.model, asked, answers.plan(call, asked, SHOWN), bool(call.stream), voice, call.user or "")
