"""Prices, usage, limits, ledger and invoices. Amounts are whole picodollars unless a name says otherwise.

The database keeps the rules it can keep: see billing/migrations/sql for the partitioned journal, its functions, the
zero-sum and immutability triggers and row-level security. One module writes each table; billing/README.md says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.meters import TOKEN_CLASSES


def picodollars(**options: object) -> models.DecimalField[int, int]:
    """A NUMERIC(38,0) column for sums and balances; a single cost is a BIGINT."""
    return models.DecimalField(max_digits=38, decimal_places=0, **options)  # type: ignore[arg-type]


class PriceBook(models.Model):
    """A versioned set of prices: the default one, or one tenant's own."""

    tenant = models.OneToOneField("portal.Tenant", on_delete=models.PROTECT, null=True, blank=True)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                F("tenant"), condition=Q(tenant__isnull=True), nulls_distinct=False, name="price_book_one_default"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Price(models.Model):
    """Unit prices of one public model in one book during ``[effective_from, effective_to)``.

    Token classes are micro-USD per 1M tokens, which is the same number as picodollars per token; surcharges are
    picodollars each. A class without a price of its own holds its parent's number and is named in ``inherited``.
    """

    book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, related_name="prices")
    model = models.CharField(max_length=200)
    effective_from = models.DateTimeField()
    effective_to = models.DateTimeField(null=True, blank=True)
    input = models.BigIntegerField()
    cache_read = models.BigIntegerField()
    cache_write_5m = models.BigIntegerField()
    cache_write_1h = models.BigIntegerField()
    input_audio = models.BigIntegerField()
    input_image = models.BigIntegerField()
    output = models.BigIntegerField()
    reasoning = models.BigIntegerField()
    output_audio = models.BigIntegerField()
    output_image = models.BigIntegerField()
    per_request = models.BigIntegerField(default=0)
    per_web_search = models.BigIntegerField(null=True, blank=True)
    per_image = models.BigIntegerField(null=True, blank=True)
    inherited = ArrayField(models.CharField(max_length=20), default=list)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
                name="price_range_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(**{f"{name}__gte": 0 for name in (*TOKEN_CLASSES, "per_request")})
                & (Q(per_web_search__isnull=True) | Q(per_web_search__gte=0))
                & (Q(per_image__isnull=True) | Q(per_image__gte=0)),
                name="price_not_negative",
            ),
        )
        indexes = (models.Index("book", "model", F("effective_from").desc(), name="price_by_model"),)

    if TYPE_CHECKING:
        id: int
        book_id: int

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d %H:%M}"


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
        return f"{self.mode} wallet of tenant {self.tenant_id}"


class Allowance(models.Model):
    """The running row of one limit in one window: a call is admitted iff ``spent + held + ceiling <= limit``.

    ``budget`` null is the tenant's wallet, whose limit is its credit limit plus everything ever credited. ``spent``
    and ``held`` are written by the journal's functions alone; ``limit`` by billing/budgets.py and billing/ledger.py.
    """

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="allowances")
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, null=True, blank=True, related_name="allowances")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    limit = picodollars()
    spent = picodollars(default=0)
    held = picodollars(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint("budget", "starts_at", name="allowance_once"),
            models.UniqueConstraint("tenant", condition=Q(budget__isnull=True), name="allowance_one_wallet"),
            models.CheckConstraint(condition=Q(held__gte=0), name="allowance_held_not_negative"),
        )

    def __str__(self) -> str:
        return f"allowance {self.pk}"


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
    open_usage, settle_usage and checkpoint_usage, and by the posting of ``transfer_id``; by nothing else.
    """

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        VOIDED = "voided"

    class Basis(models.TextChoices):
        EXACT = "exact"
        ESTIMATED = "estimated"

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

    class Meta:
        managed = False
        db_table = "billing_usageevent"

    def __str__(self) -> str:
        return f"req_{self.id.hex[:24]}"


class UsageAdjustment(models.Model):
    """The difference between a swept event's estimate and its true usage that came late; signed, once per event."""

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
        constraints = (models.UniqueConstraint("tenant", "event_id", name="adjustment_once"),)

    def __str__(self) -> str:
        return f"adjustment of req_{self.event_id.hex[:24]}"


