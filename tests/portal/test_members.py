"""Members, roles and invitations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from portal import tenancy
from portal.models import ApiToken, AuditEntry, Membership, Project, Role
from portal.tenancy import TenancyProblem, as_operator, as_tenant
from tests.portal.cast import Cast, person


def membership(cast: Cast, role: str) -> Membership:
    return Membership.objects.get(tenant=cast.acme.tenant, user=cast.people[role])


def test_a_new_tenant_has_an_owner_a_wallet_and_a_project(cast: Cast) -> None:
    owner = person("founder@new.test")
    tenant = tenancy.create_tenant(
        slug="brand-new", name="New", timezone="Asia/Kolkata", owner=owner, mode="prepaid", credit_limit=0, now=now()
    )  # fmt: skip
    with as_tenant(tenant.pk):
        assert Membership.objects.get(tenant=tenant).role == Role.OWNER
        assert Project.objects.get(tenant=tenant).slug == "default"
        assert AuditEntry.objects.get(tenant=tenant).action == "tenant.create"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slug": "Not A Slug"}, "cannot be used"),
        ({"slug": "-x"}, "cannot be used"),
        ({"name": " "}, "name"),
        ({"timezone": "Mars/Olympus"}, "time zone"),
        ({"mode": "free"}, "prepaid or postpaid"),
        ({"mode": "prepaid", "credit_limit": 1}, "postpaid"),
    ],
)
def test_it_refuses_tenants_that_cannot_be(cast: Cast, changes: dict[str, object], said: str) -> None:
    wanted = {"slug": "ok", "name": "Ok", "timezone": "UTC", "mode": "postpaid", "credit_limit": 0} | changes
    with pytest.raises(TenancyProblem, match=said):
        tenancy.create_tenant(**wanted, owner=None, now=now())  # type: ignore[arg-type]


def test_it_refuses_a_slug_that_is_taken(cast: Cast) -> None:
    with pytest.raises(TenancyProblem, match="taken"):
        tenancy.create_tenant(
            slug=cast.acme.tenant.slug, name="x", timezone="UTC", owner=None, mode="prepaid", credit_limit=0, now=now()
        )  # fmt: skip
    assert tenancy.free_slug(cast.acme.tenant.slug) == f"{cast.acme.tenant.slug}-2"


def test_an_invitation_is_accepted_once_by_its_addressee(cast: Cast) -> None:
    moment = now()
    guest = person("guest@people.test")
    with as_tenant(cast.acme.tenant.pk, cast.alice.pk):
        offer = tenancy.invite(
            tenant=cast.acme.tenant, email="Guest@People.test", role=Role.FINANCE, actor=cast.alice, now=moment
        )
    with pytest.raises(TenancyProblem, match="not for you"):
        tenancy.accept_invitation(token=offer.token, user=cast.charlie, now=moment)
    assert tenancy.accept_invitation(token=offer.token, user=guest, now=moment).role == Role.FINANCE
    with pytest.raises(TenancyProblem, match="used"):
        tenancy.accept_invitation(token=offer.token, user=guest, now=moment)


def test_an_invitation_ends(cast: Cast) -> None:
    moment = now()
    guest = person("guest@people.test")
    with as_tenant(cast.acme.tenant.pk, cast.alice.pk):
        first, second = (
            tenancy.invite(
                tenant=cast.acme.tenant, email=guest.email, role=Role.DEVELOPER, actor=cast.alice, now=moment
            )
            for _ in range(2)
        )
    for token, at in ((first.token, moment), (second.token, moment + timedelta(days=7)), ("\0nonsense", moment)):
        with pytest.raises(TenancyProblem):
            tenancy.accept_invitation(token=token, user=guest, now=at)


def test_only_owners_make_owners(cast: Cast) -> None:
    admin, developer = cast.people[Role.ADMIN], Role.DEVELOPER
    with as_tenant(cast.acme.tenant.pk, admin.pk):
        with pytest.raises(TenancyProblem, match="Only an owner"):
            tenancy.change_role(membership=membership(cast, developer), role=Role.OWNER, actor=admin, now=now())
        with pytest.raises(TenancyProblem, match="Only an owner"):
            tenancy.invite(tenant=cast.acme.tenant, email="a@b.test", role=Role.OWNER, actor=admin, now=now())
        with pytest.raises(TenancyProblem, match="Only an owner"):
            tenancy.remove_member(membership=membership(cast, Role.OWNER), actor=admin, now=now())


def test_the_last_owner_stays(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk, cast.alice.pk):
        own = membership(cast, Role.OWNER)
        with pytest.raises(TenancyProblem, match="needs an owner"):
            tenancy.remove_member(membership=own, actor=cast.alice, now=now())
        with pytest.raises(TenancyProblem, match="needs an owner"):
            tenancy.change_role(membership=own, role=Role.ADMIN, actor=cast.alice, now=now())


def test_removing_a_member_ends_their_tokens(cast: Cast) -> None:
    with as_tenant(cast.acme.tenant.pk, cast.alice.pk):
        tenancy.change_role(membership=membership(cast, Role.ADMIN), role=Role.OWNER, actor=cast.alice, now=now())
        tenancy.remove_member(membership=membership(cast, Role.OWNER), actor=cast.alice, now=now())
    with as_operator():
        assert not ApiToken.objects.filter(pk=cast.acme.token_id).exists()
