"""The ways to speak to the gateway, by path below ``/v1``: one pure file each."""

from __future__ import annotations

from proxy import chat
from proxy.surfaces import embeddings, images
from proxy.surfaces.envelope import Envelope
from proxy.surfaces.messages import Messages
from proxy.surfaces.plain import Plain
from proxy.surfaces.responses import Responses
from proxy.surfaces.shape import Surface

PLAIN: Surface = Plain(chat.parse)
MESSAGES: Surface = Messages()

SURFACES: dict[str, Surface] = {
    "/chat/completions": PLAIN,
    "/embeddings": Plain(embeddings.parse),
    "/images/generations": Plain(images.parse),
    "/messages": MESSAGES,
    "/responses": Responses(),
}
ENVELOPES: dict[str, Surface] = {path: Envelope(surface) for path, surface in SURFACES.items()}
