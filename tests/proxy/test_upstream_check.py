"""Asking an upstream whether it answers: each answer in plain words, none of them the upstream's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from portal.tenancy import as_operator
from proxy import upstream_check, upstreams
from proxy.models import Upstream

Serve = Callable[[int, bytes], Upstream]
asked: list[tuple[str, dict[str, str]]] = []


@pytest.fixture
def serve(db: None, settings: Any) -> Iterator[Serve]:
    """Starts a real server that answers everything alike, and gives it as an upstream with a credential."""
    servers: list[ThreadingHTTPServer] = []
    asked.clear()

    def start(status: int, body: bytes) -> Upstream:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, dict(self.headers)))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.SANDBOX_URL = f"http://127.0.0.1:{server.server_port}"
        upstream = Upstream.objects.create(name="there", base_url=settings.SANDBOX_URL)
        upstreams.set_credential(upstream=upstream, secret="sk-upstream-0123456789")
        return upstream

    with as_operator():
        yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "good", "said"),
    [
        (200, b'{"data": [{"id": "a"}, {"id": "b"}]}', True, "offers 2 models"),
        (200, b"<html>evil</html>", False, "is the path of the base URL right?"),
        (200, b'{"data": "evil"}', False, "is the path of the base URL right?"),
        (200, b"[" * 50_000, False, "is the path of the base URL right?"),
        (401, b'{"error": "evil sk-upstream-0123456789"}', False, "refuses the credential (401)"),
        (404, b"evil", True, "no list of models"),
        (200, b'{"models": [{"name": "models/a"}]}', True, "offers 1 models"),
        (400, b'{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}', False, "refuses the credential (400)"),
        (400, b"evil", False, "answered with 400"),
        (302, b"evil", False, "redirects are not followed"),
        (429, b"evil", False, "no capacity or credit"),
        (500, b"evil", False, "answered with 500"),
    ],
)
def test_it_says_what_was_answered(serve: Serve, status: int, body: bytes, good: bool, said: str) -> None:
    answer = upstream_check.check(serve(status, body))

    assert answer.good is good
    assert said in answer.words
    assert "evil" not in answer.words
    assert "sk-upstream" not in answer.words


@pytest.mark.parametrize(
    ("dialect", "rules", "path", "header"),
    [
        ("openai", {}, "/models", ("authorization", "Bearer sk-upstream-0123456789")),
        ("openai", {"like": "azure"}, "/models", ("api-key", "sk-upstream-0123456789")),
        ("anthropic", {}, "/v1/models", ("x-api-key", "sk-upstream-0123456789")),
        ("gemini", {}, "/v1beta/models", ("x-goog-api-key", "sk-upstream-0123456789")),
    ],
)
def test_it_asks_as_the_dialect_does(
    serve: Serve, dialect: str, rules: dict[str, Any], path: str, header: tuple[str, str]
) -> None:
    upstream = serve(200, b'{"data": []}')
    upstream.dialect, upstream.rules = dialect, {**rules, "headers": {"x-more": "1"}}

    assert upstream_check.check(upstream).good
    [(asked_path, headers)] = asked
    assert asked_path == path
    assert {"x-more": "1", header[0]: header[1]}.items() <= headers.items()
    assert ("anthropic-version" in headers) == (dialect == "anthropic")


def test_it_calls_no_address_that_is_not_allowed(serve: Serve, settings: Any) -> None:
    upstream = serve(200, b'{"data": []}')
    settings.SANDBOX_URL = ""

    answer = upstream_check.check(upstream)

    assert not answer.good
    assert "https://" in answer.words
