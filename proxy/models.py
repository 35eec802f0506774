"""What is sold and where it comes from: upstreams with their credentials, models, aliases and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

MODEL_NAME = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}$", "A model name has letters, digits and . _ : @ / + -, at most 200."
)
CREDENTIAL_NAME = RegexValidator(r"^[a-z0-9][a-z0-9-]{0,59}$", "Use a–z, 0–9 and hyphens, at most 60 characters.")
UPSTREAM_NAME = RegexValidator(r"^[a-z0-9][a-z0-9-]{0,62}$", "Use a–z, 0–9 and hyphens, at most 63 characters.")


class Upstream(models.Model):
    """A provider's endpoint. ``rules`` are its deviations from its dialect, as data."""

    name = models.CharField(max_length=63, unique=True, validators=[UPSTREAM_NAME])
    dialect = models.CharField(max_length=20, default="openai")
    base_url = models.CharField(max_length=500)  # proxy/addresses.py says which
    rules = models.JSONField(default=dict, blank=True)
    connect_timeout_s = models.PositiveSmallIntegerField(default=5, validators=[MinValueValidator(1)])
    first_byte_timeout_s = models.PositiveSmallIntegerField(default=120, validators=[MinValueValidator(1)])
    idle_timeout_s = models.PositiveSmallIntegerField(default=60, validators=[MinValueValidator(1)])
    total_timeout_s = models.PositiveSmallIntegerField(default=600, validators=[MinValueValidator(1)])
    disconnect_policy = models.CharField(
        max_length=6, blank=True, choices=(("", "as the tenant"), ("drain", "drain"), ("cancel", "cancel"))
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return self.name


class Credential(models.Model):
    """An upstream's API key, sealed (AES-256-GCM, see proxy/credentials.py). Write-only; proxy/upstreams.py writes it.

    ``sealed_at`` is when this secret was entered: what was found before is of another one.
    """

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="credentials")
    name = models.CharField(max_length=60, default="default", validators=[CREDENTIAL_NAME])
    sealed = models.BinaryField()
    key_id = models.CharField(max_length=16)
    last_four = models.CharField(max_length=4)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)
    sealed_at = models.DateTimeField(default=now)

    if TYPE_CHECKING:
        id: int
        upstream_id: int

    class Meta:
        constraints = (models.UniqueConstraint("upstream", "name", name="credential_once"),)

    def __str__(self) -> str:
        return f"{self.upstream}: {self.shown}"

    @property
    def place(self) -> str:
        """Where findings about it are."""
        return f"credential:{self.pk}"

    @property
    def shown(self) -> str:
        """Its name, and the last characters to tell one secret from another; short secrets show none."""
        return f"{self.name} …{self.last_four}" if self.last_four else self.name


class Model(models.Model):
    """A public name we sell. Limits are tokens; capabilities are public, ``rules`` (proxy/rules.py) how it is called.

    ``fallbacks`` are names of models to try when every route of this one fails, priced as what answered.
    """

    name = models.CharField(max_length=200, unique=True, validators=[MODEL_NAME])
    context_window = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    max_output_tokens = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    capabilities = models.JSONField(default=dict, blank=True)
    rules = models.JSONField(default=dict, blank=True)
    fallbacks = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(context_window__gt=0, max_output_tokens__gt=0), name="model_limits_positive"
            ),
        )

    def __str__(self) -> str:
        return self.name


class ModelAlias(models.Model):
    """Another name for a model. No alias may be a model's own name."""

    name = models.CharField(max_length=200, unique=True, validators=[MODEL_NAME])
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")

    def __str__(self) -> str:
        return self.name