class UsageRollup(models.Model):
    """Settled usage by 15-minute bucket of admission. Rebuilt from events at will; written by billing/posting.py."""

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
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


class LedgerAccount(models.Model):
    """A place money is in: three per tenant, and the house's own."""

    class Kind(models.TextChoices):
        WALLET = "wallet"
        RECEIVABLE = "receivable"
        ACCRUED = "accrued"
        REVENUE = "revenue"
        ROUNDING = "rounding"
        BREAKAGE = "breakage"
        GOODWILL = "goodwill"
        PAYMENTS = "payments"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    currency = models.CharField(max_length=3, default="USD")

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "kind", "currency", name="ledger_account_once", nulls_distinct=False),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.tenant_id or 'the house'}"


class Transfer(models.Model):
    """One movement of money: its entries sum to zero per currency, and neither is ever changed."""

    class Kind(models.TextChoices):
        USAGE = "usage"
        ADJUSTMENT = "adjustment"
        TOP_UP = "top_up"
        PAYMENT = "payment"
        INVOICE = "invoice"
        REVERSAL = "reversal"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    key = models.CharField(max_length=200)
    effective_at = models.DateTimeField()
    posted_at = models.DateTimeField(default=now)
    memo = models.CharField(max_length=200, blank=True)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversal")

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "key", name="transfer_key_once"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class LedgerEntry(models.Model):
    """One side of a transfer: a debit is positive, a credit negative."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="entries")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="entries")
    currency = models.CharField(max_length=3, default="USD")
    amount = picodollars()

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_not_zero"),)

    def __str__(self) -> str:
        return f"{self.amount} on {self.account_id}"


class InvoiceSeries(models.Model):
    """The last number given in a series and year: the counter row that makes invoice numbers gapless."""

    series = models.CharField(max_length=10)
    year = models.PositiveSmallIntegerField()
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint("series", "year", name="invoice_series_once"),)

    def __str__(self) -> str:
        return f"{self.series}-{self.year}"


class Invoice(models.Model):
    """What a tenant owes for a period; immutable once finalised. Totals are minor units (cents) of ``currency``."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        FINALISED = "finalised"
        PAID = "paid"
        VOID = "void"
        UNCOLLECTIBLE = "uncollectible"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="invoices")
    status = models.CharField(max_length=13, choices=Status, default=Status.DRAFT)
    number = models.CharField(max_length=40, null=True, blank=True, unique=True)
    period_label = models.CharField(max_length=7)
    period_start_at = models.DateTimeField()
    period_end_at = models.DateTimeField()
    timezone = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    subtotal = models.BigIntegerField(default=0)
    tax = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    exact = picodollars(default=0)
    snapshot = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now)
    finalised_at = models.DateTimeField(null=True, blank=True)
    parked_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "period_start_at", condition=Q(status="draft"), name="invoice_one_draft"),
            models.CheckConstraint(condition=Q(total=F("subtotal") + F("tax")), name="invoice_total_sums"),
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True) | (~Q(status="draft") & Q(number__isnull=False)),
                name="invoice_number_when_finalised",
            ),
        )

    def __str__(self) -> str:
        return self.number or f"draft {self.period_label}"


class InvoiceLine(models.Model):
    """Usage of one model, token class and price version in a period: exact picodollars, rounded once to minor units."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    position = models.PositiveIntegerField()
    period_label = models.CharField(max_length=7)
    model = models.CharField(max_length=200)
    token_class = models.CharField(max_length=20)
    price_id = models.BigIntegerField()
    quantity = models.BigIntegerField()
    unit_price = models.BigIntegerField()
    exact = picodollars()
    amount = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint("invoice", "position", name="invoice_line_position"),)

    def __str__(self) -> str:
        return f"{self.model} {self.token_class}"


class InvoicedTransfer(models.Model):
    """Which invoice a usage transfer is on. A transfer is on one invoice at most, so late usage lands on the next."""

    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, primary_key=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="transfers")
    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return f"{self.transfer_id} on {self.invoice_id}"
