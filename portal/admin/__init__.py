"""The operators' pages about people, tenants and wallets. Signing in goes through the one door of allauth."""

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin

from portal.admin import (
    audits,
    bank_lines,
    books,
    contracts,
    credits,
    invoicing,
    margins,
    payments,
    provider_reports,
    reratings,
    revenue,
    tenants,
    users,
    vouchers,
    wallets,
)

__all__ = [
    "audits",
    "bank_lines",
    "books",
    "contracts",
    "credits",
    "invoicing",
    "margins",
    "payments",
    "provider_reports",
    "reratings",
    "revenue",
    "tenants",
    "users",
    "vouchers",
    "wallets",
]

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
# Second factors are secrets, and addresses are proven by their owners: neither is for operators to read or edit.
admin.site.unregister([Authenticator, EmailAddress])
