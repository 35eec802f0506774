"""Messages to tenants' own systems: where they go, what is said, who is still to be told, and each try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now


class MessageKind(models.TextChoices):
    """What a tenant can be told of."""

    BUDGET_THRESHOLD = "budget.threshold_reached", "Budget threshold reached"
    WALLET_LOW = "wallet.balance_low", "Balance low"
    TOP_UP_STOPPED = "wallet.top_up_stopped", "Automatic top-up stopped"
    INVOICE_FINALISED = "invoice.finalised", "Invoice finalised"
    INVOICE_PAID = "invoice.paid", "Invoice paid"
    INVOICE_OVERDUE = "invoice.overdue", "Invoice overdue"
    KEY_EXPIRING = "key.expiring", "API key expiring"
    KEY_EXPIRED = "key.expired", "API key expired"
    TEST = "test", "Test"


class WebhookEndpoint(models.Model):
    """A URL of a tenant that messages are sent to, with its sealed signing secret and the one before it.

    A removed one is kept without its secrets, for the log, until its last message is forgotten. ``is_slow`` tells
    that its last try failed or took long. Written by billing/webhooks/endpoints.py, what delivery sees of it by
    billing/webhooks/queue.py.
    """

    id = models.CharField(max_length=40, primary_key=True)
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    url = models.CharField(max_length=500)
    name = models.CharField(max_length=100, blank=True)
    kinds = ArrayField(models.CharField(max_length=32, choices=MessageKind.choices))
    sealed_secret = models.BinaryField()
    sealed_previous = models.BinaryField(null=True, blank=True)
    previous_until_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    failing_since_at = models.DateTimeField(null=True, blank=True)
    is_slow = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(removed_at=None) | Q(is_active=False), name="endpoint_removed_is_off"),
            models.CheckConstraint(
                condition=Q(sealed_previous=None, previous_until_at=None)
                | Q(sealed_previous__isnull=False, previous_until_at__isnull=False),
                name="endpoint_previous_secret_ends",
            ),
        )
        indexes = (models.Index("tenant", condition=Q(is_active=True), name="endpoint_active_by_tenant"),)

    if TYPE_CHECKING:
        tenant_id: int

    def __str__(self) -> str:
        return self.name or self.url


class OutboxMessage(models.Model):
    """What happened, once, as the very text that is signed. Its id is that of every try to tell it. Never changed.

    Kept for 30 days, and at least until ``keep_until_at``: while it is kept, its ``once_key`` is not told again.
    Written by billing/outbox.py.
    """

    id = models.CharField(max_length=40, primary_key=True)
    # No index of its own: each look-up is to go by outbox_message_once or outbox_message_latest.
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=32, choices=MessageKind.choices)
    subject = models.CharField(max_length=120)
    once_key = models.CharField(max_length=120, null=True, blank=True)
    body = models.TextField()
    created_at = models.DateTimeField(default=now)
    keep_until_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "kind", "subject", "once_key", name="outbox_message_once"),)
        indexes = (
            models.Index("tenant", F("created_at").desc(), F("id").desc(), name="outbox_message_latest"),
            models.Index("created_at", name="outbox_message_age"),
        )

    if TYPE_CHECKING:
        tenant_id: int

    def __str__(self) -> str:
        return self.id


class WebhookDelivery(models.Model):
    """One message to one endpoint: waiting until it is due, leased by whoever sends it, or over.

    A lease that ran out was its sender's end: the message goes again. ``tries`` counts all tries ever, ``step`` those
    of the present round, which sending it again by hand begins anew. Written by billing/outbox.py (made) and
    billing/webhooks/queue.py.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    message = models.ForeignKey(OutboxMessage, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.WAITING)
    due_at = models.DateTimeField()
    step = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveIntegerField(default=0)
    lease = models.UUIDField(null=True, blank=True)
    leased_until_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint("message", "endpoint", name="webhook_delivery_once"),
            models.CheckConstraint(
                condition=Q(lease=None, leased_until_at=None)
                | Q(lease__isnull=False, leased_until_at__isnull=False, status="waiting"),
                name="webhook_delivery_lease",
            ),
            models.CheckConstraint(
                condition=Q(status="waiting", finished_at=None) | (~Q(status="waiting") & Q(finished_at__isnull=False)),
                name="webhook_delivery_finished",
            ),
        )
        indexes = (
            models.Index("endpoint", "due_at", condition=Q(status="waiting"), name="webhook_delivery_due"),
            models.Index("endpoint", "finished_at", condition=Q(status="failed"), name="webhook_delivery_failed"),
            models.Index("endpoint", condition=Q(lease__isnull=False), name="webhook_delivery_leased"),
        )

    if TYPE_CHECKING:
        id: int
        tenant_id: int
        message_id: str
        endpoint_id: str

    def __str__(self) -> str:
        return f"{self.message_id} to {self.endpoint_id}"


class WebhookAttempt(models.Model):
    """One try and what came of it; never changed. ``response`` is the beginning of what the endpoint answered.

    Written by billing/webhooks/queue.py.
    """

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    error = models.CharField(max_length=300, blank=True)
    response = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint("delivery", "number", name="webhook_attempt_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="webhook_attempt_number"),
        )

    if TYPE_CHECKING:
        id: int
        tenant_id: int
        delivery_id: int

    def __str__(self) -> str:
        return f"try {self.number} of {self.delivery_id}"
