"""What is on the public internet, and what is not: the guard of every address that somebody else may choose."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressProblem(Exception):
    """An address that must not be called; the message says why, in plain words."""


class Unresolvable(AddressProblem):
    """A name without an address from here. It may have one later, and is checked again whenever it is connected to."""


def refuse_private(host: str, addresses: Iterable[str], *, hint: str = "") -> None:
    """Raise AddressProblem if any of the addresses is not on the public internet; ``hint`` says what can be done."""
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        for one in (address, _embedded(address)):
            if one is not None and (not one.is_global or one.is_multicast):
                raise AddressProblem(f"{host} leads to {one}, which is not on the public internet. {hint}".rstrip())


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
