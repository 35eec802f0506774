"""What was learned of models' tokens, and how far estimates were off, read-only."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin
from django.utils.timezone import now

from billing import money
from billing.admin import ReadOnlyAdmin
from proxy import tokenizers
from proxy.factors import LEAST, PER
from proxy.learning import WINDOW
from proxy.measurement import mean, quantile
from proxy.models import ModelEstimate
from proxy.snapshot import tokenizer_of

UNKNOWN = "too few calls"


@admin.register(ModelEstimate)
class ModelEstimateAdmin(ReadOnlyAdmin):
    """Estimates by model: used where an upstream does not say what it used. See docs/estimates.md."""

    list_display = (
        "model",
        "tokenizer",
        "input_samples",
        "input_bytes",
        "input_error",
        "output_samples",
        "output_bytes",
        "output_error",
        "usual_output",
        "estimated_calls",
        "estimated_cost",
    )
    list_select_related = ("model",)
    search_fields = ("model__name",)
    ordering = ("model__name",)
    fields = (*list_display, "hold_bytes", "learned_until")
    readonly_fields = fields

    @admin.display(description="Tokenizer")
    def tokenizer(self, row: ModelEstimate) -> str:
        """The vocabulary, and whether it is installed."""
        routed = row.model.routes.order_by("priority", "id").values_list("upstream_model", flat=True).first()
        name = tokenizer_of(row.model.name, row.model.rules, routed or "")
        if not name:
            return "none: by bytes"
        return name if tokenizers.find(name) else f"{name}, not installed: by bytes"

    @admin.display(description="Bytes per token, requests")
    def input_bytes(self, row: ModelEstimate) -> str:
        """The factor in use."""
        return per_token(row.input_factor)

    @admin.display(description="Bytes per token, answers")
    def output_bytes(self, row: ModelEstimate) -> str:
        """The factor in use."""
        return per_token(row.output_factor)

    @admin.display(description="Bytes per token, holds (measured)")
    def hold_bytes(self, row: ModelEstimate) -> str:
        """What the rule ``hold_bytes_per_token: measured`` goes by."""
        return per_token(row.low_factor) if row.low_factor else f"{UNKNOWN}: {per_token(LEAST)}"

    @admin.display(description="Error of requests: half, 9 in 10, mean")
    def input_error(self, row: ModelEstimate) -> str:
        """Of what was estimated at admission, by bytes."""
        return errors(row.input_errors)

    @admin.display(description="Error of answers: half, 9 in 10, mean")
    def output_error(self, row: ModelEstimate) -> str:
        """Of what would have been estimated, by bytes."""
        return errors(row.output_errors)

    @admin.display(description="Estimated calls, 30 days")
    def estimated_calls(self, row: ModelEstimate) -> int:
        """Calls that were billed by an estimate."""
        return sum(calls for calls, _ in lately(row))

    @admin.display(description="Their cost (USD)")
    def estimated_cost(self, row: ModelEstimate) -> str:
        """What they were billed, later adjustments left out."""
        return money.usd(sum(cost for _, cost in lately(row)))


def lately(row: ModelEstimate) -> list[tuple[int, int]]:
    """Estimated calls and picodollars of each day that counts."""
    first = f"{now() - WINDOW:%Y-%m-%d}"
    return [(calls, cost) for day, (calls, cost) in row.estimated.items() if day >= first]


def per_token(factor: int) -> str:
    """Bytes per 1,000 tokens → bytes per token, in words."""
    return f"{factor // PER}.{factor % PER // 10:02d}" if factor else UNKNOWN


def errors(thousandths: Sequence[int]) -> str:
    """How far estimates were off: half of them at most, nine in ten at most, and on the mean."""
    if not thousandths:
        return "–"
    shown = (quantile(thousandths, 50), quantile(thousandths, 90), mean(thousandths))
    return ", ".join(f"{value // 10}.{value % 10} %" for value in shown)
