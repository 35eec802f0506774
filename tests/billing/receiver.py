"""A tenant's own system to send messages to: it takes them, fails, dawdles, redirects, rambles or hangs up, by path."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Got:
    """One request, as its bytes came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The payload, as the package that receivers use reads and checks it."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """The server. ``got`` is what came in, in order; ``open_gate`` lets those that wait at ``/slow`` go on."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.gate = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.take(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def at(self, path: str) -> list[Got]:
        """What came in at a path."""
        return [got for got in list(self.got) if got.path == path]

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """One message."""
        body = request.rfile.read(int(request.headers["content-length"]))
        path = request.path.partition("?")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self.got.append(Got(path, headers, body))
            times = len(self.at(path))
        with self._counted(path):
            request.close_connection = True
            self._answer(request, path, times)

    def _answer(self, request: BaseHTTPRequestHandler, path: str, times: int) -> None:
        word, _, number = path.strip("/").partition("/")
        if word == "close":
            request.connection.shutdown(socket.SHUT_RDWR)
        elif word == "fail" and times <= int(number):
            say(request, 500, b"try\x00 again \xff")
        elif word == "status":
            say(request, int(number), b"", **{"Retry-After": "7200"})
        elif word == "moved":
            say(request, 302, b"", Location=f"{self.url}/elsewhere")
        elif word == "huge":
            request.send_response(200)
            request.end_headers()
            self._ramble(request)
        else:
            if word == "slow":
                self.gate.wait(30)
            say(request, 200, b"thank you")

    def _ramble(self, request: BaseHTTPRequestHandler) -> None:
        """On and on, until nobody listens."""
        try:
            while not self.gate.is_set():
                request.wfile.write(b"x" * 65536)
        except OSError:
            with self._lock:
                self.at_once["hung up on"] += 1

    @contextmanager
    def _counted(self, path: str) -> Iterator[None]:
        with self._lock:
            self.at_once[path] += 1
            self.most_at_once[path] = max(self.most_at_once[path], self.at_once[path])
        yield
        with self._lock:
            self.at_once[path] -= 1


def say(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """An answer with its length."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.write(body)
