"""The document that ``manage.py apply`` takes: TOML to typed values, read strictly and as a whole. Pure.

A field that is not there leaves what is stored as it is; a list that is there (aliases, routes, credentials) is the
whole list.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from billing import price_conditions
from billing.meters import SURCHARGES, TOKEN_CLASSES
from billing.price_conditions import ConditionProblem, Conditions
from billing.pricing import Window
from proxy import rules
from proxy.apply.fields import Fields, Problems

T = TypeVar("T")
SLUG = re.compile(r"\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
MODEL = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}\Z")
UPSTREAM = re.compile(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")
CREDENTIAL = re.compile(r"\A[a-z0-9][a-z0-9-]{0,59}\Z")
VARIABLE = re.compile(r"\A[A-Z_][A-Z0-9_]{0,99}\Z")
SAY_SLUG = "must have a–z, 0–9 and hyphens, at most 63"
SAY_MODEL = "must have letters, digits and . _ : @ / + -, at most 200"
MOST_TOKENS = 2**31 - 1


class DocumentProblem(Exception):
    """A document that cannot be applied; ``lines`` name file, table and field of everything that is wrong."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class CredentialPart:
    """One of an upstream's ``credentials``: its secret, or the variable that holds it; else the stored one stays."""

    name: str
    api_key: str | None = field(repr=False)
    api_key_env: str | None
    is_active: bool | None


