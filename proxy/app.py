"""The gateway's ASGI application: path → endpoint, and every error → a body in OpenAI's shape."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import unquote

import orjson

from proxy import listing
from proxy.dialects.envelope import ENVELOPE, PLAIN, Surface
from proxy.errors import BadRequest, GatewayError, Internal, MethodNotAllowed, NotFound
from proxy.exchange import Exchange, HungUp, Receive, Send
from proxy.gateway import Gateway
from proxy.headers import JSON
from proxy.live import ClientGone

logger = logging.getLogger(__name__)

PREFIXES = ("/v1", "/api/v1", "/chat/completions", "/models", "/openai/")

_SLASHES = re.compile(r"//+")
_AZURE = re.compile(r"/openai/(?:v1|deployments/[^/]+)(/.*)")


class App:
    """Routes on the path alone, which clients write in many ways; never redirects."""

    def __init__(self, gateway: Gateway, *, most_body: int) -> None:
        self._gateway = gateway
        self._most_body = most_body

    def takes(self, path: str) -> bool:
        """Whether a path is the gateway's."""
        return path.startswith(PREFIXES) or path.startswith("//")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = self._gateway.new_id()
        exchange = Exchange(scope, receive, send, request_id=request_id, most_body=self._most_body)
        surface: Surface = PLAIN
        try:
            path, surface = normal(scope["path"])
            await self._route(scope["method"], path, surface, exchange)
        except GatewayError as error:
            await self._refuse(exchange, surface, error)
        except HungUp:
            await self._refuse(exchange, surface, BadRequest("The body was broken off.", "invalid_request_body"))
        except Exception:
            logger.exception("request req_%s failed", request_id)
            await self._refuse(exchange, surface, Internal())

    async def _route(self, method: str, path: str, surface: Surface, exchange: Exchange) -> None:
        if method == "OPTIONS":
            await self._preflight(exchange)
        elif path == "/chat/completions":
            if method != "POST":
                raise MethodNotAllowed("POST")
            await self._gateway.chat(exchange, surface)
        elif path == "/models" or path.startswith("/models/"):
            if method not in ("GET", "HEAD"):
                raise MethodNotAllowed("GET")
            grant = self._gateway.authenticate(exchange.key)
            body = listing.of(self._gateway.directory.catalog, grant, path[len("/models/") :])
            await exchange.respond(200, (JSON,), surface.answer(orjson.dumps(body)))
        else:
            raise NotFound(f"Unknown request URL: {method} {path[:64]}.", None)

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
        await exchange.respond(error.status, (JSON, *error.headers), surface.error(error))


def normal(path: str) -> tuple[str, Surface]:
    """The path below ``/v1`` and the surface: doubled, missing and trailing parts are what clients do."""
    if path == "/v1/chat/completions":
        return "/chat/completions", PLAIN
    path = _SLASHES.sub("/", unquote(path))
    surface: Surface = PLAIN
    if path == "/api/v1" or path.startswith("/api/v1/"):
        path, surface = path[len("/api") :], ENVELOPE
    azure = _AZURE.fullmatch(path)
    if azure:
        path = azure[1]
    while path == "/v1" or path.startswith("/v1/"):
        path = path[len("/v1") :]
    return path.rstrip("/") or "/", surface
