"""The wallet: what is left, its credit and movements, vouchers, automatic top-ups and alerts."""

from __future__ import annotations

from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import wallets
from billing.balance_alerts import MOST, AlertProblem
from billing.top_ups import MOST_PER_MONTH, Rule, TopUpProblem
from billing.vouchers import TooManyGuesses, VoucherProblem
from portal import wallet as verbs
from portal.access import Permission
from portal.api.fields import UsdField
from portal.api.strict import StrictSerializer, read_body, read_query
from portal.api.tenant_view import TenantView


class CreditShown(serializers.Serializer[Any]):
    """A credit; amounts in USD. Smaller priorities are used first, then what expires sooner."""

    id = serializers.IntegerField(source="pk")
    kind = serializers.CharField()
    amount = UsdField()
    unused = UsdField()
    priority = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    memo = serializers.CharField()


class TopUpRuleShown(serializers.Serializer[Any]):
    """An automatic top-up. A ``stopped`` one has a reason, and goes on when it is set again."""

    threshold = UsdField()
    amount = UsdField()
    most_per_month = serializers.IntegerField()
    state = serializers.CharField()
    reason = serializers.CharField()


class WalletShown(serializers.Serializer[Any]):
    """A wallet in USD: ``left`` after settled calls, ``held`` of it by running ones, ``free`` for the next.

    ``days_left`` is whole days at the average of the last seven, or null when nothing was used.
    """

    prepaid = serializers.BooleanField()
    credit_line = UsdField()
    left = UsdField()
    held = UsdField()
    free = UsdField()
    uncovered = UsdField()
    days_left = serializers.IntegerField(allow_null=True)
    credit = CreditShown(many=True, source="grants")
    coming_credit = CreditShown(many=True, source="coming")
    top_up_rule = TopUpRuleShown(allow_null=True, source="rule")
    alert_thresholds = serializers.ListField(child=UsdField(), source="thresholds")


class MovementShown(serializers.Serializer[Any]):
    """What a movement adds to the wallet or, negative, takes from it, in USD."""

    id = serializers.IntegerField()
    kind = serializers.CharField()
    at = serializers.DateTimeField()
    amount = UsdField()
    memo = serializers.CharField()


class MovementPage(serializers.Serializer[Any]):
    """``next`` is the ``before`` of the next page, or null."""

    results = MovementShown(many=True)
    next = serializers.IntegerField(allow_null=True)


class MovementQuery(StrictSerializer):
    """A page of movements, with or without what calls cost."""

    before = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)
    usage = serializers.BooleanField(required=False, default=True)


class Redemption(StrictSerializer):
    """A voucher's code."""

    code = serializers.CharField(max_length=100)


class NewRule(StrictSerializer):
    """Top up by ``amount`` when less than ``threshold`` is left."""

    threshold = UsdField()
    amount = UsdField()
    most_per_month = serializers.IntegerField(min_value=1, max_value=MOST_PER_MONTH)


class NewAlerts(StrictSerializer):
    """All thresholds; the ones that are not named are forgotten."""

    thresholds = serializers.ListField(child=UsdField(), max_length=MOST)


class Refused(serializers.Serializer[Any]):
    """Why not."""

    detail = serializers.CharField()


class Wallet(TenantView):
    """The wallet."""

    permissions = {"GET": Permission.SEE_WALLET}

    @extend_schema(operation_id="get_wallet", responses=WalletShown)
    def get(self, request: Request) -> Response:
        """What is left and held, by credit, and how long it lasts."""
        return _wallet(self)


class WalletMovements(TenantView):
    """What came into the wallet and went out."""

    permissions = {"GET": Permission.SEE_WALLET}

    @extend_schema(operation_id="list_wallet_movements", parameters=[MovementQuery], responses=MovementPage)
    def get(self, request: Request) -> Response:
        """Movements, the latest posted first; a call is part of the movement of its quarter of an hour."""
        query = read_query(MovementQuery, request)
        rows, following = wallets.movements(
            tenant_id=self.tenant.pk, before=query.get("before"), limit=query["limit"], usage=query["usage"]
        )
        return Response({"results": MovementShown(rows, many=True).data, "next": following})


class VoucherRedemption(TenantView):
    """Vouchers."""

    permissions = {"POST": Permission.MANAGE_WALLET}

    @extend_schema(
        operation_id="redeem_voucher", request=Redemption, responses={201: CreditShown, 400: Refused, 429: Refused}
    )
    def post(self, request: Request) -> Response:
        """Put a voucher's credit into the wallet. A wrong code is told nothing about."""
        values = read_body(Redemption, request)
        try:
            grant = verbs.redeem(tenant=self.tenant, code=values["code"], actor=self.actor, now=now())
        except VoucherProblem as problem:  # answered, not raised: the wrong code must stay counted
            return Response({"detail": str(problem)}, status=429 if isinstance(problem, TooManyGuesses) else 400)
        return Response(CreditShown(grant).data, status=201)


class WalletRule(TenantView):
    """The automatic top-up."""

    permissions = {"PUT": Permission.MANAGE_WALLET, "DELETE": Permission.MANAGE_WALLET}

    @extend_schema(operation_id="set_top_up_rule", request=NewRule, responses=WalletShown)
    def put(self, request: Request) -> Response:
        """Set the rule and arm it."""
        values = read_body(NewRule, request)
        try:
            verbs.set_rule(tenant=self.tenant, rule=Rule(**values), actor=self.actor, now=now())
        except TopUpProblem as problem:
            raise serializers.ValidationError({"detail": [str(problem)]}) from None
        return _wallet(self)

    @extend_schema(operation_id="drop_top_up_rule", responses={204: None})
    def delete(self, request: Request) -> Response:
        """Top up by hand from now on. Without a rule it is no error."""
        verbs.drop_rule(tenant=self.tenant, actor=self.actor, now=now())
        return Response(status=204)


class WalletAlerts(TenantView):
    """Alerts of a low balance."""

    permissions = {"PUT": Permission.MANAGE_WALLET}

    @extend_schema(operation_id="set_balance_alerts", request=NewAlerts, responses=WalletShown)
    def put(self, request: Request) -> Response:
        """Say at which amounts left to be told."""
        values = read_body(NewAlerts, request)
        try:
            verbs.set_thresholds(tenant=self.tenant, thresholds=values["thresholds"], actor=self.actor, now=now())
        except AlertProblem as problem:
            raise serializers.ValidationError({"thresholds": [str(problem)]}) from None
        return _wallet(self)


def _wallet(view: TenantView) -> Response:
    return Response(WalletShown(wallets.state(tenant_id=view.tenant.pk, now=now())).data)