class Route(models.Model):
    """Model → upstream model. Lower ``priority`` is tried first; equal priorities share by ``weight``."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="routes")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="routes")
    upstream_model = models.CharField(max_length=200)
    priority = models.PositiveSmallIntegerField(default=1)
    weight = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)])
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = (models.UniqueConstraint("model", "upstream", "upstream_model", name="route_once"),)

    def __str__(self) -> str:
        return f"{self.model} → {self.upstream}/{self.upstream_model}"


class ModelEstimate(models.Model):
    """What was learned of a model's tokens from its settled calls, and how far estimates were off. One verb writes it:
    proxy/learning.py.

    Factors are bytes per 1,000 tokens, 0 while too little is known; the gateways read them and ``usual_output``, so
    they are changed only when they have moved. ``low_factor`` is one that hardly a request is below. Ratios are bytes
    per 1,000 tokens and errors are thousandths, of the newest calls. ``estimated`` has calls and picodollars by day.
    """

    model = models.OneToOneField(Model, on_delete=models.CASCADE, primary_key=True, related_name="estimate")
    learned_until = models.DateTimeField()
    input_factor = models.PositiveIntegerField(default=0)
    output_factor = models.PositiveIntegerField(default=0)
    low_factor = models.PositiveIntegerField(default=0)
    usual_output = models.PositiveIntegerField(default=0)
    input_samples = models.BigIntegerField(default=0)
    output_samples = models.BigIntegerField(default=0)
    sums = models.JSONField(default=dict)
    input_ratios = ArrayField(models.IntegerField(), default=list)
    output_ratios = ArrayField(models.IntegerField(), default=list)
    input_errors = ArrayField(models.IntegerField(), default=list)
    output_errors = ArrayField(models.IntegerField(), default=list)
    estimated = models.JSONField(default=dict)

    if TYPE_CHECKING:
        model_id: int

    def __str__(self) -> str:
        return str(self.model)


class PriceImport(models.Model):
    """A public price file as it was read once, for review. ``missing`` are models on sale that it does not have."""

    source = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    missing = models.JSONField(default=list)
    made_by = models.ForeignKey("portal.User", on_delete=models.SET_NULL, null=True, related_name="+")
    made_at = models.DateTimeField(default=now)

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return f"{self.source} at {self.made_at:%Y-%m-%d %H:%M}"


class PriceProposal(models.Model):
    """What a price file proposes for one model; see proxy/pricing_import/proposal.py. ``model`` is empty if unsold.

    ``price_id`` is the price that was in force at the review, and ``entry`` all that was read, in exact integers.
    ``applied_as`` is the model it became the price of.
    """

    price_import = models.ForeignKey(PriceImport, on_delete=models.CASCADE, related_name="proposals")
    name = models.CharField(max_length=200)
    provider = models.CharField(max_length=60, blank=True)
    model = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=20)
    reasons = models.JSONField(default=list)
    notes = models.JSONField(default=list)
    differences = models.JSONField(default=list)
    entry = models.JSONField()
    price_id = models.BigIntegerField(null=True)
    applied_at = models.DateTimeField(null=True)
    applied_as = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        indexes = (models.Index("price_import", "status", "id", name="proposal_by_status"),)

    if TYPE_CHECKING:
        id: int
        price_import_id: int

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"


class RouteHealth(models.Model):
    """How a route did in five minutes of real traffic: attempts by how they ended, and histograms of proxy/buckets.py.

    ``model`` keeps its public name when the route is gone. Gateways add to a row through note_route_health alone.
    """

    route = models.ForeignKey(Route, on_delete=models.SET_NULL, null=True, related_name="health")
    model = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    successes = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    timeouts = models.BigIntegerField(default=0)
    server_errors = models.BigIntegerField(default=0)
    overloaded = models.BigIntegerField(default=0)
    auth = models.BigIntegerField(default=0)
    unreachable = models.BigIntegerField(default=0)
    broken = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    output_ms = models.BigIntegerField(default=0)
    first_token = ArrayField(models.BigIntegerField())
    whole = ArrayField(models.BigIntegerField())

    class Meta:
        verbose_name = "route's health"
        verbose_name_plural = "health of routes"
        constraints = (models.UniqueConstraint("route", "starts_at", name="route_health_once"),)
        indexes = (
            models.Index("model", "starts_at", name="route_health_by_model"),
            models.Index("starts_at", name="route_health_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.model} at {self.starts_at:%Y-%m-%d %H:%M}"


class RouteProbe(models.Model):
    """What a route answered to the fixed prompts; tokens and milliseconds are one per prompt. See verification.py.

    ``trouble`` says in plain words why it failed; a count of 0 is one the upstream did not tell.
    """

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="probes")
    made_at = models.DateTimeField(default=now)
    trouble = models.CharField(max_length=300, blank=True)
    reported_model = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(max_length=100, blank=True)
    prompt_tokens = ArrayField(models.PositiveIntegerField(), default=list)
    completion_tokens = ArrayField(models.PositiveIntegerField(), default=list)
    latency_ms = ArrayField(models.PositiveIntegerField(), default=list)

    class Meta:
        indexes = (models.Index(fields=("route", "-made_at"), name="probe_by_route"),)

    def __str__(self) -> str:
        return f"{self.route} at {self.made_at:%Y-%m-%d %H:%M}"


class Finding(models.Model):
    """Something an operator should look at. While it is open, the same ``kind`` at the same ``place`` is no other."""

    class Kind(models.TextChoices):
        CREDENTIAL = "credential", "credential refused"
        MODEL = "model", "reported model changed"
        TOKENS = "tokens", "token counts changed"
        LATENCY = "latency", "much slower than it was"
        FAILING = "failing", "probes fail"
        OVERRUN = "overrun", "calls cost more than was held"

    class State(models.TextChoices):
        OPEN = "open", "open"
        ACKNOWLEDGED = "acknowledged", "acknowledged"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    place = models.CharField(max_length=40)
    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, null=True, related_name="findings")
    route = models.ForeignKey(Route, on_delete=models.CASCADE, null=True, related_name="findings")
    subject = models.CharField(max_length=500)
    before = models.CharField(max_length=300, blank=True)
    after = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    times = models.PositiveIntegerField(default=1)
    found_at = models.DateTimeField(default=now)
    seen_at = models.DateTimeField(default=now)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey("portal.User", on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("kind", "place"), condition=Q(state="open"), name="finding_open_once"),
        )

    if TYPE_CHECKING:
        id: int
        route_id: int | None

    def __str__(self) -> str:
        return self.subject
