"""What the jobs do with credit, for every tenant there is something to do for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from django.db.models import F

from billing import credit_ends, credits, parties, posting
from billing.models import CreditGrant
from billing.parties import Tenant

logger = logging.getLogger(__name__)


def use_all(*, now: datetime) -> None:
    """Start the grants whose time has come, and slice what is due."""
    _each(credits.waiting_tenants(now), lambda tenant: use(tenant=tenant, now=now))


def use(*, tenant: Tenant, now: datetime) -> None:
    """Start a tenant's grants whose time has come, and slice what is due of it."""
    credits.start_due(tenant=tenant, now=now)
    credits.consume(tenant.id, now)


def expire_all(*, now: datetime) -> None:
    """Expire the unused credit whose time is over, after posting and using it once more."""
    over = CreditGrant.objects.filter(unused__gt=0, expires_at__lte=now, transfer__isnull=False)
    tenants = over.order_by("tenant_id").values_list(F("tenant_id"), flat=True).distinct()
    _each(list(tenants), lambda tenant: expire(tenant=tenant, now=now))


def expire(*, tenant: Tenant, now: datetime) -> int:
    """Expire one tenant's, into breakage; returns picodollars."""
    posting.post_everything(now=now, tenant_id=tenant.id)
    use(tenant=tenant, now=now)
    return credit_ends.expire(tenant=tenant, now=now)


def _each(tenant_ids: Iterable[int], act: Callable[[Tenant], object]) -> None:
    for tenant in parties.tenants_by_id(tenant_ids):
        try:
            act(tenant)
        except Exception:  # one tenant's trouble is logged and keeps nobody else's credit
            logger.exception("the credit of tenant %s waits", tenant.id)
