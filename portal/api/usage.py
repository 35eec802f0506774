"""Usage: sums by day, model, key or project; the list of calls; one call with its receipt."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing import pricing, reports
from billing.meters import TOKEN_CLASSES
from billing.models import UsageEvent
from billing.periods import month_of
from portal.access import Permission
from portal.api.fields import UsdField
from portal.api.strict import StrictSerializer, read_query
from portal.api.tenant_view import TenantView
from portal.models import ApiKey, Project, Tenant

LONGEST_RANGE = timedelta(days=400)
YEARS = range(1970, 2201)
"""Years that can be asked for: every day of them can be shown in every time zone."""
DIMENSIONS = {"model": "model", "key": "api_key", "project": "project"}


class MomentField(serializers.DateTimeField):
    """A moment of one of YEARS."""

    def to_internal_value(self, value: Any) -> datetime:
        """The moment; ValidationError for one that usage cannot have."""
        moment = super().to_internal_value(value)
        if moment.year not in YEARS:
            raise ValidationError(f"Choose a time from {YEARS[0]} to {YEARS[-1]}.")
        return moment


class UsageQuery(StrictSerializer):
    """``start`` (inclusive) and ``end`` (exclusive) default to the running month of the organisation's time zone."""

    by = serializers.ChoiceField(choices=("day", "model", "key", "project"), required=False, default="day")
    start = MomentField(required=False)
    end = MomentField(required=False)


class TotalsShown(serializers.Serializer[Any]):
    """Sums. Cached tokens are part of the prompt tokens."""

    requests = serializers.IntegerField()
    estimated = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost = UsdField()


class UsageRow(TotalsShown):
    """The sums of one day (YYYY-MM-DD), model, key (id) or project (slug)."""

    group = serializers.CharField()


class UsageShown(serializers.Serializer[Any]):
    """Usage of a range, in rows and as a whole; costs are USD."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    timezone = serializers.CharField()
    by = serializers.CharField()
    total = TotalsShown()
    results = UsageRow(many=True)


class CallQuery(StrictSerializer):
    """Which calls to list, newest first."""

    before = serializers.RegexField(r"^(?:req_)?[0-9a-f]{24}\Z", required=False)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=reports.MOST_CALLS, default=50)
    start = MomentField(required=False)
    end = MomentField(required=False)
    model = serializers.CharField(required=False, max_length=200)
    key = serializers.CharField(required=False, max_length=12)
    project = serializers.SlugField(required=False, max_length=63)
    state = serializers.ChoiceField(choices=UsageEvent.State.values, required=False)
    failed = serializers.BooleanField(required=False, default=False)


class CallShown(serializers.Serializer[Any]):
    """One call."""

    id = serializers.CharField(source="__str__")
    opened_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)
    state = serializers.CharField()
    basis = serializers.CharField(allow_null=True)
    model = serializers.CharField()
    requested_model = serializers.CharField()
    stream = serializers.BooleanField()
    status = serializers.IntegerField()
    error_code = serializers.CharField()
    finish_reason = serializers.CharField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost = UsdField()
    hold = UsdField()
    over_hold = serializers.BooleanField()
    attempts = serializers.IntegerField()
    first_byte_ms = serializers.IntegerField()
    duration_ms = serializers.IntegerField()
    client_gone = serializers.BooleanField()
    tokens = serializers.SerializerMethodField()

    def get_tokens(self, event: UsageEvent) -> dict[str, int]:
        """Disjoint counts by token class, those that are not zero."""
        return {name: getattr(event, name) for name in TOKEN_CLASSES if getattr(event, name)}


class ReceiptLineShown(serializers.Serializer[Any]):
    """Quantity × unit price = amount. A token's unit price is USD per single token."""

    token_class = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = UsdField()
    amount = UsdField()


class CallDetail(CallShown):
    """One call with the lines that sum to its cost."""

    price_version = serializers.IntegerField(source="price_id")
    price_variant = serializers.CharField(
        help_text="When this price holds, such as above 200,000 prompt tokens; else empty"
    )
    lines = ReceiptLineShown(many=True)
    adjustment = UsdField(allow_null=True)


class CallPage(serializers.Serializer[Any]):
    """``next`` is the ``before`` of the next page, or null."""

    results = CallShown(many=True)
    next = serializers.CharField(allow_null=True)


