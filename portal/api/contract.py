"""The contract: what the running month, or another one, comes to under it."""

from __future__ import annotations

from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import periods
from billing.periods import PeriodProblem
from portal import contract_facts
from portal.access import Permission
from portal.api.strict import StrictSerializer, read_query
from portal.api.tenant_view import TenantView


class TierShown(serializers.Serializer[Any]):
    """A tier: where it begins, its price or its discount, and how much of the month is in it."""

    above = serializers.CharField(help_text="Tokens, or USD at list price")
    price_per_million = serializers.CharField(required=False, help_text="USD per 1M tokens, where tiers are by tokens")
    discount_percent = serializers.CharField(required=False, help_text="Off the list price, where tiers are by USD")
    quantity = serializers.CharField(help_text="Tokens, or USD at list price")


class TierRuleShown(serializers.Serializer[Any]):
    """Tiers of some usage; ``reached`` is the tier the month is in, from 1, ``to_next`` what ends it."""

    models = serializers.CharField(help_text="A pattern such as gpt-4o*")
    token_class = serializers.CharField(help_text="Empty: all")
    mode = serializers.CharField(help_text="graduated, or volume: everything at the price of the tier that is reached")
    unit = serializers.CharField(help_text="tokens or usd")
    quantity = serializers.CharField()
    reached = serializers.IntegerField()
    to_next = serializers.CharField(allow_null=True)
    list_price = serializers.CharField(help_text="USD")
    price = serializers.CharField(help_text="USD")
    tiers = TierShown(many=True)


class FreeTokensShown(serializers.Serializer[Any]):
    """Free tokens of the month."""

    models = serializers.CharField()
    token_class = serializers.CharField(help_text="Empty: all")
    granted = serializers.CharField()
    used = serializers.CharField()
    left = serializers.CharField()
    worth = serializers.CharField(help_text="USD that what was used would have cost")


class FreeAmountShown(serializers.Serializer[Any]):
    """The free amount of the month, in USD."""

    granted = serializers.CharField()
    used = serializers.CharField()
    left = serializers.CharField()


class MinimumShown(serializers.Serializer[Any]):
    """The minimum of the month, in USD; what is missing is charged once the month is over."""

    agreed = serializers.CharField()
    spent = serializers.CharField()
    missing = serializers.CharField()


class ContractShown(serializers.Serializer[Any]):
    """A contract, or the part of one that is in force in the month, and what it makes of it."""

    effective_from = serializers.DateTimeField()
    effective_to = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField()
    list_price = serializers.CharField(help_text="USD of the month's usage at list price")
    price = serializers.CharField(help_text="USD of it under the contract")
    tiers = TierRuleShown(many=True)
    free_tokens = FreeTokensShown(many=True)
    free_amount = FreeAmountShown(allow_null=True)
    minimum = MinimumShown(allow_null=True)


class ContractMonth(serializers.Serializer[Any]):
    """A month and the contracts in force in it: none, one or, where they change while it runs, several."""

    period = serializers.CharField()
    contracts = ContractShown(many=True)


class ContractQuery(StrictSerializer):
    """Which month."""

    month = serializers.CharField(required=False, max_length=20, help_text="Such as 2026-11; the running one if empty")


class Contract(TenantView):
    """The contract."""

    permissions = {"GET": Permission.SEE_INVOICES}

    @extend_schema(operation_id="get_contract", parameters=[ContractQuery], responses=ContractMonth)
    def get(self, request: Request) -> Response:
        """Tiers reached, what is left of free allowances, and what is missing to the minimum."""
        query, moment, tenant = read_query(ContractQuery, request), now(), self.tenant
        running = periods.month_of(moment, tenant.timezone, tenant.billing_anchor_day)
        label = query.get("month") or running.label
        try:
            contracts = contract_facts.as_json(tenant=tenant, label=label, now=moment)
        except PeriodProblem as problem:
            raise serializers.ValidationError({"month": [f"{problem}."]}) from None
        return Response(ContractMonth({"period": label, "contracts": contracts}).data)
