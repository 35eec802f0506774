"""VAT ids: their form and check digits, and whether the EU's VIES service knows them. The only writer of VatCheck."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import httpx
from django.conf import settings
from stdnum import get_cc_module
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError

from billing.models import VatCheck
from billing.parties import Tenant

EU = frozenset((
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
))  # fmt: skip
"""The member states, since 2020."""
ANY = re.compile(r"[A-Z0-9]{2,20}", re.ASCII)
TIMEOUT_S = 10
FRESH = timedelta(days=30)


class VatIdProblem(Exception):
    """A text that is no VAT id of its country."""


def checked(country: str, text: str) -> str:
    """A VAT id in compact form, with its prefix within the EU (Greece's is EL). Raises VatIdProblem.

    Form and check digits are looked at where python-stdnum knows the country; elsewhere letters and digits will do.
    """
    compact = re.sub(r"[\s./-]", "", text).upper()
    try:
        if country in EU:
            prefix = "EL" if country == "GR" else country
            return str(eu_vat.validate(compact if compact.startswith(prefix) else prefix + compact))
        module = get_cc_module(country.lower(), "vat") if country else None
        if module is not None:
            return _with_prefix(country, str(module.validate(compact)))
    except ValidationError:
        raise VatIdProblem(f"{text[:20]!r} is not a VAT id of {country}.") from None
    if not ANY.fullmatch(compact):
        raise VatIdProblem(f"{text[:20]!r} is not a VAT id: it has letters and digits, at most 20.")
    return compact


def _with_prefix(country: str, ident: str) -> str:
    """Britain's and Switzerland's are written with their country, others as they are."""
    return ident if country not in ("GB", "CH") or ident.startswith(country) else country + ident


def is_due(*, tenant: Tenant, now: datetime) -> bool:
    """Whether VIES should be asked about a tenant's id: it is of the EU, and has no answer of the last 30 days."""
    if not settings.VIES or tenant.country not in EU or not tenant.vat_id:
        return False
    answers = VatCheck.objects.filter(tenant_id=tenant.id, vat_id=checked(tenant.country, tenant.vat_id))
    recent = answers.filter(checked_at__gt=now - FRESH).exclude(outcome=VatCheck.Outcome.UNKNOWN)
    return not recent.exists()


def ask_vies(*, tenant: Tenant, now: datetime) -> VatCheck:
    """Ask VIES about a tenant's VAT id, and store what it says; no answer is stored as such.

    It goes out over the network: call it outside a transaction.
    """
    ident = checked(tenant.country, tenant.vat_id)
    outcome, said = _answer(ident)
    return VatCheck.objects.create(tenant_id=tenant.id, vat_id=ident, outcome=outcome, said=said[:200], checked_at=now)


def _answer(ident: str) -> tuple[str, str]:
    url = f"{settings.VIES_URL}/ms/{ident[:2]}/vat/{ident[2:]}"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=False)
        answer.raise_for_status()
        found: Any = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return VatCheck.Outcome.UNKNOWN, f"{type(error).__name__}: no answer"
    if not isinstance(found, dict) or found.get("userError", "VALID") not in ("VALID", "INVALID"):
        return VatCheck.Outcome.UNKNOWN, str(found.get("userError", "")) if isinstance(found, dict) else ""
    if found.get("isValid") is True:
        return VatCheck.Outcome.VALID, str(found.get("name", ""))
    return VatCheck.Outcome.INVALID, ""
