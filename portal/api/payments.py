"""Payments: the list, one of them, and starting one on a card page."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import payment_reports
from billing.models import Invoice, Payment
from billing.money import MoneyProblem, format_minor, parse_minor
from portal import paying
from portal.access import Permission, one
from portal.api.strict import StrictSerializer, read_body, read_query
from portal.api.tenant_view import TenantView
from portal.models import Tenant
from portal.paying import PaymentProblem, ProviderProblem


class RefundShown(serializers.Serializer[Any]):
    """What went back: a ``refund``, or a ``dispute`` with the payer's bank."""

    kind = serializers.CharField()
    status = serializers.CharField()
    amount = serializers.SerializerMethodField()
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_amount(self, row: Any) -> str:
        """In the payment's currency."""
        return format_minor(row.amount, row.payment.currency)


class PaymentShown(serializers.Serializer[Any]):
    """A payment; amounts are decimal texts in its currency. It has arrived when its status is ``succeeded``."""

    id = serializers.IntegerField(source="pk")
    reference = serializers.UUIDField()
    method = serializers.CharField(help_text="card, bank, or manual")
    status = serializers.CharField(help_text="requested, pending, succeeded, failed or cancelled")
    amount = serializers.SerializerMethodField()
    currency = serializers.CharField()
    invoice = serializers.IntegerField(
        source="invoice_id", allow_null=True, help_text="What it was asked for; null for a top-up"
    )
    is_automatic = serializers.BooleanField()
    memo = serializers.CharField()
    failure = serializers.CharField(help_text="Why it was not paid; else empty")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    refunds = RefundShown(many=True)

    def get_amount(self, row: Payment) -> str:
        """What was asked for, or arrived."""
        return format_minor(row.amount, row.currency)


class PaymentPage(serializers.Serializer[Any]):
    """``next`` is the ``before`` of the next page, or null."""

    results = PaymentShown(many=True)
    next = serializers.IntegerField(allow_null=True)


class PaymentQuery(StrictSerializer):
    """A page of payments."""

    before = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)


class NewCheckout(StrictSerializer):
    """An ``amount`` in the organisation's currency as a top-up, or the id of an ``invoice``: what is left of it."""

    amount = serializers.CharField(required=False, max_length=20)
    invoice = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    save_card = serializers.BooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the two."""
        if ("amount" in attrs) == ("invoice" in attrs):
            raise serializers.ValidationError("Name either an amount or an invoice.")
        return attrs


class Checkout(serializers.Serializer[Any]):
    """The payment, and the page of Stripe's on which a person pays it."""

    id = serializers.IntegerField()
    url = serializers.CharField()


class Payments(TenantView):
    """All payments."""

    permissions = {"GET": Permission.SEE_WALLET}

    @extend_schema(operation_id="list_payments", parameters=[PaymentQuery], responses=PaymentPage)
    def get(self, request: Request) -> Response:
        """Payments, the latest first."""
        query = read_query(PaymentQuery, request)
        rows = payment_reports.payments(tenant_id=self.tenant.pk)
        if "before" in query:
            rows = rows.filter(pk__lt=query["before"])
        found = list(rows[: query["limit"] + 1])
        page = found[: query["limit"]]
        following = page[-1].pk if len(found) > len(page) else None
        return Response({"results": PaymentShown(page, many=True).data, "next": following})


class OnePayment(TenantView):
    """One payment."""

    permissions = {"GET": Permission.SEE_WALLET}

    @extend_schema(operation_id="get_payment", responses=PaymentShown)
    def get(self, request: Request, payment_id: int) -> Response:
        """The payment with what went back of it."""
        rows = payment_reports.payments(tenant_id=self.tenant.pk)
        return Response(PaymentShown(one(rows.filter(pk=payment_id))).data)


class PaymentCheckout(TenantView):
    """Card pages."""

    permissions = {"POST": Permission.MANAGE_WALLET}

    @extend_schema(operation_id="start_checkout", request=NewCheckout, responses={201: Checkout})
    def post(self, request: Request) -> Response:
        """Ask for a payment by card; a person pays it at the ``url``, which is good for a day."""
        values = read_body(NewCheckout, request)
        try:
            payment = self._asked(values)
            path = reverse("payment", args=[self.tenant.slug, payment.pk])
            url = paying.open_page(payment=payment, address=request.build_absolute_uri(path), now=now())
        except (PaymentProblem, ProviderProblem) as problem:
            raise serializers.ValidationError({"detail": [str(problem)]}) from None
        return Response({"id": payment.pk, "url": url}, status=201)

    def _asked(self, values: dict[str, Any]) -> Payment:
        if "invoice" in values:
            rows = Invoice.objects.filter(tenant=self.tenant, pk=values["invoice"], kind=Invoice.Kind.INVOICE)
            return paying.ask_invoice(invoice=one(rows.select_related("tenant")), actor=self.actor, now=now())
        amount = _amount(values["amount"], self.tenant)
        return paying.ask_top_up(
            tenant=self.tenant, amount=amount, saves_card=values["save_card"], actor=self.actor, now=now()
        )


def _amount(text: str, tenant: Tenant) -> int:
    try:
        return parse_minor(text, tenant.currency)
    except MoneyProblem as problem:
        raise serializers.ValidationError({"amount": [f"{problem}."]}) from None
