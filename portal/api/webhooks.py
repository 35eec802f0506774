"""Webhooks: endpoints with their secrets, the log of messages, and sending them again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import WebhookDelivery
from billing.webhooks import addresses, endpoints, log
from billing.webhooks.endpoints import EndpointProblem, Made, Wish
from billing.webhooks.log import Filter
from portal import webhooks as verbs
from portal.access import Permission, delivery_for, webhook_for
from portal.api.strict import StrictSerializer, read_body, read_query
from portal.api.tenant_view import TenantView

MANAGE = Permission.MANAGE_WEBHOOKS


class WebhookShown(serializers.Serializer[Any]):
    """An endpoint. A disabled one has a reason; ``failing_since_at`` is when it last began to take nothing."""

    id = serializers.CharField(source="pk")
    url = serializers.CharField()
    name = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    is_active = serializers.BooleanField()
    disabled_reason = serializers.CharField()
    failing_since_at = serializers.DateTimeField(allow_null=True)
    old_secret_until_at = serializers.DateTimeField(
        source="previous_until_at", allow_null=True, help_text="Until then messages are signed with both secrets"
    )
    created_at = serializers.DateTimeField()


class WebhookMade(WebhookShown):
    """An endpoint with its new signing secret, shown this once."""

    secret = serializers.CharField()


class WebhookList(serializers.Serializer[Any]):
    """All endpoints."""

    results = WebhookShown(many=True)


class NewWebhook(StrictSerializer):
    """Where to send which kinds of messages."""

    url = serializers.CharField(max_length=addresses.LONGEST)
    kinds = serializers.MultipleChoiceField(choices=endpoints.CHOICES, allow_empty=False)
    name = serializers.CharField(max_length=endpoints.LONGEST_NAME, required=False, default="", allow_blank=True)

    def wish(self) -> Wish:
        """The validated values."""
        values = self.validated_data
        return Wish(values["url"], tuple(sorted(values["kinds"])), values["name"])


class WebhookSwitch(StrictSerializer):
    """``is_active`` false sends no more; what waits has failed."""

    is_active = serializers.BooleanField()


class SecretRotation(StrictSerializer):
    """For how long messages are signed with the old secret, too."""

    overlap_hours = serializers.IntegerField(min_value=0, max_value=7 * 24, required=False, default=24)


class MessageShown(serializers.Serializer[Any]):
    """One message to one endpoint. ``message_id`` is the ``webhook-id`` of each try."""

    id = serializers.IntegerField(source="pk")
    message_id = serializers.CharField()
    kind = serializers.CharField(source="message.kind")
    subject = serializers.CharField(source="message.subject")
    endpoint = serializers.CharField(source="endpoint_id")
    status = serializers.CharField(help_text="waiting, delivered or failed")
    tries = serializers.IntegerField()
    due_at = serializers.DateTimeField(help_text="Of a waiting one: the next try")
    finished_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(help_text="Why it was given up; else empty")
    created_at = serializers.DateTimeField(source="message.created_at")


class TryShown(serializers.Serializer[Any]):
    """One try. Without ``status_code`` there was no answer, and ``error`` says why."""

    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    status_code = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField()
    error = serializers.CharField()
    response = serializers.CharField(help_text="The beginning of what the endpoint answered")


class MessageDetail(MessageShown):
    """A message with its body, as it is sent and signed, and each try."""

    body = serializers.CharField(source="message.body")
    attempts = serializers.SerializerMethodField()

    def get_attempts(self, row: WebhookDelivery) -> list[dict[str, Any]]:
        """The tries, the last first."""
        return list(TryShown(log.attempts(row), many=True).data)


class MessagePage(serializers.Serializer[Any]):
    """``next`` is the ``before`` of the next page, or null."""

    results = MessageShown(many=True)
    next = serializers.IntegerField(allow_null=True)


class MessageQuery(StrictSerializer):
    """Which messages to list."""

    status = serializers.ChoiceField(choices=WebhookDelivery.Status.values, required=False, default="")
    endpoint = serializers.CharField(required=False, max_length=40, default="")
    before = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)


class ResendWish(StrictSerializer):
    """How far back."""

    hours = serializers.IntegerField(min_value=1, max_value=30 * 24, required=False, default=7 * 24)


class Resent(serializers.Serializer[Any]):
    """How many messages go again."""

    messages = serializers.IntegerField()


class Webhooks(TenantView):
    """All endpoints."""

    permissions = {"GET": MANAGE, "POST": MANAGE}

    @extend_schema(operation_id="list_webhooks", responses=WebhookList)
    def get(self, request: Request) -> Response:
        """Endpoints, oldest first; at most 20."""
        return Response({"results": WebhookShown(log.endpoints(self.tenant.pk), many=True).data})

    @extend_schema(operation_id="add_webhook", request=NewWebhook, responses={201: WebhookMade})
    def post(self, request: Request) -> Response:
        """Add an endpoint. Its signing secret is in this answer and nowhere else."""
        wish = _wish(request)
        try:
            return _made(verbs.add(tenant=self.tenant, wish=wish, actor=self.actor, now=now()), 201)
        except EndpointProblem as problem:
            raise _refused(problem) from None


class Webhook(TenantView):
    """One endpoint."""

    permissions = {"GET": MANAGE, "PUT": MANAGE, "PATCH": MANAGE, "DELETE": MANAGE}

    @extend_schema(operation_id="get_webhook", responses=WebhookShown)
    def get(self, request: Request, endpoint_id: str) -> Response:
        """The endpoint."""
        return Response(WebhookShown(webhook_for(self.tenant, endpoint_id)).data)

    @extend_schema(operation_id="change_webhook", request=NewWebhook, responses=WebhookShown)
    def put(self, request: Request, endpoint_id: str) -> Response:
        """Another URL, name or other kinds. What waits goes to the new URL."""
        endpoint = webhook_for(self.tenant, endpoint_id)
        wish = _wish(request)
        try:
            changed = verbs.change(tenant=self.tenant, endpoint=endpoint, wish=wish, actor=self.actor, now=now())
        except EndpointProblem as problem:
            raise _refused(problem) from None
        return Response(WebhookShown(changed).data)

    @extend_schema(operation_id="switch_webhook", request=WebhookSwitch, responses=WebhookShown)
    def patch(self, request: Request, endpoint_id: str) -> Response:
        """Disable or enable it."""
        endpoint = webhook_for(self.tenant, endpoint_id)
        on = read_body(WebhookSwitch, request)["is_active"]
        verbs.switch(tenant=self.tenant, endpoint=endpoint, on=on, actor=self.actor, now=now())
        return Response(WebhookShown(webhook_for(self.tenant, endpoint_id)).data)

    @extend_schema(operation_id="remove_webhook", responses={204: None})
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Take it away; the log of its messages stays for 30 days."""
        endpoint = webhook_for(self.tenant, endpoint_id)
        verbs.remove(tenant=self.tenant, endpoint=endpoint, actor=self.actor, now=now())
        return Response(status=204)


