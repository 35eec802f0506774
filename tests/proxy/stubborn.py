"""An upstream that answers what it likes, whatever it was asked: one answer for each of its models."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.proxy.town import Town

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
DONE = b"data: [DONE]\n\n"
Says = Callable[[bool], Iterable[bytes]]
"""The parts of a body, told whether a stream was asked for."""


class Stubborn:
    """The upstream. ``models`` holds what each says; ``broken_off`` the models whose reader left."""

    def __init__(self) -> None:
        self.models: dict[str, Says] = {}
        self.broken_off: list[str] = []
        outer = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def offer(self, town: Town, name: str, says: Says, *, limit: int = 100) -> str:
        """Sell a model that says this, at 1 USD a million tokens; returns its name."""
        self.models[name] = says
        model = f"stubborn/{name}"
        town.apply(
            f'[[upstreams]]\nname = "stubborn"\ndialect = "openai"\nbase_url = "{self.url}"\napi_key = "secret"\n'
            f'[[models]]\nname = "{model}"\ncontext_window = 128000\nmax_output_tokens = {limit}\n'
            f'routes = [{{ upstream = "stubborn", model = "{name}" }}]\n'
            '[models.price]\ninput = "1.00"\noutput = "1.00"\n'
        )
        return model

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One call."""
        asked = json.loads(request.rfile.read(int(request.headers["content-length"])))
        stream = bool(asked.get("stream"))
        request.send_response(200)
        request.send_header("content-type", "text/event-stream" if stream else "application/json")
        request.send_header("connection", "close")
        request.end_headers()
        try:
            for part in self.models[asked["model"]](stream):
                request.wfile.write(part)
        except OSError:
            self.broken_off.append(asked["model"])
        request.close_connection = True


def whole(content: str = "hi", **members: Any) -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "created": 1, "model": "m", "choices": [choice], **members}).encode()


def chunk(content: str | None = None, finish: str | None = None, *, compact: bool = True, **members: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    said = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **members}
    return b"data: " + json.dumps(said, separators=(",", ":") if compact else None).encode() + b"\n\n"


def counted(usage: dict[str, int]) -> bytes:
    """The event that counts a stream."""
    return b"data: " + json.dumps({"id": "x", "model": "m", "choices": [], "usage": usage}).encode() + b"\n\n"
