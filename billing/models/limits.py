"""Money limits, wallets, agent runs, and the running row of each limit in each window."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.amounts import picodollars


class Budget(models.Model):
    """A money limit of a tenant, a project or a key, per calendar window in the tenant's time zone."""

    class Scope(models.TextChoices):
        TENANT = "tenant"
        PROJECT = "project"
        API_KEY = "api_key"

    class Window(models.TextChoices):
        DAY = "day"
        MONTH = "month"
        LIFETIME = "lifetime"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="budgets")
    scope = models.CharField(max_length=7, choices=Scope)
    scope_id = models.BigIntegerField()
    window = models.CharField(max_length=8, choices=Window)
    limit = picodollars()
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "scope", "scope_id", "window", name="budget_once"),
            models.CheckConstraint(condition=Q(limit__gte=0), name="budget_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.window} budget of {self.scope} {self.scope_id}"


class Wallet(models.Model):
    """How a tenant pays: from a prepaid balance, or later within a credit line."""

    class Mode(models.TextChoices):
        PREPAID = "prepaid"
        POSTPAID = "postpaid"

    tenant = models.OneToOneField("portal.Tenant", on_delete=models.PROTECT, primary_key=True)
    mode = models.CharField(max_length=8, choices=Mode)
    credit_limit = picodollars(default=0)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(credit_limit__gte=0), name="wallet_credit_not_negative"),
            models.CheckConstraint(condition=Q(mode="postpaid") | Q(credit_limit=0), name="wallet_prepaid_no_credit"),
        )

    def __str__(self) -> str:
        return f"{self.mode} wallet of {self.tenant}"


class Allowance(models.Model):
    """The running row of one limit in one window: a call is admitted iff ``spent + held + ceiling <= limit``.

    The wallet's limit is the tenant's credit limit plus everything ever credited. ``spent`` and ``held`` are written by
    the journal's functions alone; ``limit`` by billing/budgets.py and billing/ledger.py, and a run's by ensure_run.
    """

    class Kind(models.TextChoices):
        WALLET = "wallet"
        BUDGET = "budget"
        RUN = "run"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="allowances")
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, null=True, blank=True, related_name="allowances")
    kind = models.CharField(max_length=6, choices=Kind, default=Kind.BUDGET)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    limit = picodollars()
    spent = picodollars(default=0)
    held = picodollars(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint("budget", "starts_at", name="allowance_once"),
            models.UniqueConstraint("tenant", condition=Q(kind="wallet"), name="allowance_one_wallet"),
            models.CheckConstraint(condition=Q(kind="budget") ^ Q(budget__isnull=True), name="allowance_budget_kind"),
            models.CheckConstraint(condition=Q(held__gte=0), name="allowance_held_not_negative"),
        )

    def __str__(self) -> str:
        return f"allowance {self.pk}"


class Run(models.Model):
    """An agent run that clients name, with a cap of its own over all its calls. Written by ensure_run alone."""

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    api_key_id = models.BigIntegerField()
    run_id = models.CharField(max_length=128)
    allowance = models.OneToOneField(Allowance, on_delete=models.PROTECT, related_name="run")
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "run_id", name="run_once"),)

    def __str__(self) -> str:
        return f"run {self.run_id}"
