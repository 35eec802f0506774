"""Receipts: what one call was and what it cost, line by line, signed so that anyone can check it later. Pure.

A receipt is a JSON object of texts, whole numbers, booleans and nulls; amounts are exact decimal texts. Its
``signature`` is Ed25519 (RFC 8032) over the rest of it as JSON with sorted keys and no spaces, in UTF-8. The key is
named by its thumbprint (RFC 7638) and published as a key set (RFC 7517, RFC 8037).
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from billing.meters import COUNTERS, SURCHARGES, TOKEN_CLASSES, UNIT_PRICES
from billing.money import usd
from billing.sealing import derive

MILLION = 1_000_000
ALGORITHM = "EdDSA"
CONDITIONS = ("variant", "above_tokens", "service_tier", "hours")
"""What a variant of a price is for; the base price is for anything else."""
SAID = (
    "state", "model", "requested_model", "operation", "upstream", "upstream_model", "reported_model", "attempts",
    "stream", "status", "finish_reason", "error_code", "basis", "run_id", "client_gone",
)  # fmt: skip
"""Columns that a receipt says as they are; those that are empty are null."""


class ReceiptProblem(Exception):
    """A receipt that is not what was signed, not signed by this key, or whose lines are not its amount."""


def body(row: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt, not yet signed, of what ``Reader.receipt_row`` gives. The lines sum to the amount, exactly.

    While a call is open its receipt has a ``hold`` and no lines; one that was voided costs nothing.
    """
    event = row["event"]
    prices = {price["id"]: price for price in row["prices"] or ()}
    price = prices.get(event["price_id"])
    settled = event["state"] == "settled"
    found = [event[name] for name in COUNTERS]
    lines = list(_lines(found, price, requests=1)) if settled and price else []
    if settled and sum(pico for _, pico in lines) != event["cost"]:
        raise ReceiptProblem("the lines of the receipt are not its amount")
    adjustments = [_adjustment(each, prices) for each in row["adjustments"] or ()]
    total = event["cost"] + sum(each["cost"] for each in row["adjustments"] or ())
    said = {name: None if event[name] == "" else event[name] for name in SAID}
    return {
        "id": f"req_{event['id'].replace('-', '')[:24]}",
        "object": "receipt",
        "created": _seconds(event["opened_at"]),
        "settled": _seconds(event["settled_at"]),
        **said,
        "hold": money(event["hold"]) if event["state"] == "open" else None,
        "price": None if price is None else _price(price),
        "lines": [line for line, _ in lines],
        "amount": money(event["cost"]),
        "adjustments": adjustments,
        "total": money(total),
        "bytes": {"input": event["input_bytes"], "output": event["output_bytes"]},
        "timings": {name: event[name] for name in ("first_byte_ms", "duration_ms", "overhead_ms")},
    }


def money(pico: int) -> dict[str, str]:
    """An amount in words that lose nothing: ``{"amount": "0.000061", "currency": "USD"}``."""
    return {"amount": usd(pico), "currency": "USD"}


def _seconds(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp())


def _price(price: Mapping[str, Any]) -> dict[str, Any]:
    """USD per million tokens of each class, and per piece of each surcharge that is sold."""
    return {
        "id": price["id"],
        "effective_from": price["effective_from"],
        **{name: price[name] for name in CONDITIONS if price[name]},
        "per_million_tokens": {name: usd(price[name] * MILLION) for name in TOKEN_CLASSES},
        **{name: usd(price[name]) for name in SURCHARGES if price[name] is not None},
    }


def _lines(counts: Iterable[int], price: Mapping[str, Any], *, requests: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Each class used with its amount in picodollars; negative where an estimate is taken back."""
    pairs = [(UNIT_PRICES[name], count) for name, count in zip(COUNTERS, counts, strict=True)]
    for name, count in [*pairs, ("per_request", requests)]:
        unit = price[name] or 0
        if not count or (name == "per_request" and not unit):
            continue
        tokens = name in TOKEN_CLASSES
        line = {
            "class": name,
            "tokens" if tokens else "count": count,
            "unit_price": usd(unit * MILLION if tokens else unit),
            "per": "1M tokens" if tokens else "piece",
            "amount": usd(count * unit),
        }
        yield line, count * unit


def _adjustment(made: Mapping[str, Any], prices: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """True usage that came after an estimate was booked: the signed difference, under one price."""
    price = prices[made["price_id"]]
    lines = list(_lines(made["counts"], price, requests=0))
    left = made["cost"] - sum(pico for _, pico in lines)
    if left:  # the estimate is taken back whole, with what it cost as a request; or a truth takes its place
        lines = list(_lines(made["counts"], price, requests=1 if left > 0 else -1))
    if sum(pico for _, pico in lines) != made["cost"]:
        raise ReceiptProblem("the lines of an adjustment are not its amount")
    return {
        "made": _seconds(made["made_at"]),
        "price": _price(price),
        "lines": [line for line, _ in lines],
        "amount": money(made["cost"]),
    }


def signing_key(master_key: str) -> Ed25519PrivateKey:
    """The key of an installation, from its master key; another master key is another key."""
    return Ed25519PrivateKey.from_private_bytes(derive(master_key, b"tollgate receipts ed25519", 32))


def key_id(public: Ed25519PublicKey) -> str:
    """The thumbprint that names a public key."""
    members = {name: value for name, value in _jwk(public).items() if name in ("crv", "kty", "x")}
    return _text(hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest())


def jwks(*public: Ed25519PublicKey) -> dict[str, Any]:
    """The key set to publish."""
    return {"keys": [{**_jwk(key), "kid": key_id(key), "alg": ALGORITHM, "use": "sig"} for key in public]}


def public_keys(key_set: Mapping[str, Any]) -> dict[str, Ed25519PublicKey]:
    """The keys of a published set, by their own thumbprint, whatever names it gives them."""
    found = {}
    for each in key_set.get("keys", ()):
        if each.get("kty") == "OKP" and each.get("crv") == "Ed25519":
            key = Ed25519PublicKey.from_public_bytes(_bytes(each["x"]))
            found[key_id(key)] = key
    return found


def sign(receipt: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The receipt with its ``signature {alg, kid, value}``, the value as base64url without padding."""
    value = _text(key.sign(canonical(receipt)))
    return {**receipt, "signature": {"alg": ALGORITHM, "kid": key_id(key.public_key()), "value": value}}


def verify(receipt: Mapping[str, Any], key: Ed25519PublicKey) -> None:
    """Raise ReceiptProblem unless every word of the receipt is what this key signed."""
    signature = receipt.get("signature")
    if not isinstance(signature, Mapping) or not isinstance(signature.get("value"), str):
        raise ReceiptProblem("the receipt is not signed")
    if signature.get("alg") != ALGORITHM or signature.get("kid") != key_id(key):
        raise ReceiptProblem("the receipt was signed with another key")
    try:
        key.verify(_bytes(signature["value"]), canonical(receipt))
    except (InvalidSignature, ValueError):
        raise ReceiptProblem("the receipt was changed after it was signed") from None


def canonical(receipt: Mapping[str, Any]) -> bytes:
    """What is signed: all but the signature, keys sorted, no spaces, UTF-8."""
    rest = {name: value for name, value in receipt.items() if name != "signature"}
    return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)


def _jwk(public: Ed25519PublicKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _text(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
