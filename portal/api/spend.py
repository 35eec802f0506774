"""Spend by month: used, invoiced and open, exact; and what the invoices of each month say."""

from __future__ import annotations

from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import spend
from billing.money import format_minor
from portal.access import Permission
from portal.api.fields import UsdField
from portal.api.tenant_view import TenantView


class AmountsField(serializers.DictField):
    """Amounts by currency, as decimal texts of its minor unit."""

    def to_representation(self, value: dict[str, int]) -> dict[str, str]:
        """Minor units as texts."""
        return {currency: format_minor(amount, currency) for currency, amount in sorted(value.items())}


class SpendShown(serializers.Serializer[Any]):
    """One calendar month of the organisation's time zone; ``used`` is ``invoiced`` and ``open`` together, net."""

    month = serializers.CharField(source="label")
    used = UsdField()
    invoiced = UsdField()
    open = UsdField()
    billed = AmountsField(help_text="Invoices less credit notes, with tax, by currency")
    owed = AmountsField(help_text="What of it is on invoices not paid in full, by currency")


class SpendByMonth(TenantView):
    """The last twelve months."""

    permissions = {"GET": Permission.SEE_INVOICES}

    @extend_schema(responses=SpendShown(many=True))
    def get(self, request: Request) -> Response:
        """The earliest month first; the last one is running."""
        rows = spend.by_month(tenant_id=self.tenant.pk, zone=self.tenant.timezone, now=now())
        return Response(SpendShown(rows, many=True).data)