class UsageSummary(TenantView):
    """Sums."""

    permissions = {"GET": Permission.SEE_USAGE}

    @extend_schema(operation_id="get_usage", parameters=[UsageQuery], responses=UsageShown)
    def get(self, request: Request) -> Response:
        """Sums of a range by day, model, key or project."""
        query = read_query(UsageQuery, request)
        start, end = _range(self.tenant, query)
        total = reports.totals(tenant_id=self.tenant.pk, start=start, end=end)
        return Response(
            {
                "start": start,
                "end": end,
                "timezone": self.tenant.timezone,
                "by": query["by"],
                "total": TotalsShown(total).data,
                "results": [
                    {"group": group, **TotalsShown(totals).data}
                    for group, totals in _slices(self.tenant, query["by"], start, end)
                ],
            }
        )


class Calls(TenantView):
    """The list of calls."""

    permissions = {"GET": Permission.SEE_USAGE}

    @extend_schema(operation_id="list_calls", parameters=[CallQuery], responses=CallPage)
    def get(self, request: Request) -> Response:
        """Calls, newest first, a page at a time."""
        query = read_query(CallQuery, request)
        before = query.get("before")
        found = reports.calls(
            tenant_id=self.tenant.pk,
            only=_filter(self.tenant, query),
            before=UUID(before.removeprefix("req_") + "0" * 8) if before else None,
            most=query["limit"],
        )
        following = str(found[-1]) if len(found) == query["limit"] else None
        return Response({"results": CallShown(found, many=True).data, "next": following})


class Call(TenantView):
    """One call."""

    permissions = {"GET": Permission.SEE_USAGE}

    @extend_schema(operation_id="get_call", responses=CallDetail)
    def get(self, request: Request, call_id: str) -> Response:
        """The call with the receipt of its cost."""
        event = reports.call(tenant_id=self.tenant.pk, shown_id=call_id)
        if event is None:
            raise Http404
        receipt = reports.receipt(event)
        adjustment = None if receipt.adjustment is None else UsdField().to_representation(receipt.adjustment.cost)
        lines = ReceiptLineShown(receipt.lines, many=True).data
        variant = pricing.words(receipt.price)
        shown = {"price_version": event.price_id, "price_variant": variant, "lines": lines, "adjustment": adjustment}
        return Response({**CallShown(event).data, **shown})


def _range(tenant: Tenant, query: dict[str, Any]) -> tuple[datetime, datetime]:
    month = month_of(now(), tenant.timezone)
    start = query.get("start") or month.start
    end = query.get("end") or max(month.end or start, start)
    if not start <= end <= start + LONGEST_RANGE:
        raise ValidationError({"end": [f"The range is at most {LONGEST_RANGE.days} days, and ends after it starts."]})
    return start, end


def _slices(tenant: Tenant, by: str, start: datetime, end: datetime) -> list[tuple[str, reports.Totals]]:
    if by == "day":
        days = reports.usage_by_day(tenant_id=tenant.pk, start=start, end=end, zone=tenant.timezone)
        return [(str(day.key), day.totals) for day in days]
    rows = reports.usage_by(tenant_id=tenant.pk, dimension=DIMENSIONS[by], start=start, end=end)
    names = _names(tenant, by)
    return [(names.get(row.key, str(row.key)), row.totals) for row in rows]


def _names(tenant: Tenant, by: str) -> dict[object, str]:
    """Public ids of keys, or slugs of projects, by row id."""
    if by == "key":
        return dict(ApiKey.objects.filter(tenant=tenant).values_list("pk", "public_id"))
    if by == "project":
        return dict(Project.objects.filter(tenant=tenant).values_list("pk", "slug"))
    return {}


def _filter(tenant: Tenant, query: dict[str, Any]) -> reports.CallFilter:
    """Unknown keys and projects match nothing, whether they are another's or nobody's."""
    key = project = None
    if "key" in query:
        found = ApiKey.objects.filter(tenant=tenant, public_id=query["key"]).first()
        key = found.pk if found else 0
    if "project" in query:
        listed = Project.objects.filter(tenant=tenant, slug=query["project"]).first()
        project = listed.pk if listed else 0
    return reports.CallFilter(
        model=query.get("model"),
        project_id=project,
        api_key_id=key,
        state=query.get("state"),
        failed=query["failed"],
        start=query.get("start"),
        end=query.get("end"),
    )
