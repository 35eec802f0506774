"""The gateway's ASGI application: path → endpoint, and every error → a body in OpenAI's shape."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import unquote

from proxy.errors import BadRequest, GatewayError, Internal, MethodNotAllowed, NotFound, excerpt
from proxy.exchange import Exchange, HungUp, Receive, Send
from proxy.gateway import Gateway
from proxy.headers import JSON
from proxy.inquiries import Inquiries
from proxy.live import ClientGone
from proxy.patience import BODY_S, Patience
from proxy.surfaces import ENVELOPES, MESSAGES, PLAIN, SURFACES
from proxy.surfaces.envelope import Envelope, wrapped
from proxy.surfaces.shape import Surface

logger = logging.getLogger(__name__)

ELSEWHERE = (
    "/assistants", "/audio", "/batches", "/completions", "/containers", "/conversations", "/edits", "/embeddings",
    "/engines", "/evals", "/files", "/fine_tuning", "/images", "/messages", "/moderations", "/organization",
    "/realtime", "/rerank", "/responses", "/threads", "/uploads", "/vector_stores", "/videos",
)  # fmt: skip
"""What else clients of such APIs ask for, by a base URL without ``/v1``: a JSON 404 helps them, a page does not."""
PREFIXES = ("/v1", "/api/v1", "/api//", "/models", "/openai/", "//", *SURFACES, "/estimate", *ELSEWHERE)
ENVELOPE = Envelope(PLAIN)

_SLASHES = re.compile(r"//+")
_VERSION = re.compile(r"(?:/v1(?=/|$))+", re.IGNORECASE)
_ENVELOPED = re.compile(r"/api(?=/v1(?:/|$))", re.IGNORECASE)
_AZURE = re.compile(
    r"/openai(?:(?=/(?:v1|responses|models)(?:/|$))"
    r"|/deployments/(.+?)(?=/(?:chat/completions|completions|embeddings|images/|responses)))",
    re.IGNORECASE,
)


class App:
    """Routes on the path alone, which clients write in many ways; never redirects."""

    def __init__(self, gateway: Gateway, inquiries: Inquiries, *, most_body: int, body_s: float = BODY_S) -> None:
        self._gateway = gateway
        self._inquiries = inquiries
        self._most_body = most_body
        self._patience = Patience(body_s)

    def takes(self, path: str) -> bool:
        """Whether a path is the gateway's."""
        return path.startswith(PREFIXES) or not path.startswith("/") or path[:8].lower().startswith(PREFIXES)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = self._gateway.new_id()
        exchange = Exchange(
            scope, receive, send, request_id=request_id, most_body=self._most_body, patience=self._patience
        )
        path, enveloped, exchange.deployment = normal(scope["path"])
        surface = (ENVELOPES if enveloped else SURFACES).get(path)
        shown = surface or (ENVELOPE if enveloped else MESSAGES if path.startswith("/messages/") else PLAIN)
        try:
            if surface is not None and scope["method"] == "POST":
                await self._gateway.serve(exchange, surface, "/api" + path if enveloped else path)
            else:
                await self._route(scope["method"], path, shown, exchange)
        except GatewayError as error:
            await self._refuse(exchange, shown, error)
        except HungUp:
            await self._refuse(exchange, shown, BadRequest("The body was broken off.", "invalid_request_body"))
        except Exception:
            logger.exception("request req_%s failed", request_id)
            await self._refuse(exchange, shown, Internal(charged=exchange.charged))

    async def _route(self, method: str, path: str, surface: Surface, exchange: Exchange) -> None:
        """Everything but a call: preflights, questions about models and calls, and what there is not."""
        if method == "OPTIONS":
            await self._preflight(exchange)
            return
        if path in SURFACES:
            raise MethodNotAllowed("POST")
        inquiry = self._inquiries.find(path)
        if inquiry is None:
            raise NotFound(f"Unknown request URL: {excerpt(method)} {excerpt(path)}.", None)
        if method != inquiry.method and not (method == "HEAD" and inquiry.method == "GET"):
            raise MethodNotAllowed(inquiry.method)
        body = await inquiry.answer(exchange, path)
        await exchange.respond(200, (JSON,), wrapped(body) if isinstance(surface, Envelope) else body)

    async def _preflight(self, exchange: Exchange) -> None:
        """CORS: any origin may call, with any header it asks for; the key is what admits."""
        wanted = exchange.headers.get(b"access-control-request-headers", b"authorization, content-type")
        headers = (
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", b"86400"),
        )
        await exchange.respond(204, headers, b"")

    async def _refuse(self, exchange: Exchange, surface: Surface, error: GatewayError) -> None:
        """An error as the answer; where the answer has begun, there is nothing left to say."""
        if exchange.started or isinstance(error, ClientGone):
            return
        await exchange.drain()
        await exchange.respond(error.status, (JSON, *error.headers), surface.error(error))


def normal(path: str) -> tuple[str, bool, str]:
    """The path below ``/v1``, whether answers go in the envelope, and the deployment that Azure's clients name in it.

    Doubled and missing parts are what clients do.
    """
    if path == "/v1/chat/completions":
        return "/chat/completions", False, ""
    path = _SLASHES.sub("/", unquote(path))
    enveloped = _ENVELOPED.match(path)
    if enveloped:
        path = path[len("/api") :]
    azure, deployment = _AZURE.match(path), ""
    if azure:
        path, deployment = path[azure.end() :], azure[1] or ""
    version = _VERSION.match(path)
    if version:
        path = path[version.end() :]
    return path.rstrip("/") or "/", enveloped is not None, deployment
