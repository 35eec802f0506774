"""API keys: list, make, look at, rotate, revoke."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Budget
from billing.reports import limits as running_limits
from portal import api_keys, tenancy
from portal.access import Permission, api_key_for
from portal.api.fields import UsdField
from portal.api.strict import StrictSerializer, read_body, read_query
from portal.api.tenant_view import TenantView
from portal.models import ApiKey, Project, Quota
from portal.quotas import MOST, QuotaProblem

RATES = ("requests_per_minute", "tokens_per_minute", "concurrency")


class KeyShown(serializers.Serializer[Any]):
    """A key as everyone who may see keys sees it. ``id`` is the 12 characters after ``sk-tg-``."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    project = serializers.CharField(source="project.slug")
    last_four = serializers.CharField()
    models = serializers.ListField(source="allowed_models", child=serializers.CharField(), allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class KeyLimitShown(serializers.Serializer[Any]):
    """A budget of the key in its running window."""

    window = serializers.CharField()
    limit = UsdField()
    spent = UsdField()
    held = UsdField()
    resets_at = serializers.DateTimeField(source="ends_at", allow_null=True)


class KeyDetail(KeyShown):
    """A key with its rates and budgets."""

    requests_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_minute = serializers.IntegerField(allow_null=True)
    concurrency = serializers.IntegerField(allow_null=True)
    budgets = KeyLimitShown(many=True)


class KeyIssued(KeyShown):
    """A new key with its text, shown this once."""

    key = serializers.CharField()


class KeyPage(serializers.Serializer[Any]):
    """``next`` is the ``before`` of the next page, or null."""

    results = KeyShown(many=True)
    next = serializers.CharField(allow_null=True)


class KeyQuery(StrictSerializer):
    """Which keys to list."""

    before = serializers.CharField(required=False, max_length=12)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)


class NewKey(StrictSerializer):
    """A key to make. What is left out is not limited."""

    name = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    project = serializers.SlugField(max_length=63, required=False, default=tenancy.DEFAULT_PROJECT)
    models = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        allow_null=True,
        default=None,
        allow_empty=False,
        max_length=api_keys.MOST_MODELS,
    )
    requests_per_minute = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)
    tokens_per_minute = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)
    concurrency = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)
    budget = UsdField(required=False, allow_null=True)
    window = serializers.ChoiceField(choices=Budget.Window.values, required=False, default="month")
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class Revocation(StrictSerializer):
    """``cut_streams`` also ends answers that are being streamed."""

    cut_streams = serializers.BooleanField(required=False, default=False)


class Rotation(StrictSerializer):
    """For how long the old key goes on."""

    overlap_hours = serializers.IntegerField(min_value=0, max_value=90 * 24, required=False, default=24)


class Keys(TenantView):
    """All keys of the organisation."""

    permissions = {"GET": Permission.SEE_KEYS, "POST": Permission.MANAGE_KEYS}

    @extend_schema(operation_id="list_keys", parameters=[KeyQuery], responses=KeyPage)
    def get(self, request: Request) -> Response:
        """Keys, newest first."""
        query = read_query(KeyQuery, request)
        rows = ApiKey.objects.filter(tenant=self.tenant).select_related("project").order_by("-pk")
        if "before" in query:
            rows = rows.filter(pk__lt=api_key_for(self.tenant, query["before"]).pk)
        found = list(rows[: query["limit"] + 1])
        page = found[: query["limit"]]
        following = page[-1].public_id if len(found) > len(page) else None
        return Response({"results": KeyShown(page, many=True).data, "next": following})

    @extend_schema(operation_id="make_key", request=NewKey, responses={201: KeyIssued})
    def post(self, request: Request) -> Response:
        """Make a key. Its text is in this answer and nowhere else."""
        values = read_body(NewKey, request)
        project = Project.objects.filter(tenant=self.tenant, slug=values["project"]).select_related("tenant").first()
        if project is None:
            raise ValidationError({"project": ["There is no such project."]})
        limits = api_keys.KeyLimits(
            models=None if values["models"] is None else tuple(values["models"]),
            **{name: values.get(name) for name in (*RATES, "budget", "expires_at")},
            window=values["window"],
        )
        try:
            issued = api_keys.issue(project=project, name=values["name"], limits=limits, actor=self.actor, now=now())
        except (api_keys.KeyProblem, QuotaProblem) as problem:
            raise ValidationError({"detail": [str(problem)]}) from None
        return _issued(issued)


class Key(TenantView):
    """One key."""

    permissions = {"GET": Permission.SEE_KEYS}

    @extend_schema(operation_id="get_key", responses=KeyDetail)
    def get(self, request: Request, public_id: str) -> Response:
        """The key with its limits, and what is spent and held of its budgets."""
        key = api_key_for(self.tenant, public_id)
        return Response(_detail(key))


class KeyRevocation(TenantView):
    """Ends a key."""

    permissions = {"POST": Permission.MANAGE_KEYS}

    @extend_schema(operation_id="revoke_key", request=Revocation, responses=KeyShown)
    def post(self, request: Request, public_id: str) -> Response:
        """Refuse the key within a second. Revoking twice is no error."""
        key = api_key_for(self.tenant, public_id)
        values = read_body(Revocation, request)
        api_keys.revoke(key=key, actor=self.actor, now=now(), cut_streams=values["cut_streams"])
        return Response(KeyShown(key).data)


class KeyRotation(TenantView):
    """Replaces a key."""

    permissions = {"POST": Permission.MANAGE_KEYS}

    @extend_schema(operation_id="rotate_key", request=Rotation, responses={201: KeyIssued})
    def post(self, request: Request, public_id: str) -> Response:
        """A new key with the same limits, which both share until the old one ends."""
        key = api_key_for(self.tenant, public_id)
        overlap = timedelta(hours=read_body(Rotation, request)["overlap_hours"])
        try:
            issued = api_keys.rotate(key=key, actor=self.actor, overlap=overlap, now=now())
        except api_keys.KeyProblem as problem:
            raise ValidationError({"detail": [str(problem)]}) from None
        return _issued(issued)


def _issued(issued: api_keys.IssuedKey) -> Response:
    answer = Response({**KeyShown(issued.key).data, "key": issued.text}, status=201)
    answer["Cache-Control"] = "no-store"
    return answer


def _detail(key: ApiKey) -> dict[str, Any]:
    holder = api_keys.limits_holder(key)
    quota = Quota.objects.filter(tenant=key.tenant, api_key_id=holder).first()
    mine = [
        limit
        for limit in running_limits(tenant_id=key.tenant_id, now=now())
        if limit.scope == Budget.Scope.API_KEY and limit.scope_id == holder
    ]
    rates = {name: getattr(quota, name, None) for name in RATES}
    return {**KeyShown(key).data, **rates, "budgets": KeyLimitShown(mine, many=True).data}
