"""What goes on an invoice: lines per month, model, price version and token class, and the annex per project and key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connection

from billing import catalog, contract_months, contract_words, exchange, parties, posted
from billing.meters import COUNTERS, SURCHARGES, TOKEN_CLASSES, UNIT_PRICES
from billing.models import Charge, Invoice, InvoiceLine
from billing.money import usd
from billing.planning import ALONE, planned
from billing.pricing import PriceVersion, words
from billing.taxes import Treatment

CONTRACT_KINDS = (Charge.Kind.TIER, Charge.Kind.FREE, Charge.Kind.MINIMUM)


class LineProblem(Exception):
    """Usage whose cost is not what its counts and its price make; it must not be invoiced unseen."""


@dataclass(frozen=True, slots=True)
class Used:
    """Usage of one model under one price version in one month: exact cost and the twelve counters."""

    period_label: str
    model: str
    price_id: int
    cost: int
    counts: tuple[int, ...]


def used_on(invoice: Invoice) -> list[Used]:
    """The usage of the transfers on an invoice, summed from its events and adjustments."""
    found: list[Used] = []
    with planned(**ALONE), connection.cursor() as cursor:
        for stretch in posted.stretches(invoice):
            cursor.execute(USED, stretch.of(invoice.tenant_id))
            found += [
                Used(stretch.label, model, price_id, int(cost), tuple(map(int, counts)))
                for model, price_id, cost, *counts in cursor.fetchall()
            ]
    return found


def lines_of(invoice: Invoice, treatment: Treatment) -> list[InvoiceLine]:
    """Unsaved lines of usage and then of charges, each converted by the invoice's rate and rounded once.

    Raises LineProblem if counts and cost disagree.
    """
    used = used_on(invoice)
    rate = exchange.rate_of(invoice)
    prices = catalog.versions_by_id(row.price_id for row in used)
    lines: list[InvoiceLine] = []
    for row in used:
        for token_class, quantity, unit, exact in _parts(row, prices[row.price_id]):
            lines.append(
                InvoiceLine(
                    invoice=invoice, tenant_id=invoice.tenant_id, position=len(lines) + 1,
                    period_label=row.period_label, model=row.model, token_class=token_class, price_id=row.price_id,
                    quantity=quantity, unit_price=unit, exact=exact, amount=rate.to_minor(exact),
                )
            )  # fmt: skip
    lines += _charge_lines(invoice, len(lines))
    for line in lines:
        line.tax_category, line.tax_rate = treatment.category, treatment.rate
    return lines


def _charge_lines(invoice: Invoice, before: int) -> list[InvoiceLine]:
    """A line for the charges of each month and subject, in the words of the latest; none where they cancel out."""
    rate = exchange.rate_of(invoice)
    lines = [
        InvoiceLine(
            invoice=invoice, tenant_id=invoice.tenant_id, period_label=charge.period_label, price_id=0, charge=charge,
            description=description, quantity=1, unit_price=0, exact=exact, amount=rate.to_minor(exact),
        )
        for charge, description, exact in _charged(invoice)
    ]  # fmt: skip
    for place, line in enumerate(lines, before + 1):
        line.position = place
    return lines


def _charged(invoice: Invoice) -> Iterator[tuple[Charge, str, int]]:
    """The latest charge, the words and the sum of each subject. The rest of one invoiced before is called a change."""
    found: dict[tuple[str, str, str], list[Charge]] = {}
    for charge in Charge.objects.filter(transfer__invoicedtransfer__invoice=invoice).order_by("period_label", "id"):
        subject = charge.subject or f"#{charge.pk}"  # without a subject each stands for itself
        found.setdefault((charge.period_label, charge.kind, subject), []).append(charge)
    said = _said(invoice, {label for label, _kind, subject in found if subject.startswith(contract_months.MINE)})
    for (label, kind, subject), charges in found.items():
        exact, latest = sum(int(charge.exact) for charge in charges), charges[-1]
        if not exact:
            continue
        before = Charge.objects.filter(
            tenant_id=invoice.tenant_id, period_label=label, kind=kind, subject=subject, pk__lt=charges[0].pk
        )
        changed = before.exists() and kind in CONTRACT_KINDS
        words = said.get((label, subject), latest.description)
        yield latest, contract_words.change_of(words, invoice.language) if changed else words, exact


def _said(invoice: Invoice, labels: set[str]) -> dict[tuple[str, str], str]:
    """The words of contracts' charges as the months are now, in the invoice's language."""
    return {
        (label, subject): words
        for label in labels
        for subject, words in contract_months.said(
            tenant=invoice.tenant, label=label, language=invoice.language, now=invoice.period_end_at
        ).items()
    }


def _parts(row: Used, price: PriceVersion) -> Iterator[tuple[str, int, int, int]]:
    """Token class, quantity, unit price and exact amount of each class used; what is left is per request."""
    left = row.cost
    for counter, quantity in zip(COUNTERS, row.counts, strict=True):
        unit = getattr(price, UNIT_PRICES[counter])
        if quantity and unit is not None:  # images that are paid by their tokens are no line of their own
            left -= quantity * unit
            yield UNIT_PRICES[counter], quantity, unit, quantity * unit
    if not left:
        return
    if not price.per_request or left % price.per_request:
        raise LineProblem(f"{row.model}: the cost is {usd(left)} USD off its counts under price {price.id}")
    yield "per_request", left // price.per_request, price.per_request, left


def variants_of(price_ids: Iterable[int]) -> dict[int, str]:
    """The conditions, in words, of those prices that are variants."""
    prices = catalog.versions_by_id(price_ids)
    return {price_id: said for price_id, price in prices.items() if (said := words(price))}


def annex_of(invoice: Invoice) -> list[dict[str, object]]:
    """Requests, tokens and exact cost per project, key and model, with the names people gave them."""
    sums: dict[tuple[int, int, str], list[int]] = {}
    with planned(**ALONE), connection.cursor() as cursor:
        for stretch in posted.stretches(invoice):
            cursor.execute(ANNEX, stretch.of(invoice.tenant_id))
            for project_id, key_id, model, *used in cursor.fetchall():
                row = sums.setdefault((project_id, key_id, model), [0] * len(used))
                row[:] = [before + int(more) for before, more in zip(row, used, strict=True)]
    projects = parties.project_names(project_id for project_id, _key, _model in sums)
    keys = parties.key_names(key_id for _project, key_id, _model in sums)
    return [
        {
            "project": projects.get(project_id, f"project {project_id}"),
            "key": keys.get(key_id, f"key {key_id}"),
            "model": model,
            "requests": requests,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "exact": str(cost),
        }
        for (project_id, key_id, model), (requests, prompt, completion, cost) in sorted(sums.items())
    ]


def prices_of(price_ids: set[int]) -> dict[str, dict[str, object]]:
    """The price versions of an invoice as they were, for its snapshot. Numbers are picodollars, as texts."""
    return {
        str(price.id): {
            "effective_from": price.effective_from.isoformat(),
            "variant": words(price),
            **{
                name: None if (unit := getattr(price, name)) is None else str(unit)
                for name in TOKEN_CLASSES + SURCHARGES
            },
        }
        for price in catalog.versions_by_id(price_ids).values()
    }


USED = f"""
SELECT model, price_id, sum(cost), {", ".join(f"sum({name})" for name in COUNTERS)} FROM (
    SELECT model, price_id, cost, {", ".join(COUNTERS)}
    FROM {posted.EVENTS}
    UNION ALL
    SELECT model, price_id, cost, {", ".join(f"counts[{n}]" for n in range(1, len(COUNTERS) + 1))}
    FROM {posted.ADJUSTMENTS}
) used GROUP BY model, price_id ORDER BY model, price_id
"""

ANNEX = f"""
SELECT project_id, api_key_id, model, sum(requests), sum(prompt_tokens), sum(completion_tokens), sum(cost) FROM (
    SELECT project_id, api_key_id, model, 1 AS requests, prompt_tokens, completion_tokens, cost
    FROM {posted.EVENTS}
    UNION ALL
    SELECT project_id, api_key_id, model, 0,
        counts[1] + counts[2] + counts[3] + counts[4] + counts[5] + counts[6],
        counts[7] + counts[8] + counts[9] + counts[10], cost
    FROM {posted.ADJUSTMENTS}
) used GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
