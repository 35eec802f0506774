"""``/v1/images/generations``: a body as a request. Pure."""

from __future__ import annotations

from proxy import chat, parameters
from proxy.chat import ChatRequest
from proxy.operation_parameters import IMAGES_CHECKS
from proxy.parameters import bad


def parse(raw: bytes) -> ChatRequest:
    """Bytes → request with one choice for each image; raises BadRequest naming the parameter."""
    body = parameters.check(chat.decode(raw), IMAGES_CHECKS, ("model", "prompt"))
    if body.pop("stream", False):
        raise bad("Images are not streamed.", "unsupported_value", "stream")
    wanted = body.get("n", 1)
    return ChatRequest(
        model=body["model"],
        body=body,
        stream=False,
        include_usage=False,
        choices=wanted,
        output_limit=None,
        linked_images=0,
        size=len(raw),
        operation="images",
        images=wanted,
    )
