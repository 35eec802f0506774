"""One HTTP request to an endpoint: to the address that was checked, bounded in time and in what is read."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass, field

import httpx

from billing.public_internet import AddressProblem
from billing.webhooks import addresses

CONNECT_S = 5
READ_S = 15
WHOLE_S = 20
"""After so many seconds a try is over, however slowly the endpoint goes on."""
BODY_S = 3
"""For the body of an answer: what counts is its status, which came before."""
MOST_BYTES = 4096
MOST_SHOWN = 1000
MOST_ADDRESSES = 3
GONE = 410
_WORDS = {
    httpx.ConnectTimeout: f"It could not be connected to within {CONNECT_S} s.",
    httpx.ReadTimeout: f"It did not answer within {READ_S} s.",
    httpx.RemoteProtocolError: "It closed the connection without an answer, or did not answer in HTTP.",
    httpx.ReadError: "The connection broke before there was an answer.",
    httpx.WriteError: "The connection broke while the message was sent.",
}


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent where. ``body`` is sent as it is: it is what was signed."""

    url: str
    body: bytes
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it. Without ``status_code`` there was no answer; ``error`` says why. ``retry_after`` is seconds."""

    status_code: int | None
    duration_ms: int
    error: str = ""
    response: str = ""
    retry_after: int = 0

    @property
    def taken(self) -> bool:
        """Whether the endpoint took the message."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint wants no more messages."""
        return self.status_code == GONE


def send(parcel: Parcel, *, allow_private: bool, trust: ssl.SSLContext) -> Answer:
    """Send once. Redirects are not followed; whatever goes wrong is an Answer that says so."""
    began = time.monotonic_ns()
    try:
        numbers = addresses.allowed(parcel.url, allow_private=allow_private)
        return asyncio.run(_in_time(parcel, numbers[:MOST_ADDRESSES], trust, began))
    except AddressProblem as problem:
        error = str(problem)
    except TimeoutError:
        error = f"It did not answer within {WHOLE_S} s."
    except (httpx.HTTPError, httpx.InvalidURL) as trouble:
        error = _words(trouble)
    return Answer(None, _milliseconds_since(began), error)


def trusted() -> ssl.SSLContext:
    """The certificates that are trusted; made once, for it takes a while."""
    return httpx.create_ssl_context(trust_env=False)


async def _in_time(parcel: Parcel, numbers: list[str], trust: ssl.SSLContext, began: int) -> Answer:
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    trouble: httpx.HTTPError | None = None
    async with (
        asyncio.timeout(WHOLE_S),
        httpx.AsyncClient(timeout=timeout, verify=trust, trust_env=False, follow_redirects=False) as client,
    ):
        for number in numbers:
            try:
                return await _exchange(client, _request(client, parcel, number), began)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                trouble = error
    raise trouble or httpx.ConnectError("no address")


def _request(client: httpx.AsyncClient, parcel: Parcel, number: str) -> httpx.Request:
    """The request to one number of the host; its certificate must still be that of the name."""
    url = httpx.URL(parcel.url)
    headers = {
        **parcel.headers,
        "host": url.netloc.decode("ascii"),
        "content-type": "application/json",
        "user-agent": "Tollgate-Webhooks/1",
        "accept-encoding": "identity",
    }
    return client.build_request(
        "POST",
        url.copy_with(host=number),
        headers=headers,
        content=parcel.body,
        extensions={"sni_hostname": url.host},
    )


async def _exchange(client: httpx.AsyncClient, request: httpx.Request, began: int) -> Answer:
    """The answer with the beginning of its body as it came: nothing is unpacked."""
    response = await client.send(request, stream=True)
    body = bytearray()
    try:
        with contextlib.suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(BODY_S):
                await _read(response, body)
    finally:
        await response.aclose()
    error = ""
    if response.has_redirect_location:
        error = "It answered with a redirect, which is not followed."
    elif not response.is_success:
        error = f"It answered with {response.status_code}."
    after = response.headers.get("retry-after", "")
    return Answer(
        response.status_code,
        _milliseconds_since(began),
        error,
        _shown(bytes(body[:MOST_BYTES])),
        int(after) if after.isascii() and after.isdecimal() and len(after) < 9 else 0,
    )


async def _read(response: httpx.Response, body: bytearray) -> None:
    async for part in response.aiter_raw():
        body += part
        if len(body) >= MOST_BYTES:
            return


def _words(trouble: Exception) -> str:
    if "CERTIFICATE" in str(trouble).upper():
        return "Its certificate is not trusted, or is not for this name."
    for kind, words in _WORDS.items():
        if isinstance(trouble, kind):
            return words
    return "It could not be connected to." if isinstance(trouble, httpx.ConnectError) else "The request failed."


def _shown(body: bytes) -> str:
    """The beginning of an answer as text; PostgreSQL takes no NUL."""
    return body.decode("utf-8", "replace").replace("\x00", "�")[:MOST_SHOWN]


def _milliseconds_since(began: int) -> int:
    return (time.monotonic_ns() - began) // 10**6
