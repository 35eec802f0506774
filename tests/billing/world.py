"""A small business to test billing with: tenants that pay, a priced model, and calls made as the gateway's role."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from billing import budgets, catalog, journal, ledger, posting
from billing.catalog import VariantPrices
from billing.journal import Ending, Opening, Refusal
from billing.meters import Usage
from billing.models import Allowance, Budget, Price, UsageEvent
from billing.pricing import PriceVersion, rate
from portal.models import ApiKey, Project, Tenant
from portal.row_scope import RowScope, entered
from portal.tenancy import as_operator, create_tenant

USD = 10**12
START = datetime(2027, 3, 10, 12, 0, tzinfo=UTC)
MODEL = "swift-1"
ROLES = ("none", "tollgate_operator", "tollgate_portal", "tollgate_gateway")
PRICES = {"input": 150_000, "cache_read": 75_000, "output": 600_000, "reasoning": 900_000}

_serial = itertools.count(random.SystemRandom().randrange(10**9))


def as_gateway() -> AbstractContextManager[None]:
    """An atomic block in the role the gateway connects as."""
    return entered(RowScope("tollgate_gateway"))


def as_role(role: str) -> AbstractContextManager[None]:
    """An atomic block in one of ``ROLES``; ``none`` is the owner of the tables."""
    return entered(RowScope(role))


def run(statement: str, *values: Any) -> int:
    """Run one statement in the current role; returns how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        return int(cursor.rowcount)


def new_id(moment: datetime) -> UUID:
    """A request id of a moment: UUIDv7 with 32 zero bits, as the gateway makes them."""
    milliseconds = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
    count = next(_serial)
    return UUID(f"{milliseconds:012x}7{(count >> 30) & 0xFFF:03x}{0x80000000 | (count & 0x3FFFFFFF):08x}00000000")


class World:
    """One tenant with a project, two keys and a price; ``clock`` is what it calls now."""

    def __init__(
        self,
        *,
        mode: str = "postpaid",
        credit: int = 100 * USD,
        zone: str = "Europe/Paris",
        prices: dict[str, int] | None = None,
    ) -> None:
        self.clock = START
        self.owner = UUID(int=random.SystemRandom().getrandbits(128))
        self.model = f"{MODEL}-{next(_serial)}"
        slug = f"tenant-{next(_serial)}"
        with as_operator():
            journal.ensure_partitions(now=self.clock)
            postpaid = mode == "postpaid"
            self.tenant: Tenant = create_tenant(
                slug=slug, name=slug.title(), timezone=zone, owner=None, mode=mode,
                credit_limit=credit if postpaid else 0, now=self.clock,
            )  # fmt: skip
            if not postpaid and credit:
                ledger.top_up(tenant=self.tenant, amount=credit, key="first", now=self.clock)
            self.project = Project.objects.get(tenant=self.tenant)
            self.keys = [self._new_key(number) for number in range(2)]
        self.price = self.publish(prices or PRICES)

    def _new_key(self, number: int) -> ApiKey:
        public_id = f"{next(_serial):012d}"[-12:]
        return ApiKey.objects.create(
            tenant=self.tenant, project=self.project, name=f"key {number}", public_id=public_id,
            digest=public_id.encode().ljust(32, b"."), last_four="abcd", created_at=self.clock,
        )  # fmt: skip

    # -- what the control plane does

    def publish(
        self, prices: dict[str, int], effective_from: datetime | None = None, variants: Sequence[VariantPrices] = ()
    ) -> PriceVersion:
        """A price of the model from now or later; returns the version in force then, with what long calls come to."""
        with as_operator():
            book = catalog.default_book()
            moment = effective_from or self.clock
            made = catalog.publish(
                book=book, model=self.model, prices=prices, effective_from=moment, now=self.clock, variants=variants
            )
            row = made or Price.objects.filter(book=book, model=self.model, variant="").latest("effective_from")
            return catalog.versions_by_id([row.pk])[row.pk]

    def set_budget(self, limit: int, *, window: str = "month", scope: str = "tenant") -> Budget:
        """A budget of the tenant, its project or its first key."""
        scope_id = {"tenant": self.tenant.id, "project": self.project.pk, "api_key": self.keys[0].pk}[scope]
        with as_operator():
            return budgets.set_budget(
                tenant=self.tenant, scope=scope, scope_id=scope_id, window=window, limit=limit, now=self.clock
            )

    def allowances(self, key: ApiKey | None = None) -> tuple[int, ...]:
        """What a call of a key must fit in now."""
        key = key or self.keys[0]
        mine = {"tenant": self.tenant.id, "project": key.project_id, "api_key": key.pk}
        with as_operator():
            rows = journal.live_allowances(tenant_id=self.tenant.id, now=self.clock)
        return tuple(row.pk for row in rows if row.budget is None or mine[row.budget.scope] == row.budget.scope_id)

    # -- what the gateway does

    def opening(self, hold: int = USD, *, key: ApiKey | None = None, at: datetime | None = None) -> Opening:
        """A call with a ceiling, not admitted yet."""
        moment, key = at or self.clock, key or self.keys[0]
        return Opening(
            new_id(moment), self.tenant.id, key.project_id, key.pk, self.model, self.price.id, moment,
            moment + timedelta(minutes=10), hold, self.allowances(key), input_estimate=100, requested_model=self.model,
        )  # fmt: skip

    def open(self, openings: Sequence[Opening]) -> list[Refusal]:
        """Admit a batch, as the gateway."""
        with as_gateway():
            return journal.open_usage(self.owner, openings)

    def ending(self, opening: Opening, usage: Usage, price: PriceVersion | None = None) -> Ending:
        """The exact ending of a call."""
        return Ending(opening.id, opening.tenant_id, usage, rate(usage, price or self.price), finish_reason="stop")

    def settle(self, endings: Sequence[Ending]) -> int:
        """End a batch, as the gateway."""
        with as_gateway():
            return journal.settle_usage(endings)

    def use(self, usage: Usage, *, at: datetime | None = None, key: ApiKey | None = None) -> Opening:
        """One call, admitted and settled."""
        opening = self.opening(rate(usage, self.price), key=key, at=at)
        assert self.open([opening]) == []
        assert self.settle([self.ending(opening, usage)]) == 1
        return opening

    def sweep(self) -> int:
        """The sweep as if every gateway had been dead for a minute."""
        with as_operator():
            return journal.sweep(now=max(self.clock, journal.database_now()) + timedelta(minutes=20))

    def post(self) -> int:
        """Post everything settled of this tenant."""
        with as_operator():
            return posting.post_everything(now=self.clock, tenant_id=self.tenant.id)

    # -- what can be seen

    def event(self, opening: Opening) -> UsageEvent:
        """The row of a call."""
        with as_operator():
            return UsageEvent.objects.get(tenant_id=opening.tenant_id, id=opening.id)

    def wallet(self) -> Allowance:
        """The running row of the wallet."""
        with as_operator():
            return Allowance.objects.get(tenant=self.tenant, kind=Allowance.Kind.WALLET)

    def balance(self, kind: str) -> int:
        """The ledger's balance of one of the tenant's accounts, or its part of a house account."""
        with as_operator():
            return ledger.balance(tenant_id=self.tenant.id, kind=kind)
