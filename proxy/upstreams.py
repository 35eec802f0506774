"""Upstreams and their credentials: the only writer of Credential rows."""

from __future__ import annotations

from django.conf import settings

from proxy import addresses, credentials
from proxy.models import Credential, Upstream

DEFAULT = "default"


def check_address(base_url: str, *, sandbox_url: str = "") -> None:
    """Raise AddressProblem unless this installation may call the address. Resolves the name."""
    addresses.check(
        base_url,
        allow_private=settings.ALLOW_PRIVATE_UPSTREAMS,
        sandbox_url=sandbox_url or settings.SANDBOX_URL,
    )


def change_base_url(upstream: Upstream, base_url: str) -> int:
    """Set another base URL on an unsaved change of ``upstream`` and forget its credentials; returns how many.

    A credential is for the host it was entered for: kept over a change of address, it would be sent to a stranger.
    """
    upstream.base_url = base_url
    if upstream._state.adding:
        return 0
    return upstream.credentials.all().delete()[0]


def set_credential(*, upstream: Upstream, secret: str, name: str = DEFAULT) -> bool:
    """Seal and store an upstream's API key; False if it is the one that is stored. Raises CredentialProblem."""
    stored = upstream.credentials.filter(name=name).first()
    if stored is not None and stored.is_active and _opens_to(stored, secret):
        return False
    sealed = credentials.seal(master_key=settings.MASTER_KEY, upstream_id=upstream.pk, name=name, secret=secret)
    Credential.objects.update_or_create(
        upstream=upstream,
        name=name,
        defaults={
            "sealed": sealed.sealed,
            "key_id": sealed.key_id,
            "last_four": sealed.last_four,
            "is_active": True,
        },
    )
    return True


def secret_of(upstream: Upstream) -> str | None:
    """The API key of an upstream's first active credential, for calling it; None if it has none."""
    stored = upstream.credentials.filter(is_active=True).order_by("pk").first()
    return None if stored is None else _open(stored)


def _open(stored: Credential) -> str:
    return credentials.open(
        master_key=settings.MASTER_KEY, upstream_id=stored.upstream_id, name=stored.name, sealed=bytes(stored.sealed)
    )


def _opens_to(stored: Credential, secret: str) -> bool:
    try:
        return _open(stored) == secret
    except credentials.CredentialProblem:
        return False  # sealed under another master key: it must be sealed anew
