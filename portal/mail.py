"""Mail to people: invitations."""

from __future__ import annotations

from django.core.mail import send_mail
from django.db import transaction

from portal.models import Invitation


def send_invitation(invitation: Invitation, *, link: str) -> None:
    """Send the link once the invitation is committed. A mail server that fails is logged; the page shows the link."""
    text = (
        f"{invitation.invited_by} invites you to {invitation.tenant.name} on Tollgate, as {invitation.role}.\n\n"
        f"Join here within seven days:\n{link}\n\n"
        f"Sign in or make an account with this address: {invitation.email}\n"
    )
    subject = f"Join {' '.join(invitation.tenant.name.split())} on Tollgate"
    transaction.on_commit(lambda: _send(subject, text, invitation.email), robust=True)


def _send(subject: str, text: str, to: str) -> None:
    send_mail(subject=subject, message=text, from_email=None, recipient_list=[to])
