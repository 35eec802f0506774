"""The people and things the page tests share: Alice owns Acme, others work there, Charlie must see nothing of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.test import Client
from django.utils.timezone import now

from billing import catalog, journal, ledger, posting
from billing.journal import Ending, Opening
from billing.meters import Usage
from billing.models import Price
from billing.pricing import rate
from billing.reports import first_id
from portal import api_keys, tenancy
from portal.api_keys import IssuedKey
from portal.models import Project, Role, Tenant, User

MODEL = "gpt-4o-mini"
DOLLAR = 10**12
SOME_USAGE = Usage(input=100, output=20)


@dataclass(frozen=True, slots=True)
class Cast:
    """Acme with a member of every role and a key; Charlie's own organisation beside it."""

    acme: Tenant
    other: Tenant
    people: dict[str, User]
    key: IssuedKey
    price: Price

    def client(self, role: str = Role.OWNER) -> Client:
        """A browser signed in as Acme's member of this role, or as ``stranger``, who owns the other organisation."""
        client = Client()
        client.force_login(self.people[role], backend="django.contrib.auth.backends.ModelBackend")
        return client

    def url(self, path: str = "") -> str:
        """An address in Acme."""
        return f"/t/{self.acme.slug}/{path}"

    def call(self, *, usage: Usage = SOME_USAGE, at: datetime | None = None, **ended: object) -> str:
        """A settled call, or with ``state="voided"`` a failed one; its id as people see it."""
        moment = at or now()
        event_id = UUID(int=first_id(moment).int | secrets.randbits(40) << 32)
        with tenancy.as_operator():
            allowances = journal.live_allowances(tenant_id=self.acme.pk, now=now())
            wallet = tuple(row.pk for row in allowances if row.budget_id is None)
            opening = Opening(
                id=event_id,
                tenant_id=self.acme.pk,
                project_id=self.key.key.project_id,
                api_key_id=self.key.key.pk,
                model=MODEL,
                price_id=self.price.pk,
                opened_at=moment,
                deadline_at=moment + timedelta(minutes=10),
                hold=DOLLAR,
                allowances=wallet,
                requested_model=MODEL,
            )
            owner = uuid4()
            journal.beat(owner)
            assert not journal.open_usage(owner, [opening])
            if ended.get("state") != "open":
                journal.settle_usage([self._ending(event_id, usage, ended)])
            posting.post_everything(now=now())
        return f"req_{event_id.hex[:24]}"

    def _ending(self, event_id: UUID, usage: Usage, ended: dict[str, object]) -> Ending:
        if ended.get("state") == "voided":
            return Ending(event_id, self.acme.pk, basis=None, **ended)  # type: ignore[arg-type]
        cost = rate(usage, catalog.version_of(self.price))
        return Ending(event_id, self.acme.pk, usage, cost, upstream="sandbox", **ended)  # type: ignore[arg-type]


def make() -> Cast:
    """Everything, as the operator."""
    moment = now()
    with tenancy.as_operator():
        people = {role: _person(f"{role}@acme.example") for role in Role.values}
        people["stranger"] = _person("charlie@other.example")
        acme, other = _tenant("acme", people[Role.OWNER]), _tenant("other", people["stranger"])
        for role in (Role.ADMIN, Role.DEVELOPER, Role.FINANCE):
            tenancy.add_member(tenant=acme, user=people[role], role=role, actor=people[Role.OWNER], now=moment)
        ledger.top_up(tenant=acme, amount=100 * DOLLAR, key="first", now=moment)
        price = catalog.publish(
            book=catalog.default_book(),
            model=MODEL,
            prices={"input": 150_000, "cache_read": 75_000, "output": 600_000},
            effective_from=moment,
            now=moment,
        )
        assert price
        project = Project.objects.get(tenant=acme)
        key = api_keys.issue(
            project=project, name="Chatbot", limits=api_keys.NO_LIMITS, actor=people[Role.OWNER], now=moment
        )
    return Cast(acme, other, people, key, price)


def _person(email: str) -> User:
    return User.objects.create_user(email)  # without a password: hashing one is slow on purpose


def _tenant(slug: str, owner: User) -> Tenant:
    return tenancy.create_tenant(
        slug=slug, name=slug.title(), timezone="Europe/Paris", owner=owner, mode="prepaid", credit_limit=0, now=now()
    )
