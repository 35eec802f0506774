"""API keys: issue, rotate, revoke. The text of a key exists once, in the answer to issuing it.

A rotated key shares budgets and quotas with the key it takes over from: they stay where they are, on the first key of
the chain, and every later key's ``replaces`` names that first one (``limits_holder``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from billing import budgets
from billing.models import Budget
from portal import audit, key_format, quotas
from portal.models import ApiKey, Project, User

PEPPER_VERSION = 1
MOST_MODELS = 200
LONGEST_OVERLAP = timedelta(days=90)
LATEST_EXPIRY = datetime(2201, 1, 2, tzinfo=UTC)
"""Far from the last moment a calendar can show in every time zone."""
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}", re.ASCII)


class KeyProblem(Exception):
    """A key that cannot be issued, rotated or revoked; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may do. ``budget`` is picodollars per ``window``; None is no limit of that kind."""

    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budget: int | None = None
    window: str = Budget.Window.MONTH
    expires_at: datetime | None = None


NO_LIMITS = KeyLimits()


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key and its whole text, which is shown once and kept nowhere."""

    key: ApiKey
    text: str = field(repr=False)


def issue(*, project: Project, name: str, limits: KeyLimits, actor: User | None, now: datetime) -> IssuedKey:
    """A new key of a project, with its limits, in one transaction."""
    _check_name(name)
    _check_limits(limits, now=now)
    with transaction.atomic():
        if not project.tenant.is_active:
            raise KeyProblem("This organisation is disabled.")
        if not project.is_active:
            raise KeyProblem("This project is closed.")
        issued = _make(
            project=project, name=name, models=limits.models, expires_at=limits.expires_at, actor=actor, now=now
        )
        key = issued.key
        quotas.set_quota(
            tenant=key.tenant,
            api_key=key,
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            concurrency=limits.concurrency,
        )
        if limits.budget is not None:
            budgets.set_budget(
                tenant=key.tenant,
                scope=Budget.Scope.API_KEY,
                scope_id=key.pk,
                window=limits.window,
                limit=limits.budget,
                now=now,
            )
        audit.record(
            tenant=key.tenant,
            actor=actor,
            action="api_key.issue",
            subject=key.public_id,
            now=now,
            detail={"project": project.slug, "name": key.name},
        )
    return issued


def revoke(*, key: ApiKey, actor: User | None, now: datetime, cut_streams: bool = False) -> bool:
    """Refuse the key from now on, within a second everywhere; optionally end its running streams.

    Returns False if it was revoked before; asking again to cut streams still cuts them.
    """
    with transaction.atomic():
        changed = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(
            revoked_at=now, cut_streams=cut_streams
        )
        cut_later = not changed and cut_streams
        if cut_later:
            cut_later = bool(ApiKey.objects.filter(pk=key.pk, cut_streams=False).update(cut_streams=True))
        if changed or cut_later:
            audit.record(
                tenant=key.tenant,
                actor=actor,
                action="api_key.revoke",
                subject=key.public_id,
                now=now,
                detail={"cut_streams": cut_streams},
            )
    key.refresh_from_db(fields=["revoked_at", "cut_streams"])
    return bool(changed)


def rotate(*, key: ApiKey, actor: User | None, overlap: timedelta, now: datetime) -> IssuedKey:
    """A new key with the same limits; the old one ends after ``overlap``, and both count against the same limits."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise KeyProblem(f"The old key can go on for 0 to {LONGEST_OVERLAP.days} days.")
    with transaction.atomic():
        old = ApiKey.objects.select_for_update(of=("self",)).select_related("project", "tenant").get(pk=key.pk)
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise KeyProblem("A key that is revoked or has expired cannot be rotated: make a new one.")
        issued = _make(
            project=old.project,
            name=old.name,
            models=None if old.allowed_models is None else tuple(old.allowed_models),
            expires_at=old.expires_at,
            actor=actor,
            now=now,
            replaces_id=limits_holder(old),
        )
        ends_at = now + overlap
        if old.expires_at is None or old.expires_at > ends_at:
            ApiKey.objects.filter(pk=old.pk).update(expires_at=ends_at)
        audit.record(
            tenant=old.tenant,
            actor=actor,
            action="api_key.rotate",
            subject=old.public_id,
            now=now,
            detail={"new": issued.key.public_id, "old_ends_at": ends_at.isoformat()},
        )
    key.refresh_from_db(fields=["expires_at"])
    return issued


def limits_holder(key: ApiKey) -> int:
    """The id that budgets and quotas of this key are kept under: the first key's, for a key that came by rotation."""
    return key.replaces_id or key.pk


def usable(now: datetime) -> Q:
    """The condition of keys that are neither revoked nor expired."""
    return Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))


def _make(
    *,
    project: Project,
    name: str,
    models: tuple[str, ...] | None,
    expires_at: datetime | None,
    actor: User | None,
    now: datetime,
    replaces_id: int | None = None,
) -> IssuedKey:
    new = key_format.generate()
    key = ApiKey.objects.create(
        tenant=project.tenant,
        project=project,
        name=name.strip(),
        public_id=new.public_id,
        digest=key_format.digest(new.text.encode(), settings.KEY_PEPPER.encode()),
        pepper_version=PEPPER_VERSION,
        last_four=new.text[-4:],
        allowed_models=None if models is None else list(models),
        created_by=actor,
        created_at=now,
        expires_at=expires_at,
        replaces_id=replaces_id,
    )
    return IssuedKey(key, new.text)


def _check_name(name: str) -> None:
    if len(name) > 100 or not name.isprintable():
        raise KeyProblem("A key's name has at most 100 printable characters.")


def _check_limits(limits: KeyLimits, *, now: datetime) -> None:
    if limits.models is not None:
        if not 1 <= len(limits.models) <= MOST_MODELS:
            raise KeyProblem(f"Name 1 to {MOST_MODELS} models, or none at all for every model.")
        for model in limits.models:
            if not _MODEL_NAME.fullmatch(model):
                raise KeyProblem(f"“{model[:64]}” is not a model name.")
    if limits.expires_at is not None and limits.expires_at <= now:
        raise KeyProblem("The expiry lies in the past.")
    if limits.expires_at is not None and limits.expires_at > LATEST_EXPIRY:
        raise KeyProblem("The expiry lies after the year 2200: leave it out for a key that does not expire.")
    if limits.budget is not None and limits.budget < 0:
        raise KeyProblem("A budget is not negative.")
    if limits.window not in Budget.Window.values:
        raise KeyProblem(f"A budget's window is one of {', '.join(Budget.Window.values)}.")
