"""What a tenant can call: the public names of models with a price in force."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from billing.models import Price

SANDBOX = "sandbox/"
SANDBOX_FIRST = "sandbox/echo"  # the others answer with errors, slowly, or oddly


def models_on_sale(tenant_id: int, *, now: datetime) -> list[str]:
    """Model names by alphabet, those for trying out last; from the tenant's own price book and the default one."""
    mine = Q(book__tenant_id=tenant_id) | Q(book__tenant=None)
    in_force = Q(effective_from__lte=now) & (Q(effective_to=None) | Q(effective_to__gt=now))
    names = set(Price.objects.filter(mine & in_force).values_list("model", flat=True))
    return sorted(names, key=lambda name: (name.startswith(SANDBOX), name != SANDBOX_FIRST, name))
