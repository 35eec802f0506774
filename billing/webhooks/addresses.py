"""Which addresses messages are sent to: https on the public internet, unless private ones are allowed."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from billing.public_internet import AddressProblem, Unresolvable, refuse_private, resolve

LONGEST = 500
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)


class Target(NamedTuple):
    """A host and its port."""

    host: str
    port: int


def parsed(url: str, *, allow_private: bool) -> Target:
    """Host and port of a well-formed URL; AddressProblem otherwise. Plain http only where private is allowed."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or any(c in url for c in ' \\"<>{}|^`'):
        raise AddressProblem(f"A URL has at most {LONGEST} plain characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressProblem("That is not a URL.") from None
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise AddressProblem("A URL for messages starts with https://.")
    if "@" in parts.netloc:
        raise AddressProblem("A URL for messages holds no user name or password: check the signature instead.")
    if parts.fragment or "#" in url:
        raise AddressProblem("A URL for messages has no fragment.")
    host = parts.hostname or ""
    if not _HOST.fullmatch(f"[{host}]" if ":" in host else host) or port == 0:
        raise AddressProblem("A URL for messages names a host, such as https://hooks.example.com/tollgate.")
    return Target(host, port or (443 if parts.scheme == "https" else 80))


def allowed(url: str, *, allow_private: bool) -> list[str]:
    """The numbers the URL's host has now, IPv4 first; whoever connects connects to one of these and to no other.

    Raises AddressProblem if any of them is not on the public internet (unless allowed), or there is none.
    """
    target = parsed(url, allow_private=allow_private)
    numbers = resolve(target.host, target.port)
    if not numbers:
        raise Unresolvable(f"{target.host} has no address.")
    if not allow_private:
        _refuse_private(target.host, numbers)
    return sorted(numbers, key=lambda number: (":" in number, number))


def _refuse_private(host: str, numbers: list[str]) -> None:
    """In words that do not tell a tenant which number a name of our own network has."""
    try:
        refuse_private(host, numbers)
    except AddressProblem:
        raise AddressProblem(f"{host} leads to an address that is not on the public internet.") from None
