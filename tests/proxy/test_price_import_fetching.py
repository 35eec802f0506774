"""Fetching a price file over https from a server of the test's own."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.pricing_import import fetching
from proxy.pricing_import.reading import PriceFileProblem

BODY = b'{"a model": {}}'


class Pages(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        places = {"/moved": "/prices.json", "/plain": "http://localhost/x.json", "/loop": "/loop"}
        place = places.get(self.path)
        body = BODY if self.path == "/prices.json" else b""
        self.send_response(302 if place else 200 if body else 404)
        if place:
            self.send_header("Location", place)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@dataclass(frozen=True)
class Site:
    """An https server, and what it takes to trust it."""

    url: str
    trust: ssl.SSLContext

    def fetch(self, path: str) -> bytes:
        return fetching.from_address(self.url + path, trust=self.trust)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = certificate(tmp_path_factory.mktemp("site"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(f"https://127.0.0.1:{server.server_port}", ssl.create_default_context(cafile=str(path)))
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site(served: Site, settings: Any) -> Site:
    """With private addresses allowed, as the server is one."""
    settings.ALLOW_PRIVATE_UPSTREAMS = True
    return served


def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "site.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + made.public_bytes(pem))
    return path


def refusal(site: Site, path: str) -> str:
    with pytest.raises(PriceFileProblem) as caught:
        site.fetch(path)
    return str(caught.value)


def test_it_fetches_a_file_and_follows_a_redirect(site: Site) -> None:
    assert site.fetch("/prices.json") == BODY
    assert site.fetch("/moved") == BODY


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/plain", "Only addresses that start with https:// are fetched."),
        ("/loop", "The address redirects more than 3 times."),
        ("/nothing", "The address answered with 404."),
        ("/prices.json?a=b", "An address of a price file has no query and no fragment."),
    ],
)
def test_it_says_why_it_fetches_nothing(site: Site, path: str, said: str) -> None:
    assert refusal(site, path) == said


def test_it_reads_no_more_than_it_may(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", len(BODY) - 1)
    assert "The file is larger than" in refusal(site, "/prices.json")


def test_it_wants_a_certificate_it_trusts(site: Site) -> None:
    with pytest.raises(PriceFileProblem, match="its certificate is not trusted"):
        fetching.from_address(site.url + "/prices.json")


def test_it_follows_nobody_into_the_own_network(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name was public when it was checked, and leads elsewhere when it is connected to."""
    monkeypatch.setattr("proxy.addresses.resolve", lambda host, port: ["93.184.216.34"])
    assert "127.0.0.1, which is not on the public internet" in refusal(served, "/prices.json")
