"""Whether routes still are what they were: probes, compared with those before, and what is found by that.

Findings about a kind at a place are raised once until somebody acknowledges them; what came before an acknowledgement
is not compared with any more, so that the new state is the one to keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from statistics import median

from django.db.models import F, Max, Q, QuerySet

from portal.models import User
from proxy import probing
from proxy.models import Finding, Route, RouteProbe
from proxy.probing import ProbeProblem, Seen

HISTORY = 10
LEAST_FOR_LATENCY = 5
SLOWER, SLOWER_BY_MS = 3, 250
AT_ONCE = 8
KEPT = timedelta(days=90)


def due(*, now: datetime, every: timedelta, most: int = AT_ONCE) -> list[Route]:
    """Active routes that were not probed for so long, those that waited longest first."""
    routes = _active().annotate(probed_at=Max("probes__made_at"))
    waiting = routes.filter(Q(probed_at=None) | Q(probed_at__lte=now - every))
    return list(waiting.order_by("probed_at", "pk")[:most])


def probe_routes(*, now: datetime, route_ids: Sequence[int] | None = None) -> list[RouteProbe]:
    """Probe the active routes, or those of them that are named, and keep what was seen and found."""
    routes = _active() if route_ids is None else _active().filter(pk__in=route_ids)
    return probe_all(routes.order_by("pk"), now=now)


def probe_all(routes: Iterable[Route], *, now: datetime) -> list[RouteProbe]:
    """Probe routes, several at once, and keep what was seen and found."""
    ready: list[tuple[Route, probing.Target]] = []
    seen: list[tuple[Route, Seen]] = []
    for route in routes:
        try:
            target = probing.target(route)
        except ProbeProblem as problem:
            seen.append((route, Seen(str(problem)[:300])))
        else:
            if target is not None:
                ready.append((route, target))
    with ThreadPoolExecutor(AT_ONCE) as pool:  # these wait for upstreams, and touch no database
        answers = pool.map(probing.probe, [target for _, target in ready])
        seen += zip([route for route, _ in ready], answers, strict=True)
    return [keep(route, one, now=now) for route, one in seen]


def keep(route: Route, seen: Seen, *, now: datetime) -> RouteProbe:
    """Store a probe, and raise what comparing it with those before finds."""
    earlier = list(RouteProbe.objects.filter(route=route).order_by("-made_at", "-pk")[:HISTORY])
    probe = RouteProbe.objects.create(
        route=route,
        made_at=now,
        trouble=seen.trouble,
        reported_model=seen.reported_model,
        fingerprint=seen.fingerprint,
        prompt_tokens=list(seen.prompt_tokens),
        completion_tokens=list(seen.completion_tokens),
        latency_ms=list(seen.latency_ms),
    )
    for kind, before, after in compare(probe, _since_acknowledged(route, earlier)):
        raise_finding(route, kind, before, after, now)
    return probe


def compare(
    probe: RouteProbe, earlier: dict[Finding.Kind, list[RouteProbe]]
) -> Iterable[tuple[Finding.Kind, str, str]]:
    """What is another than before, with what it was and is. ``earlier`` are the probes to compare, newest first."""
    kinds = Finding.Kind
    if probe.trouble:
        last = next(iter(earlier[kinds.FAILING]), None)
        if last is not None and last.trouble:
            yield kinds.FAILING, last.trouble, probe.trouble
        return
    models = [one.reported_model for one in earlier[kinds.MODEL] if one.reported_model]
    if models and probe.reported_model and probe.reported_model != _usual(models):
        yield kinds.MODEL, _usual(models), probe.reported_model
    counts = [_counts(one.prompt_tokens) for one in earlier[kinds.TOKENS] if not one.trouble and any(one.prompt_tokens)]
    if counts and any(probe.prompt_tokens) and _counts(probe.prompt_tokens) != _usual(counts):
        yield kinds.TOKENS, _usual(counts), _counts(probe.prompt_tokens)
    times = [median(one.latency_ms) for one in earlier[kinds.LATENCY] if not one.trouble and one.latency_ms]
    if len(times) >= LEAST_FOR_LATENCY and probe.latency_ms:
        was, took = median(times), median(probe.latency_ms)
        if took > max(SLOWER * was, was + SLOWER_BY_MS):
            yield kinds.LATENCY, f"{was:.0f} ms", f"{took:.0f} ms"


def acknowledge(finding: Finding, *, actor: User | None, now: datetime) -> bool:
    """Take note of a finding: what is now is what later probes are compared with. False if somebody else did."""
    state = {"state": Finding.State.ACKNOWLEDGED, "acknowledged_at": now, "acknowledged_by": actor}
    return bool(Finding.objects.filter(pk=finding.pk, state=Finding.State.OPEN).update(**state))


def forget(*, now: datetime) -> int:
    """Delete probes older than KEPT; returns how many."""
    return RouteProbe.objects.filter(made_at__lt=now - KEPT).delete()[0]


def _active() -> QuerySet[Route]:
    routes = Route.objects.filter(is_active=True, model__is_active=True, upstream__is_active=True)
    return routes.select_related("model", "upstream")


def _usual(values: Sequence[str]) -> str:
    return Counter(values).most_common(1)[0][0]


def _counts(tokens: Sequence[int]) -> str:
    return ", ".join(map(str, tokens))


def _since_acknowledged(route: Route, earlier: list[RouteProbe]) -> dict[Finding.Kind, list[RouteProbe]]:
    """The probes after somebody last took note of each kind of finding; the one that raised it among them."""
    settled = Finding.objects.filter(route=route, state=Finding.State.ACKNOWLEDGED)
    since = dict(settled.values_list("kind").annotate(Max("seen_at")))
    return {
        kind: [probe for probe in earlier if kind not in since or probe.made_at >= since[kind]] for kind in Finding.Kind
    }


def raise_finding(route: Route, kind: Finding.Kind, before: str, after: str, now: datetime) -> None:
    """A finding, or one time more of the one that is open."""
    told = {"before": before[:300], "after": after[:300]}
    subject = f"{route}: {kind.label}"[:500]
    finding, made = Finding.objects.get_or_create(
        kind=kind,
        place=f"route:{route.pk}",
        state=Finding.State.OPEN,
        defaults={
            **told,
            "route": route,
            "upstream": route.upstream,
            "subject": subject,
            "found_at": now,
            "seen_at": now,
        },
    )
    if not made:
        Finding.objects.filter(pk=finding.pk).update(
            after=told["after"], times=F("times") + 1, seen_at=max(now, finding.seen_at)
        )