@dataclass(frozen=True, slots=True)
class UpstreamPart:
    """``[[upstreams]]``. ``api_key`` or ``api_key_env`` are the default credential; ``settings`` are plain columns."""

    name: str
    dialect: str | None
    base_url: str | None
    api_key: str | None = field(repr=False)
    api_key_env: str | None
    settings: dict[str, Any]
    credentials: tuple[CredentialPart, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoutePart:
    """One of a model's ``routes``."""

    upstream: str
    model: str
    priority: int
    weight: int


@dataclass(frozen=True, slots=True)
class VariantPart:
    """One of a price's ``variants``: what differs, for requests its conditions hold for."""

    conditions: Conditions
    prices: dict[str, int]


@dataclass(frozen=True, slots=True)
class PricePart:
    """``[models.price]``: picodollars per token by class, and per counted surcharge; from now if no date is given.

    ``source`` is the operator, whose prices no import replaces, or the import for list prices that we ship.
    """

    prices: dict[str, int]
    effective_from: datetime | None
    variants: tuple[VariantPart, ...] | None = None
    source: str = "operator"


@dataclass(frozen=True, slots=True)
class ModelPart:
    """``[[models]]``. ``settings`` are plain columns."""

    name: str
    settings: dict[str, Any]
    aliases: tuple[str, ...] | None
    routes: tuple[RoutePart, ...] | None
    price: PricePart | None


@dataclass(frozen=True, slots=True)
class TenantPart:
    """``[[tenants]]``. Amounts are picodollars."""

    slug: str
    name: str | None
    billing: str | None
    timezone: str | None
    credit_limit: int | None
    top_up: int | None
    monthly_budget: int | None


@dataclass(frozen=True, slots=True)
class ProjectPart:
    """``[[projects]]`` of a tenant."""

    tenant: str
    slug: str
    name: str | None
    monthly_budget: int | None


@dataclass(frozen=True, slots=True)
class BudgetPart:
    """``[[budgets]]`` of a tenant or of one of its projects; ``limit`` is picodollars per window."""

    tenant: str
    project: str | None
    window: str
    limit: int


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file."""

    file: str
    upstreams: tuple[UpstreamPart, ...] = ()
    models: tuple[ModelPart, ...] = ()
    tenants: tuple[TenantPart, ...] = ()
    projects: tuple[ProjectPart, ...] = ()
    budgets: tuple[BudgetPart, ...] = ()


def parse(text: str, file: str) -> Document:
    """Read a document; raises DocumentProblem with every problem found."""
    try:
        top = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DocumentProblem([f"{file}: {error}"]) from None
    problems = Problems(file)
    fields = Fields(top, "", problems)
    document = Document(
        file=file,
        upstreams=_parts(fields, "upstreams", _upstream, ("name",)),
        models=_parts(fields, "models", _model, ("name",)),
        tenants=_parts(fields, "tenants", _tenant, ("slug",)),
        projects=_parts(fields, "projects", _project, ("tenant", "slug")),
        budgets=_parts(fields, "budgets", _budget, ("tenant", "project", "window")),
    )
    fields.finish()
    if problems.lines:
        raise DocumentProblem(problems.lines)
    return document


def title(kind: str, table: dict[str, Any], names: tuple[str, ...], number: int) -> str:
    """How messages call a table: ``[[models]] gpt-4o-mini``, or by its number where it has no name."""
    words = [table[name][:64] for name in names if isinstance(table.get(name), str)]
    return f"[[{kind}]] {' '.join(words) or f'number {number}'}"


def _parts(fields: Fields, kind: str, read: Callable[[Fields], T], names: tuple[str, ...]) -> tuple[T, ...]:
    seen: set[tuple[Any, ...]] = set()
    parts = []
    for number, table in enumerate(fields.tables(kind) or (), start=1):
        one = Fields(table, title(kind, table, names, number), fields.problems)
        parts.append(read(one))
        one.finish()
        key = tuple(str(table.get(name)) for name in names)
        if key in seen:
            one.problems.add(one.title, "", "is there twice")
        seen.add(key)
    return tuple(parts)


def _upstream(fields: Fields) -> UpstreamPart:
    part = UpstreamPart(
        name=fields.matching("name", UPSTREAM, SAY_SLUG, required=True) or "",
        dialect=fields.text("dialect", most=20),
        base_url=fields.text("base_url"),
        **_secret(fields),
        credentials=_credentials(fields),
        settings=_given(
            rules=_rules(fields),
            connect_timeout_s=fields.whole("connect_timeout_s", least=1, most=600),
            first_byte_timeout_s=fields.whole("first_byte_timeout_s", least=1, most=3600),
            idle_timeout_s=fields.whole("idle_timeout_s", least=1, most=3600),
            total_timeout_s=fields.whole("total_timeout_s", least=1, most=32767),
            disconnect_policy=fields.choice("disconnect_policy", ("drain", "cancel")),
            is_active=fields.flag("active"),
        ),
    )
    if part.credentials is not None and (part.api_key is not None or part.api_key_env is not None):
        fields.wrong("credentials", "cannot stand beside api_key or api_key_env: give that one a name in the list")
    return part


def _secret(fields: Fields) -> dict[str, str | None]:
    """An API key as it is, or by the name of the environment variable that holds it."""
    api_key = fields.text("api_key", most=8192)
    variable = fields.matching("api_key_env", VARIABLE, "must be the name of an environment variable")
    if api_key is not None and variable is not None:
        fields.wrong("api_key", "cannot stand beside api_key_env")
    return {"api_key": api_key, "api_key_env": variable}


def _credentials(fields: Fields) -> tuple[CredentialPart, ...] | None:
    tables = fields.tables("credentials")
    if tables is None:
        return None
    parts = []
    for number, table in enumerate(tables, start=1):
        one = Fields(table, f"{fields.title}: credentials: number {number}", fields.problems)
        name = one.matching("name", CREDENTIAL, "must have a–z, 0–9 and hyphens, at most 60", required=True)
        parts.append(CredentialPart(name or "", **_secret(one), is_active=one.flag("active")))
        one.finish()
    names = [part.name for part in parts if part.name]
    if len(set(names)) < len(names):
        fields.wrong("credentials", "has a name twice")
    return tuple(parts)


def _model(fields: Fields) -> ModelPart:
    name = fields.matching("name", MODEL, SAY_MODEL, required=True) or ""
    aliases = fields.texts("aliases", MODEL, SAY_MODEL)
    if aliases and name in aliases:
        fields.wrong("aliases", "holds the model's own name")
    return ModelPart(
        name=name,
        settings=_given(
            context_window=fields.whole("context_window", least=1, most=MOST_TOKENS),
            max_output_tokens=fields.whole("max_output_tokens", least=1, most=MOST_TOKENS),
            capabilities=fields.table("capabilities"),
            rules=_rules(fields),
            fallbacks=_names(fields, "fallbacks"),
            is_active=fields.flag("active"),
        ),
        aliases=aliases,
        routes=_routes(fields),
        price=_price(fields),
    )


def _rules(fields: Fields) -> dict[str, Any] | None:
    given = fields.table("rules")
    try:
        rules.check(given or {})
    except rules.RuleProblem as problem:
        fields.wrong("rules", f"says: {problem}")
    return given


def _names(fields: Fields, name: str) -> list[str] | None:
    given = fields.texts(name, MODEL, SAY_MODEL)
    return None if given is None else list(given)


def _routes(fields: Fields) -> tuple[RoutePart, ...] | None:
    tables = fields.tables("routes")
    if tables is None:
        return None
    routes = []
    for number, table in enumerate(tables, start=1):
        one = Fields(table, f"{fields.title}: routes: number {number}", fields.problems)
        upstream = one.matching("upstream", UPSTREAM, SAY_SLUG, required=True)
        model = one.text("model", required=True, most=200)
        priority = one.whole("priority", least=0, most=32767)
        weight = one.whole("weight", least=1, most=1000)
        one.finish()
        routes.append(RoutePart(upstream or "", model or "", 1 if priority is None else priority, weight or 1))
    if len({(route.upstream, route.model) for route in routes}) < len(routes):
        fields.wrong("routes", "names an upstream's model twice")
    return tuple(routes)


def _price(fields: Fields) -> PricePart | None:
    table = fields.table("price")
    if table is None:
        return None
    one = Fields(table, f"{fields.title}: price", fields.problems)
    prices = _prices(one)
    for name in ("input", "output"):
        if name not in table:
            one.wrong(name, "is missing")
    moment = one.moment("effective_from")
    variants = _variants(one)
    one.finish()
    return PricePart(prices, moment, variants)


def _prices(fields: Fields) -> dict[str, int]:
    classes = {name: fields.price(name) for name in TOKEN_CLASSES}
    return _given(**classes, **{name: fields.usd(name) for name in SURCHARGES})


def _variants(fields: Fields) -> tuple[VariantPart, ...] | None:
    tables = fields.tables("variants")
    if tables is None:
        return None
    variants = []
    for number, table in enumerate(tables, start=1):
        one = Fields(table, f"{fields.title}: variants: number {number}", fields.problems)
        above = one.whole("above_tokens", least=1, most=MOST_TOKENS) or 0
        tier = one.text("service_tier", most=32) or ""
        hours = _hours(one)
        name = one.text("name", most=64) or price_conditions.name_of(above, tier, hours)
        variants.append(VariantPart(Conditions(name, above, tier, hours), _prices(one)))
        one.finish()
    try:
        price_conditions.check([variant.conditions for variant in variants])
    except ConditionProblem as problem:
        fields.wrong("variants", str(problem))
    return tuple(variants)


def _hours(fields: Fields) -> tuple[Window, ...]:
    text = fields.text("hours")
    try:
        return price_conditions.parse_hours(text) if text else ()
    except ConditionProblem as problem:
        fields.wrong("hours", str(problem))
        return ()


def _tenant(fields: Fields) -> TenantPart:
    part = TenantPart(
        slug=fields.matching("slug", SLUG, SAY_SLUG, required=True) or "",
        name=fields.text("name", most=200),
        billing=fields.choice("billing", ("prepaid", "postpaid")),
        timezone=fields.text("timezone", most=64),
        credit_limit=fields.usd("credit_limit"),
        top_up=fields.usd("top_up"),
        monthly_budget=fields.usd("monthly_budget"),
    )
    if part.billing == "prepaid" and part.credit_limit:
        fields.wrong("credit_limit", "is for postpaid billing; a prepaid tenant has top_up")
    if part.billing == "postpaid" and part.top_up:
        fields.wrong("top_up", "is for prepaid billing; a postpaid tenant has credit_limit")
    return part


def _project(fields: Fields) -> ProjectPart:
    return ProjectPart(
        tenant=fields.matching("tenant", SLUG, SAY_SLUG, required=True) or "",
        slug=fields.matching("slug", SLUG, SAY_SLUG, required=True) or "",
        name=fields.text("name", most=200),
        monthly_budget=fields.usd("monthly_budget"),
    )


def _budget(fields: Fields) -> BudgetPart:
    limit = fields.usd("limit", required=True)
    return BudgetPart(
        tenant=fields.matching("tenant", SLUG, SAY_SLUG, required=True) or "",
        project=fields.matching("project", SLUG, SAY_SLUG),
        window=fields.choice("window", ("day", "month", "lifetime"), required=True) or "",
        limit=0 if limit is None else limit,
    )


def _given(**values: Any) -> dict[str, Any]:
    """Only the fields that are there."""
    return {name: value for name, value in values.items() if value is not None}
