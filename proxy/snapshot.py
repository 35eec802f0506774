"""Rows → directory values: the queries of the loader, and pure functions that build from their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import msgspec

from billing.pricing import PriceList, PriceVersion
from proxy import rules, tokenizers
from proxy.directory import (
    CHAT_ONLY,
    NO_RULES,
    Catalog,
    Credential,
    KeyGrant,
    LimitName,
    ModelEntry,
    Rates,
    Route,
    Span,
    Target,
)
from proxy.factors import LEAST, UNLEARNED, USUAL, USUAL_OUTPUT, Factors

Row = Mapping[str, Any]
Secret = tuple[int, str, str]
"""Id of a credential, its last characters, and itself."""

PRICE_COLUMNS = (
    "id, effective_from, effective_to, input, cache_read, cache_write_5m, cache_write_1h, input_audio, input_image, "
    "output, reasoning, output_audio, output_image, per_request, per_web_search, per_image, "
    "variant, above_tokens, service_tier, hours"
)

CATALOG_QUERIES = {
    "upstreams": "SELECT * FROM proxy_upstream WHERE is_active",
    "credentials": (
        "SELECT id, upstream_id, name, sealed, last_four, is_active FROM proxy_credential ORDER BY upstream_id, id"
    ),
    "models": "SELECT * FROM proxy_model WHERE is_active ORDER BY name",
    "aliases": "SELECT name, model_id FROM proxy_modelalias ORDER BY name",
    "estimates": "SELECT model_id, input_factor, output_factor, low_factor, usual_output FROM proxy_modelestimate",
    "routes": "SELECT * FROM proxy_route WHERE is_active ORDER BY model_id, priority, id",
    "prices": (
        f"SELECT b.tenant_id, p.model, p.book_id, {', '.join('p.' + c for c in PRICE_COLUMNS.split(', '))} "  # noqa: S608 - constants
        "FROM billing_price p JOIN billing_pricebook b ON b.id = p.book_id "
        "WHERE p.effective_to IS NULL OR p.effective_to > now() ORDER BY p.effective_from"
    ),
}

GRANT_QUERIES = {
    "keys": (
        "SELECT k.id, COALESCE(k.replaces_id, k.id) AS limits_of, k.tenant_id, k.project_id, k.public_id, k.digest, "
        "k.allowed_models, k.expires_at, "
        "k.revoked_at IS NOT NULL OR NOT p.is_active OR NOT t.is_active AS revoked, k.cut_streams, "
        "t.disconnect_policy, b.id AS book_id "
        "FROM portal_apikey k JOIN portal_project p ON p.id = k.project_id JOIN portal_tenant t ON t.id = k.tenant_id "
        "LEFT JOIN billing_pricebook b ON b.tenant_id = k.tenant_id "
        "WHERE ($1::bigint[] IS NULL OR k.tenant_id = ANY ($1)) "
        "AND (k.revoked_at IS NULL OR k.revoked_at > now() - interval '1 hour')"
    ),
    "quotas": "SELECT * FROM portal_quota WHERE $1::bigint[] IS NULL OR tenant_id = ANY ($1)",
    "allowances": (
        'SELECT a.id, a.tenant_id, a.starts_at, a.ends_at, b.scope, b.scope_id, b."window", w.mode '
        "FROM billing_allowance a LEFT JOIN billing_budget b ON b.id = a.budget_id "
        "LEFT JOIN billing_wallet w ON w.tenant_id = a.tenant_id "
        "WHERE ($1::bigint[] IS NULL OR a.tenant_id = ANY ($1)) AND (a.ends_at IS NULL OR a.ends_at > now()) "
        "AND (a.kind = 'wallet' OR b.is_active) ORDER BY a.tenant_id, a.id"
    ),
    "budgets": (
        "SELECT id, tenant_id, scope, scope_id FROM billing_budget "
        "WHERE is_active AND ($1::bigint[] IS NULL OR tenant_id = ANY ($1))"
    ),
}

SCOPE_ORDER = ("api_key", "project", "tenant")
AUTH = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}
REMEDIES = {
    "budget": "Raise the budget under Limits in the dashboard, or wait for its next window.",
    "prepaid": "Top up the wallet.",
    "postpaid": "Pay open invoices or ask for a higher credit limit.",
}


def all_disabled(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Names of the upstreams that have credentials, every one of them disabled: no call goes to these."""
    active: dict[int, bool] = defaultdict(bool)
    for row in tables["credentials"]:
        active[row["upstream_id"]] |= row["is_active"]
    return [row["name"] for row in tables["upstreams"] if active.get(row["id"]) is False]


