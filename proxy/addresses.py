"""Which addresses an upstream may have: https to the public internet, unless private ones are allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from billing import public_internet
from billing.public_internet import AddressProblem, Unresolvable, resolve

__all__ = ["AddressProblem", "Unresolvable", "check", "is_sandbox", "refuse_private", "resolve"]

Resolver = Callable[[str, int], Iterable[str]]
SANDBOX_PATHS = ("", "/v1", "/anthropic", "/gemini")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)
LONGEST = 500
_HINT = "Set TOLLGATE_ALLOW_PRIVATE_UPSTREAMS=1 if your upstream is in your own network."


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
    public_internet.refuse_private(host, addresses, hint=_HINT)


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