class WebhookSecret(TenantView):
    """The signing secret."""

    permissions = {"POST": MANAGE}

    @extend_schema(operation_id="rotate_webhook_secret", request=SecretRotation, responses=WebhookMade)
    def post(self, request: Request, endpoint_id: str) -> Response:
        """A new secret, in this answer and nowhere else; the old one signs along for a time."""
        endpoint = webhook_for(self.tenant, endpoint_id)
        overlap = timedelta(hours=read_body(SecretRotation, request)["overlap_hours"])
        made = verbs.rotate(tenant=self.tenant, endpoint=endpoint, overlap=overlap, actor=self.actor, now=now())
        return _made(made, 200)


class WebhookTest(TenantView):
    """Tests."""

    permissions = {"POST": MANAGE}

    @extend_schema(operation_id="test_webhook", request=None, responses={201: MessageShown})
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send a test message to this endpoint alone."""
        endpoint = webhook_for(self.tenant, endpoint_id)
        try:
            message = verbs.send_test(tenant=self.tenant, endpoint=endpoint, actor=self.actor, now=now())
        except EndpointProblem as problem:
            raise _refused(problem) from None
        row = log.deliveries(self.tenant.pk).get(message_id=message.pk)
        return Response(MessageShown(row).data, status=201)


class WebhookResend(TenantView):
    """What failed at an endpoint."""

    permissions = {"POST": MANAGE}

    @extend_schema(operation_id="resend_failed_messages", request=ResendWish, responses=Resent)
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send again everything that failed here within some hours, under the same ids."""
        endpoint = webhook_for(self.tenant, endpoint_id)
        moment = now()
        since = moment - timedelta(hours=read_body(ResendWish, request)["hours"])
        try:
            count = verbs.resend_failed(
                tenant=self.tenant, endpoint=endpoint, since=since, actor=self.actor, now=moment
            )
        except EndpointProblem as problem:
            raise _refused(problem) from None
        return Response({"messages": count})


class Messages(TenantView):
    """The log."""

    permissions = {"GET": MANAGE}

    @extend_schema(operation_id="list_webhook_messages", parameters=[MessageQuery], responses=MessagePage)
    def get(self, request: Request) -> Response:
        """Messages of the last 30 days to each endpoint, newest first."""
        query = read_query(MessageQuery, request)
        chosen = Filter(endpoint=query["endpoint"], status=query["status"])
        rows, following = log.page(self.tenant.pk, chosen, before=query.get("before"), limit=query["limit"])
        return Response({"results": MessageShown(rows, many=True).data, "next": following})


class Message(TenantView):
    """One message to one endpoint."""

    permissions = {"GET": MANAGE}

    @extend_schema(operation_id="get_webhook_message", responses=MessageDetail)
    def get(self, request: Request, delivery_id: int) -> Response:
        """The message with its body and each try."""
        return Response(MessageDetail(delivery_for(self.tenant, delivery_id)).data)


class MessageResend(TenantView):
    """Sending again."""

    permissions = {"POST": MANAGE}

    @extend_schema(operation_id="resend_webhook_message", request=None, responses={201: MessageShown})
    def post(self, request: Request, delivery_id: int) -> Response:
        """Send it again at once, under its id."""
        delivery = delivery_for(self.tenant, delivery_id)
        try:
            verbs.resend(tenant=self.tenant, delivery=delivery, actor=self.actor, now=now())
        except EndpointProblem as problem:
            raise _refused(problem) from None
        return Response(MessageShown(delivery_for(self.tenant, delivery_id)).data, status=201)


def _wish(request: Request) -> Wish:
    serializer = NewWebhook(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.wish()


def _made(made: Made, status: int) -> Response:
    return Response({**WebhookShown(made.endpoint).data, "secret": made.secret}, status=status)


def _refused(problem: EndpointProblem) -> ValidationError:
    return ValidationError({"detail": [str(problem)]})