def build_catalog(
    tables: Mapping[str, Sequence[Row]],
    *,
    unseal: Callable[[int, str, bytes], str | None],
    refused: set[int],
) -> Catalog:
    """The catalog; a model none of whose routes works is in it without routes, one without a price without prices."""
    secrets: dict[int, list[Secret]] = defaultdict(list)
    for row in tables["credentials"]:
        usable = secrets[row["upstream_id"]]
        secret = unseal(row["upstream_id"], row["name"], bytes(row["sealed"])) if row["is_active"] else None
        if secret is not None:
            usable.append((row["id"], row["last_four"], secret))
    # One that has credentials is never called without: it takes none only while none is stored.
    refused = refused | {upstream_id for upstream_id, usable in secrets.items() if not usable}
    targets = {row["id"]: _target(row, secrets[row["id"]]) for row in tables["upstreams"] if row["id"] not in refused}
    own_rules = {row["id"]: _json(row["rules"]) for row in tables["models"]}
    routes: dict[int, list[Route]] = defaultdict(list)
    for row in tables["routes"]:
        if row["upstream_id"] in targets and row["model_id"] in own_rules:
            target = targets[row["upstream_id"]]
            merged = rules.merged(target.rules, own_rules[row["model_id"]])
            routes[row["model_id"]].append(
                Route(row["id"], target, row["upstream_model"], row["priority"], row["weight"], merged)
            )
    aliases: dict[int, list[str]] = defaultdict(list)
    for row in tables["aliases"]:
        aliases[row["model_id"]].append(row["name"])
    prices = _price_lists(tables["prices"])
    learned = {row["model_id"]: row for row in tables.get("estimates", ())}
    models = {}
    for row in tables["models"]:
        models[row["name"]] = ModelEntry(
            name=row["name"],
            created=int(row["created_at"].timestamp()),
            context_window=row["context_window"],
            max_output_tokens=row["max_output_tokens"],
            capabilities=_json(row["capabilities"]),
            aliases=tuple(aliases[row["id"]]),
            routes=tuple(routes[row["id"]]),
            prices=MappingProxyType(prices.get(row["name"], {})),
            operations=frozenset(own_rules[row["id"]].get("operations") or CHAT_ONLY),
            fallbacks=tuple(row["fallbacks"]),
            factors=_factors(learned.get(row["id"]), own_rules[row["id"]]),
            tokenizer=tokenizer_of(
                row["name"], own_rules[row["id"]], routes[row["id"]][0].upstream_model if routes[row["id"]] else ""
            ),
        )
    names = {alias: entry.name for entry in models.values() for alias in entry.aliases}
    return Catalog(MappingProxyType(models), MappingProxyType(names))


def _factors(row: Row | None, own_rules: Mapping[str, Any]) -> Factors:
    """What was learned of a model; nothing learned is zero in the row. Holds go by bytes unless a rule says else."""
    hold = rules.hold_factor(own_rules, measured=row["low_factor"] if row is not None else 0)
    if row is None:
        return UNLEARNED if hold == LEAST else UNLEARNED._replace(hold=hold)
    return Factors(
        row["input_factor"] or USUAL, row["output_factor"] or USUAL, row["usual_output"] or USUAL_OUTPUT, hold
    )


def tokenizer_of(name: str, own_rules: Mapping[str, Any], upstream_model: str) -> str:
    """The vocabulary a rule names, else the one that the model's name, here or at the upstream, is known for."""
    ruled: str | None = own_rules.get("tokenizer")
    if ruled is not None:
        return "" if ruled == "none" else ruled
    return tokenizers.guess(name) or tokenizers.guess(upstream_model)


def call_headers(dialect: str, own_rules: Mapping[str, Any], secret: str | None) -> tuple[tuple[str, str], ...]:
    """What goes with every call to an upstream: its credential in the header that its dialect or rules name."""
    headers = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")]
    headers += [(name.lower(), str(value)) for name, value in own_rules.get("headers", {}).items()]
    if secret is not None:
        headers.append(credential_header(dialect, own_rules, secret))
    return tuple(headers)


def _target(row: Row, secrets: Sequence[Secret]) -> Target:
    own_rules = rules.merged(_json(row["rules"]))
    credentials = []
    for credential_id, last_four, secret in secrets:
        headers = call_headers(row["dialect"], own_rules, secret)
        credentials.append(Credential(credential_id, last_four, headers, hash((credential_id, headers))))
    policy = row["disconnect_policy"]
    return Target(
        id=row["id"],
        name=row["name"],
        dialect=row["dialect"],
        base_url=row["base_url"].rstrip("/"),
        headers=credentials[0].headers if credentials else call_headers(row["dialect"], own_rules, None),
        rules=own_rules,
        connect_timeout_s=row["connect_timeout_s"],
        first_byte_timeout_s=row["first_byte_timeout_s"],
        idle_timeout_s=row["idle_timeout_s"],
        total_timeout_s=row["total_timeout_s"],
        drain=None if not policy else policy == "drain",
        credentials=tuple(credentials),
    )


def credential_header(dialect: str, own_rules: Mapping[str, Any], secret: str) -> tuple[str, str]:
    """The header an upstream's credential goes in: its rule's, else its dialect's."""
    auth = own_rules.get("auth") or AUTH.get(dialect, "bearer")
    return ("authorization", f"Bearer {secret}") if auth == "bearer" else (auth, secret)


