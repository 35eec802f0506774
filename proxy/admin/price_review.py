"""The review of a price file as its page shows it: filters with counts, and rows with old and new prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, Q, QuerySet, Value, When
from django.http import QueryDict

from proxy.models import PriceImport, PriceProposal, Upstream
from proxy.pricing_import import offer, stored
from proxy.pricing_import.fields import plain
from proxy.pricing_import.findings import shown
from proxy.pricing_import.matching import public_name
from proxy.pricing_import.proposal import TAKEN, Status

PER_PAGE = 50
SHOWN_AT_ONCE = 6
WORDS = {
    Status.NEW: "New",
    Status.CHANGED: "Changed",
    Status.AVAILABLE: "Available",
    Status.SUSPICIOUS: "Suspicious",
    Status.NOT_UNDERSTOOD: "Not understood",
    Status.YOURS: "Yours",
    Status.UNCHANGED: "Unchanged",
}
ON_SALE = (Status.NEW, Status.CHANGED, Status.SUSPICIOUS, Status.NOT_UNDERSTOOD, Status.YOURS, Status.UNCHANGED)
OTHERS = (Status.AVAILABLE, Status.SUSPICIOUS, Status.NOT_UNDERSTOOD)
LABELS = {
    "input": "Input",
    "cache_read": "Cache read",
    "cache_write_5m": "Cache write, 5 min",
    "cache_write_1h": "Cache write, 1 h",
    "input_audio": "Audio in",
    "input_image": "Image in",
    "output": "Output",
    "reasoning": "Reasoning",
    "output_audio": "Audio out",
    "output_image": "Image out",
    "per_request": "Each request",
    "per_web_search": "Each web search",
    "per_image": "Each image",
}
EXPLAINED = {
    Status.NEW: "On sale without a price: calls are refused until there is one.",
    Status.CHANGED: "The price in force came from an import before, and the file has another now.",
    Status.AVAILABLE: "Nobody sells these yet. What you choose becomes a model with limits, capabilities and price.",
    Status.SUSPICIOUS: "Probably a mistake of the file. Each needs your confirmation beside the tick.",
    Status.NOT_UNDERSTOOD: "Priced in a way there is no price for here. Nothing can be applied.",
    Status.YOURS: "You set these prices yourself. An import never replaces them; the difference is for you to know.",
    Status.UNCHANGED: "The price in force is what the file says.",
}


class Tab(NamedTuple):
    """One filter: its key in the address, what it says, and how many rows it has."""

    key: str
    words: str
    size: int


class Line(NamedTuple):
    """One price before and after, as text."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Row:
    """One proposal as it is shown. ``route`` is the upstream it could be routed to when it is taken on."""

    proposal: PriceProposal
    title: str
    words: str
    first: Sequence[Line]
    rest: Sequence[Line]
    left_out: Sequence[str]
    route: str
    may_be_chosen: bool
    is_ticked: bool
    must_be_confirmed: bool


@dataclass(frozen=True, slots=True)
class Review:
    """Everything on the page."""

    on_sale: Sequence[Tab]
    others: Sequence[Tab]
    shown: str
    explained: str
    page: Page[PriceProposal]
    rows: Sequence[Row]
    ready: int
    query: str


def review(price_import: PriceImport, asked: QueryDict) -> Review:
    """The page that was asked for. Its number of queries does not depend on the number of rows."""
    counts = _counts(price_import)
    tabs = {tab.key: tab for tab in _tabs(counts)}
    wanted = asked.get("show", "")
    chosen = wanted if wanted in tabs else next((key for key, tab in tabs.items() if tab.size), "new")
    query = plain(asked.get("q", "").strip(), 100)
    found = rows_of(price_import, chosen)
    if query:
        found = found.filter(Q(name__icontains=query) | Q(model__icontains=query) | Q(provider__iexact=query))
    upstreams = list(Upstream.objects.filter(is_active=True).order_by("name"))
    page = Paginator(_nearest_first(found, upstreams), PER_PAGE).get_page(asked.get("page"))
    return Review(
        on_sale=[tab for key, tab in tabs.items() if not key.startswith("other-")],
        others=[tab for key, tab in tabs.items() if key.startswith("other-")],
        shown=chosen,
        explained=EXPLAINED[Status(chosen.removeprefix("other-"))],
        page=page,
        rows=[_row(one, upstreams) for one in page.object_list],
        ready=ready(price_import).count(),
        query=query,
    )


def rows_of(price_import: PriceImport, key: str) -> QuerySet[PriceProposal]:
    """The rows of one filter."""
    found = PriceProposal.objects.filter(price_import=price_import, status=key.removeprefix("other-"))
    return found.filter(model="") if key.startswith("other-") else found.exclude(model="")


def ready(price_import: PriceImport) -> QuerySet[PriceProposal]:
    """What can be applied without looking at each: new and changed, and not applied yet."""
    found = PriceProposal.objects.filter(price_import=price_import, status__in=TAKEN, applied_at=None)
    return found.exclude(model="").order_by("pk")


def _nearest_first(found: QuerySet[PriceProposal], upstreams: list[Upstream]) -> QuerySet[PriceProposal]:
    """By name, but models of providers that are upstreams here before all others."""
    known = set(found.order_by().values_list("provider", flat=True).distinct())
    ours = {offer.provider(upstream, known) for upstream in upstreams} - {""}
    far = Case(When(provider__in=ours, then=Value(0)), default=Value(1))
    return found.order_by(far, "name", "pk")


def _counts(price_import: PriceImport) -> dict[tuple[bool, str], int]:
    found = PriceProposal.objects.filter(price_import=price_import).values_list("status")
    counted = found.annotate(all=Count("pk"), sold=Count("pk", filter=~Q(model="")))
    counts = {}
    for status, every, sold in counted:
        counts[True, status], counts[False, status] = sold, every - sold
    return counts


def _tabs(counts: dict[tuple[bool, str], int]) -> Iterable[Tab]:
    for status in ON_SALE:
        yield Tab(status.value, WORDS[status], counts.get((True, status.value), 0))
    for status in OTHERS:
        yield Tab(f"other-{status.value}", WORDS[status], counts.get((False, status.value), 0))


def _row(proposal: PriceProposal, upstreams: list[Upstream]) -> Row:
    status, is_open = Status(proposal.status), proposal.applied_at is None
    entry = stored.entry_of(proposal)
    lines = [_line(*difference) for difference in proposal.differences]
    routes = offer.upstreams_of(entry, upstreams) if not proposal.model else []
    closed = (Status.NOT_UNDERSTOOD, Status.YOURS, Status.UNCHANGED)
    return Row(
        proposal=proposal,
        title=proposal.model or public_name(entry),
        words=WORDS[status],
        first=lines[:SHOWN_AT_ONCE],
        rest=lines[SHOWN_AT_ONCE:],
        left_out=entry.left_out,
        route=routes[0].name if routes else "",
        may_be_chosen=is_open and status not in closed,
        is_ticked=is_open and status in TAKEN,
        must_be_confirmed=status is Status.SUSPICIOUS,
    )


def _line(when: str, name: str, before: int | None, after: int | None) -> Line:
    label, when = LABELS.get(name, name), when.replace(" prompt tokens", "")
    return Line(f"{label} ({when})" if when else label, _price(name, before), _price(name, after))


def _price(name: str, price: int | None) -> str:
    return "–" if price is None else shown(name, price)
