"""The journal of requests, corrections of its estimates, and its roll-ups."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now

from billing.models.amounts import picodollars


class JournalOwner(models.Model):
    """A gateway process that opens usage events, and when it was last heard of."""

    id = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField(default=now)
    beat_at = models.DateTimeField(default=now)
    host = models.CharField(max_length=200, blank=True)
    pid = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class UsageEvent(models.Model):
    """One admitted request: ``open`` with a hold, then ``settled`` at its cost or ``voided`` at zero, once.

    The table is partitioned by month over ``id``, a UUIDv7 whose time is the admission's. Written by the functions
    open_usage, reassign_usage, settle_usage and checkpoint_usage, and by the posting of ``transfer_id``; by nothing
    else. ``price_id`` is the price at admission until the event is settled, then the one that rated it.
    """

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        VOIDED = "voided"

    class Basis(models.TextChoices):
        EXACT = "exact"
        ESTIMATED = "estimated"

    class Operation(models.TextChoices):
        CHAT = "chat"
        MESSAGES = "messages"
        RESPONSES = "responses"
        EMBEDDINGS = "embeddings"
        IMAGES = "images"

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    id = models.UUIDField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    model = models.TextField()
    requested_model = models.TextField()
    price_id = models.BigIntegerField()
    stream = models.BooleanField()
    state = models.TextField(choices=State)
    basis = models.TextField(choices=Basis, null=True)
    opened_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    owner = models.UUIDField()
    hold = models.BigIntegerField()
    allowances = ArrayField(models.BigIntegerField())
    input_estimate = models.IntegerField()
    delivered = models.IntegerField(default=0)
    settled_at = models.DateTimeField(null=True)
    cost = models.BigIntegerField(default=0)
    input = models.IntegerField(default=0)
    cache_read = models.IntegerField(default=0)
    cache_write_5m = models.IntegerField(default=0)
    cache_write_1h = models.IntegerField(default=0)
    input_audio = models.IntegerField(default=0)
    input_image = models.IntegerField(default=0)
    output = models.IntegerField(default=0)
    reasoning = models.IntegerField(default=0)
    output_audio = models.IntegerField(default=0)
    output_image = models.IntegerField(default=0)
    web_searches = models.IntegerField(default=0)
    images = models.IntegerField(default=0)
    prompt_tokens = models.IntegerField(default=0)
    completion_tokens = models.IntegerField(default=0)
    upstream = models.TextField(default="")
    upstream_model = models.TextField(default="")
    attempts = models.IntegerField(default=0)
    status = models.IntegerField(default=0)
    error_code = models.TextField(default="")
    finish_reason = models.TextField(default="")
    first_byte_ms = models.IntegerField(default=0)
    duration_ms = models.IntegerField(default=0)
    client_gone = models.BooleanField(default=False)
    swept = models.BooleanField(default=False)
    usage_ignored = models.BooleanField(default=False)
    transfer_id = models.BigIntegerField(null=True)
    operation = models.TextField(choices=Operation, default=Operation.CHAT)
    run_id = models.TextField(default="")
    input_bytes = models.IntegerField(default=0)
    output_bytes = models.IntegerField(default=0)
    reported_model = models.TextField(default="")  # what the upstream itself said it is
    overhead_ms = models.IntegerField(default=0)  # our own share of duration_ms
    route_id = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "billing_usageevent"

    def __str__(self) -> str:
        return f"req_{self.id.hex[:24]}"

    @property
    def over_hold(self) -> bool:
        """Whether it cost more than was held: its upstream did not keep to the limit that it was given."""
        return self.state == self.State.SETTLED and self.cost > self.hold


class UsageAdjustment(models.Model):
    """The difference between a swept event's estimate and its true usage that came late; signed, once per event.

    Where another price rated the true usage than the estimate, there are two rows: the estimate taken back under its
    price, and the true usage under the other, so that counts times price is the cost in each.
    """

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    event_id = models.UUIDField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    model = models.TextField()
    price_id = models.BigIntegerField()
    opened_at = models.DateTimeField()
    made_at = models.DateTimeField()
    cost = models.BigIntegerField()
    counts = ArrayField(models.IntegerField())  # the twelve counters in the order of meters.COUNTERS
    transfer_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "event_id", "price_id", name="adjustment_once"),)
        indexes = (
            models.Index("tenant", "id", condition=models.Q(transfer_id__isnull=True), name="adjustments_unposted"),
        )

    def __str__(self) -> str:
        return f"adjustment of req_{self.event_id.hex[:24]}"


class UsageRollup(models.Model):
    """Settled usage by 15-minute bucket of admission. Rebuilt from events at will; written by billing/posting.py."""

    tenant = models.ForeignKey(
        "portal.Tenant", on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    bucket_at = models.DateTimeField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    model = models.TextField()
    price_id = models.BigIntegerField()
    requests = models.BigIntegerField(default=0)
    estimated = models.BigIntegerField(default=0)
    input = models.BigIntegerField(default=0)
    cache_read = models.BigIntegerField(default=0)
    cache_write_5m = models.BigIntegerField(default=0)
    cache_write_1h = models.BigIntegerField(default=0)
    input_audio = models.BigIntegerField(default=0)
    input_image = models.BigIntegerField(default=0)
    output = models.BigIntegerField(default=0)
    reasoning = models.BigIntegerField(default=0)
    output_audio = models.BigIntegerField(default=0)
    output_image = models.BigIntegerField(default=0)
    web_searches = models.BigIntegerField(default=0)
    images = models.BigIntegerField(default=0)
    cost = picodollars(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                "tenant", "bucket_at", "project_id", "api_key_id", "model", "price_id", name="rollup_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model} at {self.bucket_at:%Y-%m-%d %H:%M}"
