"""Upstreams and their credentials: the only writer of Credential rows."""

from __future__ import annotations

from django.conf import settings
from django.utils.timezone import now

from proxy import addresses, credentials
from proxy.credentials import CredentialProblem
from proxy.models import Credential, Finding, Upstream

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
    stored = list(upstream.credentials.order_by("pk"))
    for one in stored:
        remove_credential(one)
    return len(stored)


def set_credential(
    *, upstream: Upstream, secret: str, name: str = DEFAULT, is_active: bool | None = True
) -> Credential | None:
    """Seal and store an upstream's API key under a name; None if all is as it was. Raises CredentialProblem.

    Without ``is_active``, one that is stored stays active or disabled, and a new one is active.
    """
    stored = upstream.credentials.filter(name=name).first()
    if is_active is None:
        is_active = stored is None or stored.is_active
    if stored is not None and _opens_to(stored, secret):
        return stored if set_active(stored, is_active) else None
    sealed = credentials.seal(master_key=settings.MASTER_KEY, upstream_id=upstream.pk, name=name, secret=secret)
    stored, _ = Credential.objects.update_or_create(
        upstream=upstream,
        name=name,
        defaults={
            "sealed": sealed.sealed,
            "key_id": sealed.key_id,
            "last_four": sealed.last_four,
            "is_active": is_active,
            "sealed_at": now(),
        },
    )
    _settle(stored.place, f"upstream:{upstream.pk}")
    return stored


def set_active(credential: Credential, is_active: bool) -> bool:
    """Disable or enable a credential; False if it is already."""
    if credential.is_active == is_active:
        return False
    credential.is_active = is_active
    credential.save(update_fields=["is_active"])
    return True


def remove_credential(credential: Credential) -> None:
    """Forget a credential. Without any, calls to the upstream carry none."""
    _settle(credential.place)
    credential.delete()


def last_refusal(credential: Credential) -> Finding | None:
    """The newest finding that the upstream refused this secret; an operator may have acknowledged it."""
    found = Finding.objects.filter(kind=Finding.Kind.CREDENTIAL, place=credential.place)
    return found.filter(seen_at__gte=credential.sealed_at).order_by("-seen_at", "-pk").first()


def secrets_of(upstream: Upstream) -> list[str | None]:
    """The API keys of an upstream's active credentials, for calling it; a single None if it takes none.

    Raises CredentialProblem if there are credentials, and none that calls can go out with.
    """
    stored = list(upstream.credentials.order_by("pk"))
    active = [one for one in stored if one.is_active]
    if stored and not active:
        raise CredentialProblem("All its credentials are disabled, so no call goes to it: enable one, or add another.")
    return [secret_in(one) for one in active] or [None]


def secret_of(upstream: Upstream) -> str | None:
    """The first of ``secrets_of``."""
    return secrets_of(upstream)[0]


def secret_in(stored: Credential) -> str:
    """The API key of one credential; raises CredentialProblem if it does not open."""
    return credentials.open(
        master_key=settings.MASTER_KEY, upstream_id=stored.upstream_id, name=stored.name, sealed=bytes(stored.sealed)
    )


def _opens_to(stored: Credential, secret: str) -> bool:
    try:
        return secret_in(stored) == secret
    except CredentialProblem:
        return False  # sealed under another master key: it must be sealed anew


def _settle(*places: str) -> None:
    """Close findings about credentials that are no more: whoever changed them has taken note."""
    found = Finding.objects.filter(kind=Finding.Kind.CREDENTIAL, place__in=places, state=Finding.State.OPEN)
    found.update(state=Finding.State.ACKNOWLEDGED, acknowledged_at=now())
