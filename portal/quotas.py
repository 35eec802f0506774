"""Quotas: how fast a tenant, a project or a key may call."""

from __future__ import annotations

from django.db import transaction

from portal.models import ApiKey, Project, Quota, Tenant

MOST = 2**31 - 1


class QuotaProblem(Exception):
    """A rate that is no whole number from 1 to 2³¹−1."""


def set_quota(
    *,
    tenant: Tenant,
    project: Project | None = None,
    api_key: ApiKey | None = None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrency: int | None,
) -> Quota | None:
    """Set all three rates of one scope; None is no limit, and three Nones leave no quota at all.

    The scope is the key or the project if given, else the tenant. A rotated key shares the quota of the key it
    replaces (see portal/api_keys.py).
    """
    rates = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrency": concurrency,
    }
    for name, rate in rates.items():
        if rate is not None and not 1 <= rate <= MOST:
            raise QuotaProblem(f"{name} must be a whole number from 1 to {MOST}, or empty for no limit.")
    with transaction.atomic():
        scope = Quota.objects.filter(tenant=tenant, project=project, api_key=api_key)
        if all(rate is None for rate in rates.values()):
            scope.delete()
            return None
        quota, made = Quota.objects.get_or_create(tenant=tenant, project=project, api_key=api_key, defaults=rates)
        if not made and any(getattr(quota, name) != rate for name, rate in rates.items()):
            scope.update(**rates)
            quota.refresh_from_db()
    return quota
