"""Public pages of what is sold and how it does: the models with their prices, one model, and the status of all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from portal import access, snippets
from proxy import offering, quality
from proxy.guide import contents, readings
from proxy.offering import Offered
from proxy.pages import around
from proxy.quality import Quality, Stretch
from proxy.templatetags.docs import share

PARTS = 30
HEALTHY, TROUBLED = 0.99, 0.9
"""Shares of attempts that succeed: below the first something is wrong, below the second it is down."""
LATELY = timedelta(minutes=30)
SORTS = {
    "name": lambda row: row.offered.name,
    "price": lambda row: (row.offered.example, row.offered.name),
    "context": lambda row: (-row.offered.context_window, row.offered.name),
    "speed": lambda row: (row.seen.first_token_p50 or 10**9 if row.seen else 10**9, row.offered.name),
}
TITLES = {"name": "Name", "price": "Cheapest first", "context": "Longest context first", "speed": "Quickest first"}
MOST_SEARCH = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the list, with what was seen of it in a day."""

    offered: Offered
    seen: Quality | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a model's course: how it is coloured and said."""

    starts_at: datetime
    level: str
    words: str


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """Everything on sale, at this reader's prices: searched by ``?q=``, in the order of ``?sort=``."""
    moment = now()
    asked = request.GET.get("q", "").strip()[:MOST_SEARCH].lower()
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else "name"
    seen = quality.of_models(now=moment, span=quality.DAY)
    rows = [
        Row(one, seen.get(one.name))
        for one in offering.offered(tenant_id=_tenant_of(request), now=moment)
        if all(word in " ".join((one.name, *one.aliases, *one.deeds, *one.inputs)).lower() for word in asked.split())
    ]
    shown = {"rows": sorted(rows, key=SORTS[sort]), "asked": asked, "sort": sort, "sorts": TITLES}
    return render(request, "docs/models.html", around(contents.MODELS) | shown)


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    """One model: its prices, what it can, how it did, and a first call."""
    moment = now()
    one = offering.found(name=name, tenant_id=_tenant_of(request), now=moment)
    if one is None:
        raise Http404
    spans = [
        (title, quality.of_models(now=moment, span=span, models=[one.name]).get(one.name))
        for title, span in quality.SPANS
    ]
    course = quality.course_of_models(now=moment, span=quality.MONTH, parts=PARTS, models=[one.name])
    reader = readings.reader_of(request)
    shown = {
        "one": one,
        "spans": spans,
        "bars": bars(course.get(one.name, [])),
        "snippets": snippets.first_call(base_url=f"{reader.origin}/v1", api_key=reader.key, model=one.name),
        "example": (offering.EXAMPLE_INPUT, offering.EXAMPLE_OUTPUT),
    }
    return render(request, "docs/model.html", around(contents.MODELS) | shown)


@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Whether calls succeed: each model now and over a month, by real traffic."""
    moment = now()
    names = [one.name for one in offering.offered(tenant_id=_tenant_of(request), now=moment)]
    lately = quality.of_models(now=moment, span=LATELY, models=names)
    month = quality.of_models(now=moment, span=quality.MONTH, models=names)
    course = quality.course_of_models(now=moment, span=quality.MONTH, parts=PARTS, models=names)
    rows = [
        {
            "name": name,
            "level": level_of(lately[name].uptime if name in lately else None),
            "uptime": month[name].uptime if name in month else None,
            "bars": bars(course.get(name, [])),
        }
        for name in names
        if name in month
    ]
    shown = {"rows": rows, "quiet": len(names) - len(rows), "worst": worst_of(rows), "moment": moment}
    return render(request, "docs/status.html", around(contents.STATUS) | shown)


def level_of(uptime: float | None) -> str:
    """``good``, ``warn``, ``bad``, or ``none`` where nothing was called."""
    if uptime is None:
        return "none"
    return "good" if uptime >= HEALTHY else "warn" if uptime >= TROUBLED else "bad"


def worst_of(rows: list[dict[str, Any]]) -> str:
    """The worst of what is known of now; ``none`` if nothing was called lately."""
    levels = {row["level"] for row in rows}
    return next((level for level in ("bad", "warn", "good") if level in levels), "none")


def bars(stretches: list[Stretch]) -> list[Bar]:
    """A course as bars, the oldest first."""
    return [
        Bar(
            one.starts_at,
            level_of(one.uptime),
            f"{one.starts_at:%-d %b}: "
            + ("no calls" if one.uptime is None else f"{share(one.uptime)} of {one.judged:,}"),
        )
        for one in stretches
    ]


def _tenant_of(request: HttpRequest) -> int | None:
    """Whose price book is shown: that of the reader's first organisation."""
    membership = access.memberships_of(request).first()
    if membership is None:
        return None
    access.enter(request, membership)
    return membership.tenant_id


urlpatterns = [
    path("docs/models", models, name="models"),
    path("docs/models/<path:name>", model, name="model"),
    path("docs/status", status, name="status"),
]
