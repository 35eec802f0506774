"""Second factors at rest: what allauth stores of a TOTP secret or recovery seed is encrypted under a key of its own."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def _box() -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tollgate second factors")
    return Fernet(urlsafe_b64encode(derived.derive(settings.MASTER_KEY.encode())))


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """allauth's adapter, with the two hooks it leaves for this."""

    def encrypt(self, text: str) -> str:
        """A secret as it is stored."""
        return _box().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """The secret of a stored one."""
        return _box().decrypt(encrypted_text.encode()).decode()
