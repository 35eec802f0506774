"""Which addresses an upstream may have: https to the public internet, unless private ones are allowed."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

Resolver = Callable[[str, int], Iterable[str]]
SANDBOX_PATHS = ("", "/v1", "/anthropic", "/gemini")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
LONGEST = 500


class AddressProblem(Exception):
    """A base URL that must not be called; the message says why, in plain words."""


class Unresolvable(AddressProblem):
    """A name without an address from here. It may have one later, and is checked again whenever it is connected to."""


def check(url: str, *, allow_private: bool, sandbox_url: str = "", resolver: Resolver | None = None) -> None:
    """Refuse a base URL that is malformed, not https, carries userinfo, or leads to a private address.

    The sandbox's own address, compared as a whole, is always taken. The name is resolved here; whoever connects
    must check the address again (``refuse_private``), because names change.
    """
    if is_sandbox(url, sandbox_url):
        return
    host, port = _parts(url, plain_allowed=allow_private)
    if allow_private:
        return
    addresses = list((resolver or resolve)(host, port))
    if not addresses:
        raise Unresolvable(f"{host} has no address.")
    refuse_private(host, addresses)


def is_sandbox(url: str, sandbox_url: str) -> bool:
    """Whether a base URL is the sandbox's own address, or one of its paths that speak a dialect."""
    sandbox = sandbox_url.rstrip("/").removesuffix("/v1")
    return bool(sandbox) and url.rstrip("/") in {sandbox + path for path in SANDBOX_PATHS}


def refuse_private(host: str, addresses: Iterable[str]) -> None:
    """Raise AddressProblem if any of the addresses is not on the public internet."""
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        for one in (address, _embedded(address)):
            if one is not None and (not one.is_global or one.is_multicast):
                raise AddressProblem(
                    f"{host} leads to {one}, which is not on the public internet. "
                    "Set TOLLGATE_ALLOW_PRIVATE_UPSTREAMS=1 if your upstream is in your own network."
                )


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, by the system's resolver; blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unresolvable(f"{host} cannot be resolved from here.") from None
    return sorted({str(entry[4][0]) for entry in found})


def _embedded(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), where the packets would really go."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def _parts(url: str, *, plain_allowed: bool) -> tuple[str, int]:
    """Host and port of a well-formed base URL."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or any(c in url for c in ' \\"<>{}|^`'):
        raise AddressProblem(f"A base URL has at most {LONGEST} plain characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressProblem("That is not a URL.") from None
    if parts.scheme != "https" and not (plain_allowed and parts.scheme == "http"):
        raise AddressProblem("A base URL starts with https://.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise AddressProblem("A base URL holds no user name or password: enter the API key as a credential.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise AddressProblem("A base URL has no query and no fragment.")
    host = parts.hostname or ""
    if not _HOST.fullmatch(f"[{host}]" if ":" in host else host) or port == 0:
        raise AddressProblem("A base URL names a host, such as https://api.openai.com/v1.")
    if ".." in parts.path or "//" in parts.path:
        raise AddressProblem("The path of a base URL is plain, such as /v1.")
    return host, port or (443 if parts.scheme == "https" else 80)
