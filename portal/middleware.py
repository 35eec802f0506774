"""Row-level security for each web request: which rows its transaction may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from allauth.core.exceptions import ImmediateHttpResponse, ReauthenticationRequired
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from portal.models import User
from portal.row_scope import OPERATOR, PORTAL, RowScope, entered, limit_statements

#: Refusals whose page may still ask the database something; ATOMIC_REQUESTS has undone what the view wrote.
_REFUSALS = (
    Http404,
    PermissionDenied,
    SuspiciousOperation,
    BadRequest,
    ImmediateHttpResponse,
    ReauthenticationRequired,
)


class RowSecurityMiddleware:
    """Runs each request in one transaction as the portal role, for the signed-in user.

    ``portal/access.py`` narrows that transaction to a tenant. Under ``/admin/`` staff act as the operator, who sees
    every row; anyone else there acts as the portal, as everywhere. All settings end with the transaction, so a
    connection never carries a tenant into the next request. The view itself runs in a savepoint (ATOMIC_REQUESTS):
    if it fails, its writes are undone, and the error page still has a usable transaction.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in settings.PATHS_WITHOUT_DATABASE:
            return self.get_response(request)
        scope = _scope_of(request)
        with entered(scope):
            limit_statements(settings.STATEMENT_TIMEOUT_MS)
            response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            _stream_in_scope(response, _narrowed(scope, request))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A crash undoes the whole transaction, also what rendering wrote after the view."""
        if transaction.get_connection().in_atomic_block and not isinstance(exception, _REFUSALS):
            transaction.set_rollback(True)
        return None


def _scope_of(request: HttpRequest) -> RowScope:
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return RowScope(PORTAL)
    if user.is_staff and request.path_info.startswith(settings.ADMIN_PATH):
        return RowScope(OPERATOR, user_id=user.pk)
    return RowScope(PORTAL, user_id=user.pk)


def _narrowed(scope: RowScope, request: HttpRequest) -> RowScope:
    """The scope with the tenant the request resolved, for the part that is made after the view has returned."""
    tenant = getattr(request, "tenant", None)
    if scope.role != PORTAL or tenant is None:
        return scope
    return RowScope(PORTAL, tenant_id=tenant.pk, user_id=scope.user_id)


def _stream_in_scope(response: StreamingHttpResponse, scope: RowScope) -> None:
    """Streamed content is made after the request's transaction has ended: give it one of its own, the same."""
    content: Iterable[bytes] = response.streaming_content  # type: ignore[assignment]

    def parts() -> Iterator[bytes]:
        with entered(scope):
            limit_statements(settings.STATEMENT_TIMEOUT_MS)
            yield from content

    response.streaming_content = parts()


class AdminPolicyMiddleware:
    """Widens the Content-Security-Policy by what Unfold needs, under ``/admin/`` only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith(settings.ADMIN_PATH):
            response._csp_update = settings.ADMIN_CONTENT_SECURITY_POLICY  # type: ignore[attr-defined]
        return response
