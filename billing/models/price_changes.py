"""Price changes that wait for another operator, and past calls that are priced anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.amounts import picodollars
from billing.models.prices import PriceBook

FOUR_EYES = (
    ~Q(state__in=("approved", "running", "done"))
    | Q(decided_by__isnull=False, proposed_by__isnull=True)
    | (Q(decided_by__isnull=False, proposed_by__isnull=False) & ~Q(decided_by=F("proposed_by")))
)


class PriceProposal(models.Model):
    """New prices of one book that wait for another operator. Written by billing/proposals.py.

    ``rows`` are one object per model: ``model``, ``prices`` and ``variants`` as ``catalog.publish`` takes them,
    ``source``, and ``replaces``, the id of the last price there was when it was proposed. Without ``effective_from``
    they begin when they are approved. Only the decision is ever written to a row that is there, and once.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        APPROVED = "approved"
        REJECTED = "rejected"

    class Origin(models.TextChoices):
        SCREEN = "screen"
        IMPORT = "import"
        APPLY = "apply"

    book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="+")
    rows = models.JSONField()
    effective_from = models.DateTimeField(null=True, blank=True)
    origin = models.CharField(max_length=6, choices=Origin)
    note = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=FOUR_EYES, name="price_proposal_four_eyes"),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | (~Q(state="waiting") & Q(decided_at__isnull=False)),
                name="price_proposal_decided",
            ),
        )
        indexes = (models.Index("state", F("id").desc(), name="price_proposal_by_state"),)

    if TYPE_CHECKING:
        id: int
        book_id: int
        proposed_by_id: int | None
        decided_by_id: int | None

    def __str__(self) -> str:
        return f"price proposal {self.pk}"


class Rerating(models.Model):
    """Calls of a past range ``[starts_at, ends_at)`` priced anew. Written by billing/reratings.py.

    Meant are calls that a price of ``book`` rated, of the named models, of one tenant or of all. ``rows`` are as those
    of a PriceProposal; none gives the calls back the price they were admitted at. A later re-rating of a call goes
    before an earlier one. ``steps`` are tenants' months to count or to post. With ``alone`` set its proposer may decide
    it, which the settings allowed when it was proposed.
    """

    class State(models.TextChoices):
        COUNTING = "counting"
        PREVIEWED = "previewed"
        WAITING = "waiting"
        REJECTED = "rejected"
        RUNNING = "running"
        DONE = "done"

    book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="+")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    model_names = ArrayField(models.CharField(max_length=200))
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    rows = models.JSONField()
    note = models.CharField(max_length=200)
    state = models.CharField(max_length=9, choices=State, default=State.COUNTING)
    alone = models.BooleanField(default=False)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=now)
    decided_at = models.DateTimeField(null=True, blank=True)
    steps = models.PositiveIntegerField(default=0)
    steps_done = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=300, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "re-rating"
        constraints = (
            models.CheckConstraint(
                condition=Q(alone=True, decided_by__isnull=False) | FOUR_EYES, name="rerating_four_eyes"
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="rerating_range_not_empty"),
            models.CheckConstraint(condition=Q(model_names__len__gt=0), name="rerating_has_models"),
        )
        indexes = (models.Index("book", "state", "id", name="rerating_by_book"),)

    if TYPE_CHECKING:
        id: int
        book_id: int
        tenant_id: int | None
        proposed_by_id: int | None
        decided_by_id: int | None

    def __str__(self) -> str:
        return f"re-rating {self.pk}"


class ReratingLine(models.Model):
    """What a re-rating comes to for one tenant, month and model: picodollars before and after. Written with it.

    ``before`` is what its calls cost with the re-ratings before this one. ``posted_at`` is when the charge was brought
    to it.
    """

    rerating = models.ForeignKey(Rerating, on_delete=models.PROTECT, related_name="lines")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    period_label = models.CharField(max_length=7)
    model = models.CharField(max_length=200)
    requests = models.BigIntegerField()
    before = picodollars()
    after = picodollars()
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint("rerating", "tenant", "period_label", "model", name="rerating_line_once"),
        )

    if TYPE_CHECKING:
        id: int
        rerating_id: int
        tenant_id: int

    def __str__(self) -> str:
        return f"{self.model} of {self.period_label}"


class LossAlert(models.Model):
    """A token class that operators were told is sold below cost, while it is. Written by billing/losses.py."""

    model = models.CharField(max_length=200)
    upstream = models.CharField(max_length=100)
    upstream_model = models.CharField(max_length=200)
    token_class = models.CharField(max_length=20)
    price = models.BigIntegerField()
    cost = models.BigIntegerField()
    found_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("model", "upstream", "upstream_model", "token_class", name="loss_alert_once"),
        )

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.token_class} of {self.model} below cost"
