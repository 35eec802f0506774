"""Memberships and invitations: who belongs to a tenant, and in which role."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from portal import audit
from portal.models import Invitation, Membership, Role, Tenant, User
from portal.row_scope import OPERATOR, RowScope, entered

INVITATION_LIFE = timedelta(days=7)


class TenancyProblem(Exception):
    """An act on a tenant, a member or an invitation that cannot be done; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """An invitation with the secret of its link, which is to be shown or sent once and is not kept."""

    invitation: Invitation
    token: str = field(repr=False)


def add_member(*, tenant: Tenant, user: User, role: str, actor: User | None, now: datetime) -> Membership:
    """Make a user a member. Refused if they are one already."""
    _check_role(role, tenant=tenant, actor=actor)
    with transaction.atomic():
        membership, made = Membership.objects.get_or_create(
            tenant=tenant, user=user, defaults={"role": role, "created_at": now}
        )
        if not made:
            raise TenancyProblem(f"{user.email} is a member already.")
        audit.record(
            tenant=tenant, actor=actor, action="member.add", subject=user.email, now=now, detail={"role": role}
        )
    return membership


def invite(*, tenant: Tenant, email: str, role: str, actor: User, now: datetime) -> IssuedInvitation:
    """Offer membership to an e-mail address for seven days. A second offer to the address replaces the first."""
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise TenancyProblem("That is not an email address.") from None
    _check_role(role, tenant=tenant, actor=actor)
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        if Membership.objects.filter(tenant=tenant, user__email=email).exists():
            raise TenancyProblem(f"{email} is a member already.")
        open_offers = Invitation.objects.filter(
            tenant=tenant, email=email, accepted_at__isnull=True, revoked_at__isnull=True
        )
        open_offers.update(revoked_at=now)
        invitation = Invitation.objects.create(
            tenant=tenant,
            email=email,
            role=role,
            digest=_digest(token),
            invited_by=actor,
            created_at=now,
            expires_at=now + INVITATION_LIFE,
        )
        audit.record(tenant=tenant, actor=actor, action="member.invite", subject=email, now=now, detail={"role": role})
    return IssuedInvitation(invitation, token)


def revoke_invitation(*, invitation: Invitation, actor: User, now: datetime) -> None:
    """Take an open offer back. Doing so twice does nothing."""
    with transaction.atomic():
        claimed = Invitation.objects.filter(pk=invitation.pk, accepted_at__isnull=True, revoked_at__isnull=True).update(
            revoked_at=now
        )
        if claimed:
            audit.record(
                tenant=invitation.tenant,
                actor=actor,
                action="member.invitation_revoke",
                subject=invitation.email,
                now=now,
            )


def accept_invitation(*, token: str, user: User, now: datetime) -> Membership:
    """Join by an invitation's secret. The user must be signed in under the address it was sent to.

    Acts as operator: the user is no member yet, so row-level security shows them neither tenant nor invitation.
    """
    with entered(RowScope(OPERATOR)):
        invitation = (
            Invitation.objects.select_for_update(of=("self",))
            .select_related("tenant")
            .filter(digest=_digest(token))
            .first()
        )
        if invitation is None or invitation.email.lower() != user.email.lower():
            raise TenancyProblem("This invitation is not for you, or does not exist.")
        if invitation.accepted_at or invitation.revoked_at or invitation.expires_at <= now:
            raise TenancyProblem("This invitation was used, taken back or has expired.")
        invitation.accepted_at = now
        invitation.save(update_fields=["accepted_at"])
        membership, _ = Membership.objects.get_or_create(
            tenant=invitation.tenant, user=user, defaults={"role": invitation.role, "created_at": now}
        )
        audit.record(
            tenant=invitation.tenant,
            actor=user,
            action="member.join",
            subject=user.email,
            now=now,
            detail={"role": membership.role},
        )
    return membership


def change_role(*, membership: Membership, role: str, actor: User | None, now: datetime) -> None:
    """Give a member another role. Only an owner makes or unmakes owners, and one owner always stays."""
    with transaction.atomic():
        current = _locked(membership)
        if current.role == role:
            return
        _check_role(role, tenant=current.tenant, actor=actor)
        _check_owner_may_go(current, actor=actor)
        before, current.role = current.role, role
        current.save(update_fields=["role"])
        audit.record(
            tenant=current.tenant,
            actor=actor,
            action="member.change_role",
            subject=current.user.email,
            now=now,
            detail={"from": before, "to": role},
        )


def remove_member(*, membership: Membership, actor: User | None, now: datetime) -> None:
    """End a membership, and with it the member's API tokens. The last owner cannot be removed."""
    with transaction.atomic():
        current = _locked(membership)
        _check_owner_may_go(current, actor=actor)
        email, tenant, role = current.user.email, current.tenant, current.role
        current.delete()
        audit.record(tenant=tenant, actor=actor, action="member.remove", subject=email, now=now, detail={"role": role})


def _locked(membership: Membership) -> Membership:
    """The membership as it is now. All of the tenant's are locked, so that two owners cannot leave at once."""
    rows = Membership.objects.select_for_update(of=("self",)).select_related("tenant", "user")
    for row in rows.filter(tenant_id=membership.tenant_id).order_by("pk"):
        if row.pk == membership.pk:
            return row
    raise TenancyProblem("They are no member any more.")


def _check_role(role: str, *, tenant: Tenant, actor: User | None) -> None:
    if role not in Role.values:
        raise TenancyProblem(f"A role is one of {', '.join(Role.values)}.")
    if role == Role.OWNER:
        _check_actor_owns(tenant, actor)


def _check_owner_may_go(membership: Membership, *, actor: User | None) -> None:
    if membership.role != Role.OWNER:
        return
    _check_actor_owns(membership.tenant, actor)
    others = Membership.objects.filter(tenant_id=membership.tenant_id, role=Role.OWNER).exclude(pk=membership.pk)
    if not others.exists():
        raise TenancyProblem("An organisation needs an owner: make another member owner first.")


def _check_actor_owns(tenant: Tenant, actor: User | None) -> None:
    """Commands (no actor) and staff may; of the members only owners."""
    if actor is None or actor.is_staff:
        return
    if not Membership.objects.filter(tenant=tenant, user=actor, role=Role.OWNER).exists():
        raise TenancyProblem("Only an owner can do that to owners.")


def _digest(token: str) -> bytes:
    """SHA-256 is enough: the token has 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
