"""What every endpoint shares: the caller's tenant, from the API token or named by ``?tenant=slug``."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from portal import access
from portal.access import Permission
from portal.models import ApiToken, Tenant, User


class TenantView(APIView):
    """An endpoint of one tenant. ``permissions`` says what each method needs; one that is not named is refused."""

    permissions: ClassVar[dict[str, Permission]] = {}
    tenant: Tenant

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """After authentication: resolve the tenant, and open its rows to this request."""
        super().initial(request, *args, **kwargs)
        needed = self.permissions.get("GET" if request.method == "HEAD" else str(request.method))
        if request.method == "OPTIONS":
            needed = Permission.VIEW
        if needed is None:
            self.http_method_not_allowed(request)
            raise PermissionDenied
        self.tenant = _tenant(request, needed)

    @property
    def actor(self) -> User:
        """Who acts, for the audit."""
        user = self.request.user
        if not isinstance(user, User):
            raise PermissionDenied
        return user


def _tenant(request: Request, permission: Permission) -> Tenant:
    slug = request.query_params.get("tenant")
    if isinstance(request.auth, ApiToken):
        membership = request.auth.membership
        if slug is not None and slug != membership.tenant.slug:
            raise Http404
        return access.tenant_for_member(request._request, membership, permission)
    if slug is None:
        own = list(access.memberships_of(request._request)[:2])
        if len(own) != 1:
            raise ValidationError({"tenant": ["Name the organisation: ?tenant=slug."]})
        slug = own[0].tenant.slug
    return access.tenant_for(request._request, slug, permission)
