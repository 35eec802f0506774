"""Single requests of the control plane to upstreams, at the address that was checked: resolved once, then connected to.

A name that is resolved for a check and again for the connection can lead somewhere else the second time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from proxy import addresses

MOST_BYTES = 2_000_000
MOST_ADDRESSES = 3


class Reply(NamedTuple):
    """What came back: the body up to MOST_BYTES, and how long it took in seconds."""

    status: int
    body: bytes
    seconds: float


class Request(NamedTuple):
    """One request: the path is below a base URL, and a body makes it a POST."""

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None


def send(request: Request, *, timeout: httpx.Timeout, within_s: float) -> Reply:
    """Raises AddressProblem for an address that may not be called, and httpx.HTTPError; redirects are not followed."""
    began = time.monotonic()
    trouble: httpx.HTTPError | None = None
    with httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client:
        for prepared in _prepared(client, request):
            try:
                status, body = _exchange(client, prepared, began + within_s)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                trouble = error
            else:
                return Reply(status, body, time.monotonic() - began)
    raise trouble or httpx.ConnectError("no address")


def _exchange(client: httpx.Client, prepared: httpx.Request, ends_at: float) -> tuple[int, bytes]:
    response = client.send(prepared, stream=True)
    try:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if time.monotonic() > ends_at:
                raise httpx.ReadTimeout("the answer took too long")
            if len(body) > MOST_BYTES:
                break
        return response.status_code, bytes(body)
    finally:
        response.close()


def _prepared(client: httpx.Client, request: Request) -> Iterator[httpx.Request]:
    """The request to each address that its host has, by its number; certificates are still those of its name."""
    base = request.base_url.rstrip("/")
    seen: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        seen.extend(addresses.resolve(host, port))
        return seen

    addresses.check(
        base, allow_private=settings.ALLOW_PRIVATE_UPSTREAMS, sandbox_url=settings.SANDBOX_URL, resolver=resolver
    )
    method = "GET" if request.body is None else "POST"
    url = httpx.URL(base + request.path)
    if not seen:  # any address may be called, or this is the sandbox
        yield client.build_request(method, url, headers=request.headers, content=request.body)
        return
    headers = [*request.headers, ("host", urlsplit(base).netloc)]
    for address in sorted(seen, key=lambda address: ":" in address)[:MOST_ADDRESSES]:
        yield client.build_request(
            method,
            url.copy_with(host=address),
            headers=headers,
            content=request.body,
            extensions={"sni_hostname": url.host},
        )
