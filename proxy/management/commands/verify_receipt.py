"""``manage.py verify_receipt [FILE]``: whether a receipt is what this installation signed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from proxy import receipts
from proxy.receipts import ReceiptProblem


class Command(BaseCommand):
    """Exit status 1 if the receipt was changed, or was signed by someone else. Needs no database."""

    help = "Check the signature of a receipt, from a file or standard input."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="a receipt as JSON; - is standard input")
        parser.add_argument("--keys", help="a key set (JWKS) as a file, instead of the key of this installation")

    def handle(self, *args: Any, **options: Any) -> None:
        receipt = _object(_read(options["file"]), "receipt")
        try:
            receipts.verify(receipt, _key(receipt, options["keys"]))
        except ReceiptProblem as problem:
            raise CommandError(f"Not valid: {problem}.") from None
        self.stdout.write(f"Valid: {receipt.get('id')}, signed by {receipt['signature']['kid']}.")


def _key(receipt: dict[str, Any], keys: str | None) -> Ed25519PublicKey:
    """The public key the receipt names, among those that are trusted."""
    own = receipts.signing_key(settings.MASTER_KEY).public_key()
    known = receipts.public_keys(receipts.jwks(own) if keys is None else _object(_read(keys), "key set"))
    named = receipt.get("signature")
    found = known.get(str(named.get("kid"))) if isinstance(named, dict) else own
    if found is None:
        raise ReceiptProblem("the receipt was signed with another key")
    return found


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandError(f"This is no {what}: a JSON object was expected.")
    return found
