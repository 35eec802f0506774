"""What is sold now, as the price file is compared with it: models with their routes, and the prices in force."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db.models import OuterRef, Subquery

from billing import catalog
from billing.models import Price
from billing.pricing import PriceList
from proxy.addresses import is_sandbox
from proxy.models import Model, PriceProposal, Upstream
from proxy.pricing_import.entry import Entry
from proxy.pricing_import.matching import Matcher, Sold, is_of, provider_of
from proxy.pricing_import.proposal import InForce, Proposal, propose
from proxy.pricing_import.reading import PriceFile


def proposals(file: PriceFile) -> tuple[list[Proposal], list[str]]:
    """A proposal for every model on sale and every other entry, and the names of models the file does not have."""
    known = {entry.provider for entry in file.entries}
    matcher, in_force = Matcher(file.entries), prices_in_force()
    found, missing, taken = [], [], set()
    for sold in on_sale(known):
        entry = matcher.entry_for(sold)
        if entry is None:
            missing.append(sold.name)
            continue
        taken.add(entry.name)
        by_name = not sold.is_routed and entry.name != sold.origin
        found.append(propose(entry, model=sold.name, in_force=in_force.get(sold.name), by_name=by_name))
    others = (entry for entry in file.entries if entry.name not in taken)
    return found + [propose(entry, model="", in_force=None) for entry in others], missing


def on_sale(known: set[str]) -> list[Sold]:
    """Every active model with its aliases and active routes, but those of the sandbox alone: nobody prices them."""
    found = Model.objects.filter(is_active=True).order_by("name").prefetch_related("aliases", "routes__upstream")
    models = [model for model in found if not _is_sandboxed(model)]
    origins = _origins()
    return [
        Sold(
            name=model.name,
            aliases=tuple(sorted(alias.name for alias in model.aliases.all())),
            routes=tuple(
                (provider(route.upstream, known), route.upstream_model)
                for route in sorted(model.routes.all(), key=lambda route: (route.priority, route.pk))
                if route.is_active
            ),
            origin=origins.get(model.name, ""),
        )
        for model in models
    ]


def _origins() -> dict[str, str]:
    """The entry that each model's price was last applied from, after a review."""
    applied = PriceProposal.objects.exclude(applied_as="").order_by("applied_at", "pk")
    return dict(applied.values_list("applied_as", "name"))


def _is_sandboxed(model: Model) -> bool:
    routes = list(model.routes.all())
    return bool(routes) and all(is_sandbox(route.upstream.base_url, settings.SANDBOX_URL) for route in routes)


def provider(upstream: Upstream, known: Iterable[str]) -> str:
    """Who an upstream is in the file; empty for nobody."""
    like = str(upstream.rules.get("like", ""))
    return provider_of(base_url=upstream.base_url, like=like, name=upstream.name, known=known)


def prices_in_force(model: str | None = None) -> dict[str, InForce]:
    """The last published price of each model in the default book, which a new one would follow; of one if named."""
    book = catalog.default_book()
    of_model = Price.objects.filter(book=book, model=OuterRef("model")).order_by("-effective_from")
    rows = Price.objects.filter(book=book, effective_from=Subquery(of_model.values("effective_from")[:1]))
    by_model: dict[str, list[Price]] = {}
    for row in rows if model is None else rows.filter(model=model):
        by_model.setdefault(row.model, []).append(row)
    return {name: _in_force(found) for name, found in by_model.items()}


def upstreams_of(entry: Entry, upstreams: Iterable[Upstream]) -> list[Upstream]:
    """Those of an entry's provider, where a route to it could go."""
    return [one for one in upstreams if (who := provider(one, {entry.provider})) and is_of(who, entry)]


def _in_force(rows: list[Price]) -> InForce:
    """The rows of one version: the base price and its variants."""
    version = PriceList.of(catalog.version_of(row) for row in rows).versions[0]
    return InForce(version, next(row.source for row in rows if row.pk == version.id))
