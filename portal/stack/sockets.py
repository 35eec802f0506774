"""Ports of the loopback interface, and room for the path of a Unix socket."""

from __future__ import annotations

import socket

#: Bytes of a socket's path that every Unix takes, without the closing zero.
MAX_SOCKET_PATH = 103


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on at this moment."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def can_bind(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