def _price_lists(rows: Sequence[Row]) -> dict[str, dict[int | None, PriceList]]:
    """Model → book → its versions by time, with their variants; the default book is None."""
    versions: dict[tuple[str, int | None], list[PriceVersion]] = defaultdict(list)
    columns = PRICE_COLUMNS.split(", ")
    for row in rows:
        book = None if row["tenant_id"] is None else row["book_id"]
        values = {column: row[column] for column in columns}
        values["hours"] = tuple((start, end) for start, end in row["hours"])
        versions[row["model"], book].append(PriceVersion(**values))
    lists: dict[str, dict[int | None, PriceList]] = defaultdict(dict)
    for (model, book), found in versions.items():
        lists[model][book] = PriceList.of(found)
    return lists


def build_grants(rows: Mapping[str, Sequence[Row]], catalog: Catalog) -> Iterator[tuple[bytes, KeyGrant]]:
    """Digest and grant of every key, revoked ones of the last hour among them."""
    quotas: dict[tuple[int, str, int], Row] = {}
    for row in rows["quotas"]:
        quotas[(row["tenant_id"], *_scope_of(row))] = row
    allowances: dict[int, list[Row]] = defaultdict(list)
    for row in rows["allowances"]:
        allowances[row["tenant_id"]].append(row)
    budgets: dict[int, list[Row]] = defaultdict(list)
    for row in rows["budgets"]:
        budgets[row["tenant_id"]].append(row)
    for row in rows["keys"]:
        scopes = {"api_key": row["limits_of"], "project": row["project_id"], "tenant": row["tenant_id"]}
        mine = [a for a in allowances[row["tenant_id"]] if a["scope"] is None or scopes[a["scope"]] == a["scope_id"]]
        needed = 1 + sum(scopes[b["scope"]] == b["scope_id"] for b in budgets[row["tenant_id"]])
        yield (
            bytes(row["digest"]),
            KeyGrant(
                tenant_id=row["tenant_id"],
                project_id=row["project_id"],
                api_key_id=row["id"],
                public_id=row["public_id"],
                expires_at=row["expires_at"],
                models=_allowed(row["allowed_models"], catalog),
                rates=tuple(_rates(quotas, row["tenant_id"], scopes)),
                spans=tuple(build_spans(mine, needed)),
                book_id=row["book_id"],
                drain=row["disconnect_policy"] == "drain",
                revoked=row["revoked"],
                cut_streams=row["cut_streams"],
            ),
        )


def _scope_of(row: Row) -> tuple[str, int]:
    """The scope of a quota row."""
    if row["api_key_id"] is not None:
        return "api_key", row["api_key_id"]
    return ("tenant", row["tenant_id"]) if row["project_id"] is None else ("project", row["project_id"])


def _allowed(names: list[str] | None, catalog: Catalog) -> frozenset[str] | None:
    """An allow-list with its aliases resolved: what is asked for is compared after resolving, too."""
    if names is None:
        return None
    return frozenset(entry.name if (entry := catalog.find(name)) else name for name in names)


def _rates(quotas: dict[tuple[int, str, int], Row], tenant_id: int, scopes: dict[str, int]) -> Iterator[Rates]:
    for scope in SCOPE_ORDER:
        row = quotas.get((tenant_id, scope, scopes[scope]))
        if row is not None:
            limits = row["requests_per_minute"], row["tokens_per_minute"], row["concurrency"]
            if any(limits):
                yield Rates(scope, f"{scope}:{scopes[scope]}", *limits)


def build_spans(allowances: Sequence[Row], needed: int) -> Iterator[Span]:
    """Stretches of time, by time, in which exactly one window of each of ``needed`` limits applies.

    A stretch that lacks one is left out, so that a call then is refused rather than let past a limit.
    """
    edges: set[datetime] = {row["starts_at"] for row in allowances}
    edges.update(row["ends_at"] for row in allowances if row["ends_at"] is not None)
    ordered: list[datetime | None] = [*sorted(edges), None]
    for start, end in pairwise(ordered):
        if start is None:
            continue
        inside = [a for a in allowances if a["starts_at"] <= start and (a["ends_at"] is None or start < a["ends_at"])]
        limits = {(row["scope"], row["scope_id"], row["window"]) for row in inside}
        if len(inside) == len(limits) == needed:
            literal = "{" + ",".join(str(a["id"]) for a in inside) + "}"
            names = {a["id"]: _limit_name(a) for a in inside}
            yield Span(start, end, literal, MappingProxyType(names))


def _limit_name(row: Row) -> LimitName:
    if row["scope"] is None:
        name = "credit limit" if row["mode"] == "postpaid" else "balance"
        return LimitName("wallet", name, None, REMEDIES[row["mode"]])
    return LimitName(row["scope"], f"{row['window']} budget", row["ends_at"], REMEDIES["budget"])


def _json(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        value = msgspec.json.decode(value)
    return MappingProxyType(value) if value else NO_RULES
