"""The cast: Alice owns an organisation, Ada administers it, Bob develops, Fin pays; Charlie owns another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.test import Client
from django.utils.timezone import now

from billing import invoices, payments
from billing.meters import Usage
from billing.models import ExportJob
from billing.webhooks import endpoints
from billing.webhooks.endpoints import Wish
from portal import api_keys, api_tokens, tenancy
from portal.models import ApiKey, Membership, Project, Role, Tenant, User
from portal.tenancy import as_operator, as_tenant
from tests.billing.world import World

BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(slots=True)
class House:
    """One organisation with one of everything that has an address."""

    world: World
    tenant: Tenant
    project: Project
    key: ApiKey
    key_text: str
    call_id: str
    invoice_id: int
    payment_id: int
    invitation_id: int
    membership: Membership
    webhook_id: str
    delivery_id: int
    export_id: int
    token_id: int
    token_text: str


@dataclass(slots=True)
class Cast:
    """Everybody, by role, and the two organisations."""

    acme: House
    other: House
    people: dict[str, User]
    charlie: User

    @property
    def alice(self) -> User:
        """The owner of acme."""
        return self.people[Role.OWNER]


def person(email: str, **more: object) -> User:
    """A user without a password: hashing one takes longer than most tests."""
    return User.objects.create_user(email, None, **more)


def signed_in(user: User, *, enforce_csrf_checks: bool = False) -> Client:
    """A browser with a session of this user."""
    client = Client(SERVER_NAME="localhost", enforce_csrf_checks=enforce_csrf_checks)
    client.force_login(user, backend=BACKEND)
    return client


def make_cast() -> Cast:
    """All of them, in the current transaction."""
    people = {role: person(f"{role}@acme.test") for role in Role.values}
    charlie = person("charlie@other.test")
    acme, other = house(people[Role.OWNER]), house(charlie)
    with as_operator():
        for role, user in people.items():
            if role != Role.OWNER:
                tenancy.add_member(tenant=acme.tenant, user=user, role=role, actor=None, now=now())
    return Cast(acme, other, people, charlie)


def house(owner: User) -> House:
    """An organisation with a key, a settled call, a draft invoice, an invitation and an API token."""
    world = World()
    tenant = world.tenant
    opening = world.use(Usage(input=1000, output=100))
    world.post()
    moment = now()
    with as_operator():
        membership = tenancy.add_member(tenant=tenant, user=owner, role=Role.OWNER, actor=None, now=moment)
        invoice = invoices.draft(tenant=tenant, month="2027-03", now=world.clock)
        export = ExportJob.objects.create(
            tenant=tenant, kind="calls", file="csv", first="2027-03", last="2027-03", state="done", sha256="0" * 64,
            expires_at=moment + timedelta(days=7),
        )  # fmt: skip
        payment = payments.ask(tenant=tenant, ask=payments.Ask(500, "USD", "card"), now=moment)
        wish = Wish("https://hooks.invalid/tollgate", ("invoice.paid",))
        webhook = endpoints.add(tenant_id=tenant.pk, wish=wish, now=moment).endpoint
        test = endpoints.send_test(endpoint=webhook, now=moment)
        delivery = test.deliveries.get()
    with as_tenant(tenant.pk, owner.pk):
        issued = api_keys.issue(project=world.project, name="Web", limits=api_keys.NO_LIMITS, actor=owner, now=moment)
        offer = tenancy.invite(tenant=tenant, email="new@people.test", role=Role.DEVELOPER, actor=owner, now=moment)
        token = api_tokens.make_token(
            membership=membership, name="CI", expires_at=moment + timedelta(days=1), now=moment
        )
    return House(
        world=world,
        tenant=tenant,
        project=world.project,
        key=issued.key,
        key_text=issued.text,
        call_id=f"req_{opening.id.hex[:24]}",
        invoice_id=invoice.pk,
        payment_id=payment.pk,
        invitation_id=offer.invitation.pk,
        membership=membership,
        webhook_id=webhook.pk,
        delivery_id=delivery.pk,
        export_id=export.pk,
        token_id=token.token.pk,
        token_text=token.text,
    )
