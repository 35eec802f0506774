"""The fake Stripe's HTTP: form bodies in, JSON out, idempotency keys, the page to pay on, webhooks out."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.fake_stripe.till import DECLINED, GOOD, SLOW, Refusal, Thing, Till

SECRET = "whsec_fake_signing_secret_of_tests"
KEY = "sk_test_fake"


def sign(raw: bytes, *, secret: str = SECRET, at: int | None = None) -> str:
    """Stripe's signature: HMAC-SHA256 over time and raw body."""
    moment = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + raw, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def nested(pairs: list[tuple[str, str]]) -> Thing:
    """``a[b][0][c]=1`` → nested objects; numbered keys are lists."""
    found: Thing = {}
    for name, value in pairs:
        path = re.findall(r"[^\[\]]+", name)
        place = found
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = {"true": True, "false": False}.get(value, value)
    made: Thing = _lists(found)
    return made


def _lists(thing: Any) -> Any:
    if not isinstance(thing, dict):
        return thing
    if thing and all(key.isdecimal() for key in thing):
        return [_lists(thing[key]) for key in sorted(thing, key=int)]
    return {key: _lists(value) for key, value in thing.items()}


class FakeStripe:
    """A Stripe on a free port of this machine.

    With a ``webhook`` each event is posted there at once, ``doubled`` times; otherwise they wait in ``events`` for a
    test to deliver as it likes: late, doubled, in another order, or never.
    """

    def __init__(self, webhook: str = "", *, port: int = 0, doubled: int = 1) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (Handler,), {"fake": self}))
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.webhook, self.doubled = webhook, doubled
        self.events: list[Thing] = []
        self.till = Till(self.base, self._hear)
        self.answering: Callable[[str], int] = lambda path: 200
        """What a path is answered with instead: 503 for a while, or 0 for an answer that is lost after the work."""

    def start(self) -> FakeStripe:
        """Serve until stopped."""
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """No longer."""
        self.server.shutdown()
        self.server.server_close()

    def messages(self) -> list[tuple[bytes, str]]:
        """Every event so far as it would be sent: raw body and signature."""
        raws = [json.dumps(event, separators=(",", ":")).encode() for event in self.events]
        return [(raw, sign(raw)) for raw in raws]

    def _hear(self, event: Thing) -> None:
        self.events.append(event)
        if self.webhook:
            threading.Thread(target=self._send, args=(event,), daemon=True).start()

    def _send(self, event: Thing) -> None:
        raw = json.dumps(event).encode()
        for _ in range(self.doubled):
            headers = {"Stripe-Signature": sign(raw), "Content-Type": "application/json"}
            request = urllib.request.Request(self.webhook, raw, headers)  # noqa: S310 - an address of the test
            try:
                urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
            except OSError as problem:
                print(f"{event['type']} was not taken: {problem}", flush=True)

    def answer(self, method: str, path: str, values: Thing, key: str) -> Thing:
        """One request of the API."""
        with self.till.lock:
            if key and key in self.till.answers:
                said, answer = self.till.answers[key]
                if said != json.dumps([path, values], sort_keys=True):
                    raise Refusal(400, "Keys for idempotent requests can only be used with the same parameters.",
                                  type="idempotency_error")  # fmt: skip
                if "refused" in answer:
                    raise answer["refused"]
                return answer
            try:
                answer = self._do(method, path, values)
            except Refusal as refusal:
                if key and refusal.status == 402:
                    self.till.answers[key] = json.dumps([path, values], sort_keys=True), {"refused": refusal}
                raise
            if key:
                self.till.answers[key] = json.dumps([path, values], sort_keys=True), dict(answer)
            return answer

    def _do(self, method: str, path: str, values: Thing) -> Thing:
        till, parts = self.till, path.strip("/").split("/")[1:]
        match method, parts:
            case "POST", ["customers"]:
                return till.new("cus", "customer", **values)
            case "POST", ["checkout", "sessions"]:
                return till.make_session(values)
            case "POST", ["checkout", "sessions", ident, "expire"]:
                return till.expire(ident)
            case "POST", ["payment_intents"]:
                return self._expanded(till.make_charge(values))
            case "POST", ["refunds"]:
                return till.make_refund(values)
            case "GET", ["payment_intents" | "refunds" | "disputes" as kind]:
                wanted = {name: values[name] for name in ("payment_intent", "customer") if name in values}
                return till.listed(kind.removesuffix("s"), **wanted)
            case "GET", [*_, ident]:
                return self._expanded(till.get(ident))
        raise Refusal(404, f"Unrecognized request URL ({method}: {path})")

    def _expanded(self, thing: Thing) -> Thing:
        """Charges with their card, pages with their charge, as Tollgate asks for them."""
        shown = dict(thing)
        for name in ("payment_intent", "payment_method"):
            if isinstance(shown.get(name), str):
                shown[name] = self._expanded(self.till.get(shown[name]))
        return shown


PAGE = """<!doctype html><meta charset="utf-8"><title>Fake Stripe</title>
<meta name="viewport" content="width=device-width">
<body style="font:16px system-ui;max-width:26rem;margin:3rem auto"><h1>{title}</h1>
<p><strong>{amount} {currency}</strong>
(minor units)</p>{said}<form method="post"><label>Card number <input name="card" value="4242424242424242"></label>
<p><button name="act" value="pay">Pay</button> <a href="{cancel}">Go back</a></p></form>
<p>…{good} pays, …{declined} is declined, …{slow} takes days.</p>"""


class Handler(BaseHTTPRequestHandler):
    """The fake's two doors: the API, and the page."""

    fake: FakeStripe
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        values = nested(parse_qsl(body if method == "POST" else parts.query, keep_blank_values=True))
        try:
            if parts.path.startswith("/pay/"):
                self._page(method, parts.path.removeprefix("/pay/"), values)
                return
            status = self.fake.answering(parts.path)
            if status not in (0, 200):
                raise Refusal(status, "Something is wrong here.", type="api_error")
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                raise Refusal(401, "Invalid API Key provided.")
            answer = self.fake.answer(method, parts.path, values, self.headers.get("Idempotency-Key") or "")
            if not status:
                self.close_connection = True
                return
            self._send(200, json.dumps(answer), "application/json")
        except Refusal as refusal:
            self._send(refusal.status, json.dumps(refusal.body), "application/json")

    def _page(self, method: str, ident: str, values: Thing) -> None:
        session, said = self.fake.till.get(ident), ""
        if method == "POST":
            with self.fake.till.lock:
                paid = self.fake.till.pay(ident, "".join(values["card"].split())[-4:])
            if paid:
                self.send_response(303)
                self.send_header("Location", session["success_url"])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            said = '<p role="alert">Your card was declined.</p>'
        texts = {name: html.escape(str(session[key])) for name, key in
                 (("title", "title"), ("amount", "amount_total"), ("cancel", "cancel_url"))}  # fmt: skip
        currency = session["currency"].upper()
        cards = {"good": GOOD, "declined": DECLINED, "slow": SLOW}
        self._send(200, PAGE.format(**texts, currency=currency, said=said, **cards), "text/html; charset=utf-8")

    def _send(self, status: int, text: str, kind: str) -> None:
        raw = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
