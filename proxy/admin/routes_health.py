"""How routes do, what probes of them said, and what was found: tables to look at, a probe, and taking note."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.timezone import now

from billing.admin import ReadOnlyAdmin
from portal import audit
from portal.admin.audited import actor_of
from proxy import quality, verification
from proxy.models import Finding, Route, RouteHealth, RouteProbe
from proxy.quality import Quality

FAILURE_WORDS = {
    "timeouts": "timeout",
    "server_errors": "server error",
    "overloaded": "overloaded",
    "auth": "refused us",
    "unreachable": "unreachable",
    "broken": "broken answer",
}
GOOD, POOR = 0.99, 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """A route as the page shows it."""

    route: Route
    quality: Quality | None
    probe: RouteProbe | None

    @property
    def uptime(self) -> str:
        """In per cent, cut rather than rounded up: 100 is nothing failed."""
        share = None if self.quality is None else self.quality.uptime
        return "–" if share is None else f"{int(share * 10_000) / 100:.2f} %"

    @property
    def mood(self) -> str:
        """The colour of the uptime."""
        share = None if self.quality is None else self.quality.uptime
        if share is None:
            return "none"
        return "good" if share >= GOOD else "fair" if share >= POOR else "bad"

    @property
    def failures(self) -> list[tuple[str, int]]:
        """How attempts failed, the most frequent way first."""
        failures = {} if self.quality is None else self.quality.failures
        return sorted(((FAILURE_WORDS[kind], count) for kind, count in failures.items() if count), key=lambda x: -x[1])

    @property
    def times(self) -> list[tuple[str, str, str]]:
        """What, median and 95th percentile."""
        one = self.quality
        if one is None:
            return []
        return [
            ("first token", seconds(one.first_token_p50), seconds(one.first_token_p95)),
            ("whole answer", seconds(one.whole_p50), seconds(one.whole_p95)),
        ]

    @property
    def speed(self) -> str:
        """Output tokens per second."""
        speed = None if self.quality is None else self.quality.tokens_per_s
        return "–" if speed is None else f"{speed:.0f}"


def seconds(value: float | None) -> str:
    """A time to read: ``340 ms``, ``1.2 s``."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def rows(*, moment: datetime, span: timedelta) -> list[Row]:
    """Every route, by upstream."""
    routes = list(
        Route.objects.select_related("upstream", "model").order_by("upstream__name", "model__name", "priority", "pk")
    )
    seen = quality.of_routes(now=moment, span=span)
    latest = RouteProbe.objects.order_by("route_id", "-made_at", "-pk").distinct("route_id")
    probes = {probe.route_id: probe for probe in latest}
    return [Row(route, seen.get(route.pk), probes.get(route.pk)) for route in routes]


@admin.register(RouteHealth)
class RouteHealthAdmin(ReadOnlyAdmin):
    """One page: every route in a table."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The table; a POST probes one route."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._probe(request)
        asked = request.GET.get("span", "")
        chosen = int(asked) if asked in ("1", "2") else 0
        name, span = quality.SPANS[chosen]
        context = {
            **self.admin_site.each_context(request),
            "title": "Health of routes",
            "opts": self.model._meta,
            "rows": rows(moment=now(), span=span),
            "spans": [(place, words, place == chosen) for place, (words, _) in enumerate(quality.SPANS)],
            "span": name,
            "open_findings": Finding.objects.filter(state=Finding.State.OPEN).count(),
            "may_probe": request.user.has_perm("proxy.change_route"),
        }
        return TemplateResponse(request, "admin/proxy/routehealth/overview.html", context)

    def _probe(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("proxy.change_route"):
            raise PermissionDenied
        asked = request.POST.get("route", "")
        moment = now()
        number = int(asked) if asked.isdecimal() and len(asked) < 19 else 0
        for probe in verification.probe_routes(now=moment, route_ids=[number]):
            audit.record(
                tenant=None, actor=actor_of(request), action="route.probe", subject=str(probe.route), now=moment
            )
            if probe.trouble:
                messages.error(request, f"{probe.route}: {probe.trouble}")
            else:
                messages.success(request, f"{probe.route}: {probe.reported_model or 'it'} answered.")
            break
        else:
            messages.warning(request, "There is no active route like this that can be probed.")
        return HttpResponseRedirect(request.get_full_path())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Single rows are of no interest."""
        return HttpResponseRedirect("../..")


@admin.register(RouteProbe)
class RouteProbeAdmin(ReadOnlyAdmin):
    """What probes saw."""

    list_display = ("made_at", "route", "reported_model", "prompt_tokens", "completion_tokens", "latency_ms", "trouble")
    list_select_related = ("route__model", "route__upstream")
    list_filter = ("route__upstream",)
    ordering = ("-made_at", "-pk")


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    """What operators should look at; taking note of it makes what is now the state to keep."""

    list_display = ("subject", "before", "after", "state", "times", "found_at", "seen_at")
    list_filter = ("state", "kind", "upstream")
    ordering = ("-state", "-seen_at", "-pk")
    actions = ("acknowledge",)

    @admin.action(description="Acknowledge the selected findings", permissions=("acknowledge",))
    def acknowledge(self, request: HttpRequest, found: QuerySet[Finding]) -> None:
        """Take note of them."""
        moment, actor, done = now(), actor_of(request), 0
        for finding in found.order_by("pk"):
            if verification.acknowledge(finding, actor=actor, now=moment):
                done += 1
                audit.record(
                    tenant=None, actor=actor, action="finding.acknowledge", subject=finding.subject, now=moment
                )
        messages.success(request, f"Acknowledged: {done}.")

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        """Findings are never edited otherwise."""
        return bool(request.user.has_perm("proxy.change_finding"))
