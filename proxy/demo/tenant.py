"""The demo tenant: a user who owns it and may open the admin, and a key to call with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from allauth.account.models import EmailAddress

from billing import budgets
from billing.models import Budget, Wallet
from billing.money import PICO_PER_USD
from portal import api_keys, tenancy
from portal.models import ApiKey, Project, Tenant, User

SLUG = "demo"
EMAIL = "demo@example.com"
KEY_NAME = "Demo"
CREDIT_LIMIT = 1_000 * PICO_PER_USD
MONTHLY_BUDGET = 500 * PICO_PER_USD


@dataclass(frozen=True, slots=True)
class Demo:
    """What was made now: a password and a key are None if they were there before, for nobody can read them again."""

    password: str | None
    api_key: str | None


def ensure(*, now: datetime, renew: bool = False) -> Demo:
    """Make whatever is missing. ``renew`` sets a new password and makes a new key as well."""
    user, password = _user(renew=renew)
    tenant = Tenant.objects.filter(slug=SLUG).first() or _tenant(user, now=now)
    project = Project.objects.get(tenant=tenant, slug=tenancy.DEFAULT_PROJECT)
    if not renew and ApiKey.objects.filter(project=project, name=KEY_NAME).exists():
        return Demo(password, None)
    issued = api_keys.issue(project=project, name=KEY_NAME, limits=api_keys.NO_LIMITS, actor=user, now=now)
    return Demo(password, issued.text)


def _user(*, renew: bool) -> tuple[User, str | None]:
    user = User.objects.filter(email=EMAIL).first()
    if user is not None and not renew:
        return user, None
    password = secrets.token_urlsafe(12)
    if user is None:
        user = User.objects.create_superuser(EMAIL, password, name="Demo")
        EmailAddress.objects.create(user=user, email=EMAIL, verified=True, primary=True)
    else:
        user.set_password(password)
        user.save(update_fields=["password"])
    return user, password


def _tenant(owner: User, *, now: datetime) -> Tenant:
    tenant = tenancy.create_tenant(
        slug=SLUG,
        name="Demo organisation",
        timezone="UTC",
        owner=owner,
        mode=Wallet.Mode.POSTPAID,
        credit_limit=CREDIT_LIMIT,
        now=now,
    )
    budgets.set_budget(
        tenant=tenant,
        scope=Budget.Scope.TENANT,
        scope_id=tenant.pk,
        window=Budget.Window.MONTH,
        limit=MONTHLY_BUDGET,
        now=now,
    )
    return tenant
