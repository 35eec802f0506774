"""OpenAI besides chat completions: embeddings and pictures."""

from __future__ import annotations

import time

import msgspec

from proxy.sandbox import behaviour, embeddings, failures, images
from proxy.sandbox.behaviour import Behaviour
from proxy.sandbox.failures import Failure
from proxy.sandbox.voices import Job, Refusal
from proxy.sandbox.wire import Request


class Others:
    """See Face."""

    def read(self, request: Request) -> Job | Failure:
        """By the end of the path."""
        try:
            body = msgspec.json.decode(request.body, type=dict)
        except msgspec.MsgspecError as problem:
            raise Refusal(failures.refused(400, str(problem), "invalid_json")) from None
        model = str(body.get("model"))
        asked = behaviour.parse(model)
        if asked is None:
            message = f"The model `{model[:64]}` does not exist."
            raise Refusal(failures.refused(404, message, "model_not_found", "model"))
        try:
            if request.path.endswith("/embeddings"):
                return embeddings.job(body, model, asked)
            return images.job(body, model, asked, int(time.time()))
        except Refusal as problem:
            problem.model = model
            raise

    def failure(self, asked: Behaviour) -> Failure | None:
        """See Face."""
        return failures.failure(asked)
