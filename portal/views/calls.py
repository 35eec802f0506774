"""Calls: the list, newest first, and one call's page with its receipt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, QueryDict
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from billing import pricing, reports
from billing.meters import TOKEN_CLASSES
from billing.models import UsageEvent
from billing.reports import CallFilter
from portal.access import Permission
from portal.filters import CallFilterForm
from portal.models import Tenant
from portal.readings import Named, Names, models_used
from portal.views.page import TenantRequest, render_page, tenant_page

PAGE = 50
CLASS_WORDS = {
    "input": "Input",
    "cache_read": "Input, read from cache",
    "cache_write_5m": "Input, written to cache (5 min)",
    "cache_write_1h": "Input, written to cache (1 h)",
    "input_audio": "Audio input",
    "input_image": "Image input",
    "output": "Output",
    "reasoning": "Reasoning",
    "output_audio": "Audio output",
    "output_image": "Image output",
    "per_request": "Request",
    "per_web_search": "Web searches",
    "per_image": "Images",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A usage event with names for its ids."""

    event: UsageEvent
    shown_id: str
    key: Named
    project: Named

    @property
    def tokens(self) -> list[tuple[str, int]]:
        """Counted token classes with their names, those that are not zero."""
        return [(CLASS_WORDS[name], getattr(self.event, name)) for name in TOKEN_CLASSES if getattr(self.event, name)]

    @property
    def status(self) -> tuple[str, str]:
        """How the call ended: the words and the colour of its badge."""
        event = self.event
        if event.state == UsageEvent.State.OPEN:
            return "running", ""
        if event.error_code:
            return f"{event.status or ''} {event.error_code}".strip(), "bad"
        if event.state == UsageEvent.State.VOIDED:
            return "voided", "warn"
        return ("client left", "warn") if event.client_gone else (str(event.status or "ok"), "good")


@require_safe
@tenant_page(Permission.SEE_USAGE)
def calls(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """A page of calls; htmx asks for the next rows with ``before``."""
    names = Names(tenant)
    form = CallFilterForm(request.GET, names=names, models=models_used(tenant, now=now()))
    form.is_valid()
    before = _before(request.GET)
    found = reports.calls(tenant_id=tenant.pk, only=_filter(form.cleaned_data, names), before=before, most=PAGE + 1)
    more = QueryDict(mutable=True)
    more.update({name: str(value) for name, value in form.cleaned_data.items() if value})
    if len(found) > PAGE:
        more["before"] = found[PAGE - 1].id.hex
    context = {
        "form": form,
        "calls": with_names(found[:PAGE], names),
        "more": more.urlencode() if len(found) > PAGE else "",
        "filtered": bool(more) or before is not None,
    }
    partial = request.headers.get("HX-Request")
    template = "calls.html" if not partial else "call_rows.html" if before else "calls_results.html"
    return render_page(request, template, context)


@require_safe
@tenant_page(Permission.SEE_USAGE)
def call(request: TenantRequest, tenant: Tenant, shown_id: str) -> HttpResponse:
    """One call: what was counted × the frozen unit price = its cost."""
    event = reports.call(tenant_id=tenant.pk, shown_id=shown_id)
    if event is None:
        raise Http404
    receipt = reports.receipt(event)
    context = {
        "call": with_names([event], Names(tenant))[0],
        "event": event,
        "receipt": receipt,
        "variant": pricing.words(receipt.price),
        "lines": [(CLASS_WORDS.get(line.token_class, line.token_class), line) for line in receipt.lines],
        "now": now(),
    }
    return render_page(request, "call.html", context)


def with_names(events: Iterable[UsageEvent], names: Names) -> list[Call]:
    """Events ready for a page."""
    return [
        Call(
            event,
            f"req_{event.id.hex[:24]}",
            names.of("api_key", event.api_key_id),
            names.of("project", event.project_id),
        )
        for event in events
    ]


def _before(query: QueryDict) -> UUID | None:
    text = query.get("before", "")
    if not text:
        return None
    try:
        return UUID(hex=text[:40])
    except ValueError:
        raise BadRequest("before is not a position in this list") from None


def _filter(typed: dict[str, str], names: Names) -> CallFilter:
    keys = {key.public_id: key.pk for key in names.keys.values()}
    projects = {project.slug: project.pk for project in names.projects.values()}
    state = typed.get("state", "")
    return CallFilter(
        model=typed.get("model") or None,
        project_id=projects.get(typed.get("project", "")),
        api_key_id=keys.get(typed.get("key", "")),
        state=state if state in UsageEvent.State.values else None,
        failed=state == "failed",
    )
