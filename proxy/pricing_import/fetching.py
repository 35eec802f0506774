"""Getting a price file: from disk, or from an https address on the public internet, bounded in size and time."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import httpx
from django.conf import settings

from proxy import addresses
from proxy.addresses import AddressProblem
from proxy.pricing_import.reading import MOST_BYTES, PriceFileProblem

PUBLIC_FILE = "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
MOST_SECONDS = 60
MOST_REDIRECTS = 3


def is_address(text: str) -> bool:
    """Whether a text is meant as an address, and not as the path of a file."""
    return "://" in text


def from_disk(path: Path) -> bytes:
    """The bytes of a file. Raises PriceFileProblem if it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PriceFileProblem(f"{path}: {error.strerror or 'it cannot be read'}.") from None
    if len(content) > MOST_BYTES:
        raise PriceFileProblem(f"The file is larger than {MOST_BYTES >> 20} MB.")
    return content


def from_address(url: str, *, trust: ssl.SSLContext | None = None) -> bytes:
    """The bytes at an https address; each redirect is checked as the address was. Raises PriceFileProblem.

    What was connected to is checked as well, as names change; proxies of the environment are not used.
    ``trust`` takes the place of the usual certificates.
    """
    ends_at = time.monotonic() + MOST_SECONDS
    try:
        with httpx.Client(timeout=TIMEOUT, trust_env=False, verify=trust or True) as client:
            for _ in range(1 + MOST_REDIRECTS):
                _check(url)
                content, further = _one(client, url, ends_at)
                if not further:
                    return content
                url = further
    except httpx.TimeoutException:
        raise PriceFileProblem("The address did not answer in time.") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        words = "its certificate is not trusted" if "CERTIFICATE" in str(error).upper() else "the connection failed"
        raise PriceFileProblem(f"The address cannot be fetched: {words}.") from None
    raise PriceFileProblem(f"The address redirects more than {MOST_REDIRECTS} times.")


def _check(url: str) -> None:
    if not url.startswith("https://"):
        raise PriceFileProblem("Only addresses that start with https:// are fetched.")
    try:
        addresses.check(url, allow_private=settings.ALLOW_PRIVATE_UPSTREAMS)
    except AddressProblem as problem:
        raise PriceFileProblem(str(problem).replace("A base URL", "An address of a price file")) from None


def _check_peer(response: httpx.Response) -> None:
    """The address that was really connected to: the name may have changed since it was checked."""
    peer = response.extensions["network_stream"].get_extra_info("server_addr")
    if not settings.ALLOW_PRIVATE_UPSTREAMS:
        try:
            addresses.refuse_private(response.url.host, [str(peer[0])])
        except AddressProblem as problem:
            raise PriceFileProblem(str(problem)) from None


def _one(client: httpx.Client, url: str, ends_at: float) -> tuple[bytes, str]:
    """The content, or where it redirects to."""
    with client.stream("GET", url, headers={"accept": "application/json, text/plain"}) as response:
        _check_peer(response)
        if response.has_redirect_location:
            return b"", str(response.url.join(response.headers["location"]))
        if response.status_code != 200:
            raise PriceFileProblem(f"The address answered with {response.status_code}.")
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > MOST_BYTES:
                raise PriceFileProblem(f"The file is larger than {MOST_BYTES >> 20} MB.")
            if time.monotonic() > ends_at:
                raise PriceFileProblem(f"The address took longer than {MOST_SECONDS} s.")
    return bytes(content), ""
