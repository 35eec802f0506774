"""What a transaction may see, and that nothing of it stays on the connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from portal import access, audit, row_scope
from portal.access import Permission
from portal.middleware import RowSecurityMiddleware
from portal.models import ApiKey, Invitation, Membership, Project, Role, Tenant, User
from portal.tenancy import as_operator, as_tenant
from tests.portal.cast import Cast


def scope() -> tuple[str, str, str]:
    """Role, tenant and user of the connection, as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, coalesce(current_setting('app.tenant_id', true), ''), "
            "coalesce(current_setting('app.user_id', true), '')"
        )
        row: tuple[str, str, str] = cursor.fetchone()
        return row


def request_of(user: User | AnonymousUser, path: str = "/") -> HttpRequest:
    request = RequestFactory().get(path)
    request.user = user
    return request


def test_a_tenant_sees_its_own_rows_only(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        assert set(Tenant.objects.values_list("pk", flat=True)) == {cast.acme.tenant.pk}
        assert not ApiKey.objects.filter(pk=cast.other.key.pk).exists()
        assert not Invitation.objects.filter(tenant=cast.other.tenant).exists()


def test_a_tenant_cannot_write_rows_of_another(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk):
        assert Project.objects.filter(tenant=cast.other.tenant).update(name="mine") == 0
        with pytest.raises(DatabaseError), transaction.atomic():
            Project.objects.create(tenant=cast.other.tenant, slug="theirs", name="Theirs")


def test_a_user_cannot_write_themselves_into_another_tenant(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk, cast.alice.pk), pytest.raises(DatabaseError), transaction.atomic():
        Membership.objects.create(tenant=cast.other.tenant, user=cast.alice, role=Role.OWNER)


def test_a_user_writes_nothing_of_their_other_tenants(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk, cast.charlie.pk):
        elsewhere = Membership.objects.filter(tenant=cast.other.tenant)
        assert elsewhere.exists()
        assert elsewhere.update(role=Role.OWNER) == 0
        assert elsewhere.delete()[0] == 0
        assert Tenant.objects.filter(pk=cast.other.tenant.pk).update(name="mine") == 0
        assert Tenant.objects.filter(pk=cast.acme.tenant.pk).update(name="Acme") == 1


def test_without_a_tenant_nothing_is_seen(cast: Cast) -> None:
    assert not Tenant.objects.exists()
    assert not ApiKey.objects.exists()


def test_a_user_sees_their_memberships_before_a_tenant_is_chosen(cast: Cast) -> None:
    seen: list[int] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.extend(access.memberships_of(request).values_list("tenant_id", flat=True))
        return HttpResponse()

    RowSecurityMiddleware(view)(request_of(cast.charlie))

    assert seen == [cast.other.tenant.pk]


def test_blocks_give_the_outer_scope_back(cast: Cast) -> None:
    before = scope()
    with as_tenant(cast.acme.tenant.pk, cast.alice.pk):
        inner = scope()
        with as_operator():
            assert scope() == ("tollgate_operator", "", "")
        assert scope() == inner == ("tollgate_portal", str(cast.acme.tenant.pk), str(cast.alice.pk))
    assert scope() == before


def test_a_block_that_fails_gives_the_outer_scope_back(cast: Cast) -> None:
    before = scope()
    with pytest.raises(ZeroDivisionError), as_operator():
        raise ZeroDivisionError
    assert scope() == before


def test_a_swallowed_database_error_inside_a_block_gives_the_outer_scope_back(cast: Cast) -> None:
    before = scope()
    with as_tenant(cast.acme.tenant.pk):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        except DatabaseError:
            pass
    assert scope() == before


@pytest.mark.django_db(transaction=True)
def test_a_connection_carries_nothing_into_the_next_request() -> None:
    user = User.objects.create_user("lone@people.test", None)
    with as_operator():
        tenant = Tenant.objects.create(slug="lone", name="Lone")

    def view(request: HttpRequest) -> HttpResponse:
        row_scope.narrow_to(tenant.pk)
        assert scope() == ("tollgate_portal", str(tenant.pk), str(user.pk))
        return HttpResponse()

    RowSecurityMiddleware(view)(request_of(user))
    assert scope() == ("tollgate_portal", "", "")

    def crash(request: HttpRequest) -> HttpResponse:
        row_scope.narrow_to(tenant.pk)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        RowSecurityMiddleware(crash)(request_of(user))
    assert scope() == ("tollgate_portal", "", "")


def test_a_stream_is_made_in_the_scope_of_its_request(cast: Cast) -> None:
    def parts() -> Iterator[bytes]:
        yield scope()[1].encode()
        yield str(ApiKey.objects.count()).encode()

    def view(request: HttpRequest) -> StreamingHttpResponse:
        access.tenant_for(request, cast.acme.tenant.slug, Permission.SEE_KEYS)
        return StreamingHttpResponse(parts())

    before = scope()
    answer = RowSecurityMiddleware(view)(request_of(cast.alice))
    assert scope() == before
    assert isinstance(answer, StreamingHttpResponse)
    first, second = list(answer)
    assert first == str(cast.acme.tenant.pk).encode()
    assert int(second) == 3
    assert scope() == before


def test_a_stream_that_is_left_gives_the_scope_back(cast: Cast) -> None:
    def view(request: HttpRequest) -> StreamingHttpResponse:
        access.tenant_for(request, cast.acme.tenant.slug, Permission.SEE_KEYS)
        return StreamingHttpResponse(iter([b"1", b"2"]))

    before = scope()
    answer = RowSecurityMiddleware(view)(request_of(cast.alice))
    assert isinstance(answer, StreamingHttpResponse)
    assert next(iter(answer)) == b"1"
    for close in answer._resource_closers:  # type: ignore[attr-defined]  # what close() does, without ending the test's connection
        close()
    assert scope() == before


def test_staff_act_as_operator_in_the_admin_and_nowhere_else(cast: Cast) -> None:
    staff = User.objects.create_superuser("staff@tollgate.test", None)
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(scope()[0])
        return HttpResponse()

    middleware = RowSecurityMiddleware(view)
    for user, path in ((staff, "/admin/"), (staff, "/"), (cast.alice, "/admin/"), (AnonymousUser(), "/admin/")):
        middleware(request_of(user, path))

    assert seen == ["tollgate_operator", "tollgate_portal", "tollgate_portal", "tollgate_portal"]


def test_a_view_that_fails_leaves_nothing_behind(cast: Cast) -> None:
    from tests.portal.cast import signed_in

    client = signed_in(cast.alice)
    address = f"/manage/api/v1/keys?tenant={cast.acme.tenant.slug}"
    answer = client.post(address, {"budget": "1" * 12, "name": "x", "window": "day"}, content_type="application/json")
    assert answer.status_code == 201
    refused = client.post(address, {"name": "y", "expires_at": "2020-01-01T00:00:00Z"}, content_type="application/json")
    assert refused.status_code == 400
    with as_operator():
        assert ApiKey.objects.filter(name="x").exists()
        assert not ApiKey.objects.filter(name="y").exists()


def test_an_act_without_a_transaction_leaves_no_audit_row() -> None:
    with pytest.raises(audit.AuditProblem):
        audit.record(tenant=None, actor=None, action="x", subject="y", now=None)  # type: ignore[arg-type]


def test_audit_rows_are_for_ever(cast: Cast) -> None:
    with as_operator(), pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE portal_auditentry SET action = 'nothing'")


def test_a_request_cannot_keep_the_database_busy(cast: Cast, settings: Any) -> None:
    settings.STATEMENT_TIMEOUT_MS = 50

    def view(request: HttpRequest) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return HttpResponse()

    with pytest.raises(OperationalError, match="statement timeout"):
        RowSecurityMiddleware(view)(request_of(cast.alice))
