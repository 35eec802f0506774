"""What the gateway knows, in memory: who may call, what is sold, where it goes. Immutable values; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from billing.pricing import PriceList, PriceVersion
from proxy import rules as rulebook
from proxy.factors import UNLEARNED, Factors

CHAT_ONLY = frozenset({"chat"})
NO_RULES: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LimitName:
    """How a refusal names an allowance: scope (tenant, project, api_key, wallet), window and when it resets."""

    scope: str
    name: str
    resets_at: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which one set of allowances applies: ``literal`` is it as a PostgreSQL array."""

    start: datetime
    end: datetime | None
    literal: str
    names: Mapping[int, LimitName]


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of one scope; ``scope`` and ``key`` name its buckets. None is no limit."""

    scope: str
    key: str
    requests: int | None
    tokens: int | None
    concurrency: int | None
    written: tuple[str, int, int, int] = field(init=False, compare=False)
    """As the script in Redis reads them; 0 is no limit."""

    def __post_init__(self) -> None:
        """Write them once, where they are loaded, not for every call."""
        written = (self.key, self.requests or 0, self.tokens or 0, self.concurrency or 0)
        object.__setattr__(self, "written", written)


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What one API key may do. ``models`` holds names of models, aliases resolved; None is every model."""

    tenant_id: int
    project_id: int
    api_key_id: int
    public_id: str
    expires_at: datetime | None
    models: frozenset[str] | None
    rates: tuple[Rates, ...]
    spans: tuple[Span, ...]
    book_id: int | None
    drain: bool
    revoked: bool = False
    cut_streams: bool = False
    scopes: list[tuple[str, int, int, int]] = field(init=False, compare=False)
    """The rates as the script in Redis reads them."""

    def __post_init__(self) -> None:
        """Write the rates once, where they are loaded, not for every call."""
        object.__setattr__(self, "scopes", [rate.written for rate in self.rates])

    def span_at(self, now: datetime) -> Span | None:
        """The allowances that apply at ``now``; None when their windows have not been made: then refuse."""
        for span in self.spans:
            if span.start <= now and (span.end is None or now < span.end):
                return span
        return None


@dataclass(frozen=True, slots=True)
class Credential:
    """An upstream's API key. ``headers`` are all that go with a call, the secret among them; ``id`` 0 has no secret.

    ``mark`` is another one when the secret is: what was held against the old one does not follow the new one.
    """

    id: int
    last_four: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    mark: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream as the gateway calls it. ``headers`` hold its first credential; they leave this process to it alone.

    ``credentials`` are all it has, at least one: without any, calls go out with ``headers`` as they are.
    """

    id: int
    name: str
    dialect: str
    base_url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    rules: Mapping[str, Any]
    connect_timeout_s: int
    first_byte_timeout_s: int
    idle_timeout_s: int
    total_timeout_s: int
    drain: bool | None
    credentials: tuple[Credential, ...] = ()

    def __post_init__(self) -> None:
        if not self.credentials:
            object.__setattr__(self, "credentials", (Credential(0, "", self.headers),))


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a model: the upstream, and the model's name there. ``dialect`` is how it is spoken to."""

    id: int
    target: Target
    upstream_model: str
    priority: int
    weight: int
    rules: Mapping[str, Any] = field(default_factory=lambda: NO_RULES)
    dialect: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Say it once, where it is loaded, not for every call."""
        object.__setattr__(self, "dialect", rulebook.spoken(self.target.dialect, self.rules))


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model we sell: limits in tokens, routes by priority, price lists by book (None is the default book).

    ``factors`` are what was learned of its tokens; ``tokenizer`` is the vocabulary they are of, where it is known.
    """

    name: str
    created: int
    context_window: int
    max_output_tokens: int
    capabilities: Mapping[str, Any]
    aliases: tuple[str, ...]
    routes: tuple[Route, ...]
    prices: Mapping[int | None, PriceList]
    operations: frozenset[str] = CHAT_ONLY
    fallbacks: tuple[str, ...] = ()
    factors: Factors = UNLEARNED
    tokenizer: str = ""
    longest_s: int = field(init=False)
    """How long the slowest route may take in all."""

    def __post_init__(self) -> None:
        """Look at the routes once, where they are loaded, not for every call."""
        longest = max((route.target.total_timeout_s for route in self.routes), default=1)
        object.__setattr__(self, "longest_s", longest)

    def price_at(self, moment: datetime, book_id: int | None) -> PriceVersion | None:
        """The tenant's own price for this model where its book has one in force, else the default one, else None.

        Prices agreed for later do not take the default ones away until then.
        """
        own = self.prices.get(book_id) if book_id is not None else None
        price = own.at(moment) if own is not None else None
        if price is None and (default := self.prices.get(None)) is not None:
            price = default.at(moment)
        return price


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that is sold, by every name it has."""

    models: Mapping[str, ModelEntry]
    names: Mapping[str, str]

    def find(self, name: str) -> ModelEntry | None:
        """The model of a name or alias, exactly as written."""
        entry = self.models.get(name)
        if entry is None and (canonical := self.names.get(name)) is not None:
            entry = self.models.get(canonical)
        return entry


EMPTY_CATALOG = Catalog(MappingProxyType({}), MappingProxyType({}))


class Directory:
    """The current snapshot. Only the loader replaces its parts; ``fresh`` is false until loaded, or out of touch."""

    __slots__ = ("_by_tenant", "catalog", "fresh", "grants")

    def __init__(self) -> None:
        self.catalog = EMPTY_CATALOG
        self.grants: dict[bytes, KeyGrant] = {}
        self.fresh = False
        self._by_tenant: dict[int, dict[bytes, KeyGrant]] = {}

    def replace_tenant(self, tenant_id: int, grants: dict[bytes, KeyGrant]) -> dict[bytes, KeyGrant]:
        """Swap in the grants of one tenant; returns those it had before."""
        before = self._by_tenant.pop(tenant_id, {})
        for digest in before.keys() - grants.keys():
            self.grants.pop(digest, None)
        self.grants.update(grants)
        if grants:
            self._by_tenant[tenant_id] = grants
        return before

    def tenants(self) -> list[int]:
        """The tenants that have a working key."""
        return list(self._by_tenant)
