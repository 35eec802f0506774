"""What the demonstration sells: models with prices, what their upstreams charge, and how their routes do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing import catalog, costs
from billing.models import Price
from billing.pricing import PriceVersion
from proxy.apply import run
from proxy.apply.document import parse
from proxy.buckets import BOUNDS_S
from proxy.models import Finding, Model, ModelEstimate, Route, RouteHealth, RouteProbe
from proxy.pricing_import import stored
from proxy.pricing_import.reading import read
from tests.gallery.calendar import Calendar

#: model → upstream, its name there, USD per 1M tokens: input, cache read, output, and what the upstream charges of each
SOLD = {
    "atlas-large": ("northwind", "nw-atlas-large-2", ("3.00", "0.30", "15.00"), (2_400_000, 240_000, 12_000_000)),
    "atlas-mini": ("northwind", "nw-atlas-mini-2", ("0.25", "0.025", "2.00"), (180_000, 18_000, 1_500_000)),
    "sparrow": ("southbank", "sparrow-7", ("0.80", "0.08", "4.00"), (640_000, 64_000, 3_200_000)),
    "sparrow-thinking": ("southbank", "sparrow-7-thinking", ("1.20", "0.12", "6.00"), (900_000, 90_000, 6_500_000)),
}
LIMITS = "context_window = 200000\nmax_output_tokens = 32000\n"


@dataclass(frozen=True, slots=True)
class Sold:
    """A model with the price it is sold at and the route it is answered by."""

    name: str
    upstream: str
    upstream_model: str
    price: PriceVersion
    route_id: int


def offer(calendar: Calendar, sandbox_url: str) -> tuple[Sold, ...]:
    """Put everything on sale as of the first month; every upstream is really the sandbox."""
    began = calendar.began
    run.apply(parse(_document(sandbox_url), "gallery.toml"), now=began, sandbox_url=sandbox_url)
    for upstream, upstream_model, _prices, paid in SOLD.values():
        charged = dict(zip(("input", "cache_read", "output"), paid, strict=True))
        costs.record(
            upstream=upstream, upstream_model=upstream_model, costs=charged, effective_from=began, now=began
        )  # fmt: skip
    return tuple(_sold(name) for name in SOLD)


def watch(calendar: Calendar) -> None:
    """Health, probes, findings and what was learned of the models; and a file of prices that waits for a review."""
    for place, route in enumerate(Route.objects.filter(model__name__in=SOLD).order_by("id")):
        _health(route, calendar.now, trouble=place)
        RouteProbe.objects.create(
            route=route, made_at=calendar.now - timedelta(hours=place), reported_model=route.upstream_model,
            prompt_tokens=[12, 31, 8], completion_tokens=[5, 40, 3], latency_ms=[310, 900, 280],
            trouble="Answered 503: overloaded." if place == 3 else "",
        )  # fmt: skip
    slow = Route.objects.get(model__name="sparrow-thinking")
    Finding.objects.create(
        kind=Finding.Kind.LATENCY, place=f"route:{slow.pk}", upstream=slow.upstream, route=slow, subject=str(slow),
        before="810 ms", after="2,940 ms", times=4, found_at=calendar.now - timedelta(days=1),
    )  # fmt: skip
    Finding.objects.create(
        kind=Finding.Kind.CREDENTIAL, place=f"upstream:{slow.upstream_id}", upstream=slow.upstream,
        subject="southbank", after="401 Unauthorized", state=Finding.State.ACKNOWLEDGED,
        acknowledged_at=calendar.now,
    )  # fmt: skip
    ModelEstimate.objects.create(
        model=Model.objects.get(name="atlas-mini"), learned_until=calendar.now, input_factor=4_120, input_samples=812,
        output_factor=4_460, output_samples=640, usual_output=420, input_errors=[*[20] * 8, 300, 310],
        estimated={f"{calendar.now:%Y-%m-%d}": [3, 2_500_000_000_000]},
    )  # fmt: skip
    stored.keep(file=read(_price_file()), source="prices.json", actor=None, now=calendar.now)


def _document(sandbox_url: str) -> str:
    parts = [
        f'[[upstreams]]\nname = "{name}"\ndialect = "openai"\nbase_url = "{sandbox_url}/v1"\napi_key = "sandbox"\n'
        for name in ("northwind", "southbank", "sandbox")
    ]
    for name, (upstream, upstream_model, prices, _paid) in SOLD.items():
        parts.append(_model(name, upstream, upstream_model, prices))
    parts.append(_model("sandbox/echo", "sandbox", "sandbox/echo", ("0.15", "0.075", "0.60")))
    return "\n".join(parts)


def _model(name: str, upstream: str, upstream_model: str, prices: tuple[str, str, str]) -> str:
    unit = dict(zip(("input", "cache_read", "output"), prices, strict=True))
    written = ", ".join(f'{key} = "{value}"' for key, value in unit.items())
    routes = f'routes = [{{ upstream = "{upstream}", model = "{upstream_model}" }}]\n'
    return f'[[models]]\nname = "{name}"\n{LIMITS}{routes}price = {{ {written} }}\n'


def _sold(name: str) -> Sold:
    upstream, upstream_model, *_rest = SOLD[name]
    row = Price.objects.filter(model=name, variant="").latest("effective_from")
    price = catalog.versions_by_id([row.pk])[row.pk]
    return Sold(name, upstream, upstream_model, price, Route.objects.get(model__name=name).pk)


def _health(route: Route, now: datetime, *, trouble: int) -> None:
    empty = [0] * (len(BOUNDS_S) + 1)
    for hours in (1, 5, 20, 90):
        done = 240 - 11 * trouble
        RouteHealth.objects.create(
            route=route, model=route.model.name, starts_at=now - timedelta(hours=hours), successes=done,
            timeouts=trouble * 3, server_errors=trouble, refused=2, output_tokens=done * 300, output_ms=done * 5_000,
            first_token=[*empty[:8], done, *empty[9:]], whole=[*empty[:12], done, *empty[13:]],
        )  # fmt: skip


def _price_file() -> bytes:
    common = {"mode": "chat", "max_input_tokens": 200_000, "max_output_tokens": 32_000}
    entries = {
        "nw-atlas-large-2": ("northwind", 2.8e-06, 1.4e-05),
        "nw-atlas-mini-2": ("northwind", 2.5e-07, 2e-06),
        "nw-atlas-nano-1": ("northwind", 5e-08, 4e-07),
        "sparrow-7": ("southbank", 8e-08, 4e-06),
    }
    return json.dumps(
        {
            name: {"litellm_provider": who, "input_cost_per_token": read, "output_cost_per_token": written, **common}
            for name, (who, read, written) in entries.items()
        }
    ).encode()
