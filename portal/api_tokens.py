"""API tokens: a member's credentials for the management API. The text of a token is shown once."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from portal import audit
from portal.key_format import ALPHABET
from portal.models import ApiToken, Membership, User
from portal.row_scope import OPERATOR, RowScope, entered

PREFIX = "tgm_"
MOST_TOKENS = 50
_SHAPE = re.compile(r"tgm_[0-9A-Za-z]{40}", re.ASCII)
_USED_RESOLUTION = timedelta(minutes=1)


class TokenProblem(Exception):
    """A token that cannot be made; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token and its whole text, which is shown once and kept nowhere."""

    token: ApiToken
    text: str = field(repr=False)


def make_token(*, membership: Membership, name: str, expires_at: datetime | None, now: datetime) -> IssuedToken:
    """A token that acts as this member, in this tenant only, in whatever role the member has then."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise TokenProblem("A token needs a name of at most 100 printable characters.")
    if expires_at is not None and expires_at <= now:
        raise TokenProblem("The expiry lies in the past.")
    text = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(40))
    with transaction.atomic():
        if ApiToken.objects.filter(usable(now), membership=membership).count() >= MOST_TOKENS:
            raise TokenProblem(f"You have {MOST_TOKENS} tokens already: revoke one first.")
        token = ApiToken.objects.create(
            tenant_id=membership.tenant_id,
            membership=membership,
            name=name.strip(),
            digest=_digest(text),
            last_four=text[-4:],
            created_at=now,
            expires_at=expires_at,
        )
        audit.record(
            tenant=membership.tenant, actor=membership.user, action="api_token.make", subject=token.name, now=now
        )
    return IssuedToken(token, text)


def revoke_token(*, token: ApiToken, actor: User | None, now: datetime) -> None:
    """Refuse a token from the next request on. Doing so twice does nothing."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=now):
            audit.record(tenant=token.tenant, actor=actor, action="api_token.revoke", subject=token.name, now=now)


def find(text: str, *, now: datetime) -> ApiToken | None:
    """The usable token of a text, with its membership, user and tenant; None for any other text.

    Acts as operator: which tenant's rows may be seen is what the token decides.
    """
    if not _SHAPE.fullmatch(text):
        return None
    with entered(RowScope(OPERATOR)):
        token = (
            ApiToken.objects.filter(usable(now), digest=_digest(text), membership__user__is_active=True)
            .select_related("membership__user", "membership__tenant")
            .first()
        )
        if token is not None and (token.last_used_at is None or token.last_used_at < now - _USED_RESOLUTION):
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def usable(now: datetime) -> Q:
    """The condition of tokens that are neither revoked nor expired."""
    return Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))


def _digest(text: str) -> bytes:
    """HMAC-SHA256 under the pepper, for this purpose alone: no API key's digest can ever equal it."""
    return hmac.digest(settings.KEY_PEPPER.encode(), b"api token\0" + text.encode(), "sha256")
