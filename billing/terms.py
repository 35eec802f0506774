"""Contracts: agreeing terms with a tenant, ending them, and charging what they make of a month.

The only writer of Terms, TierRule and FreeTokens. What a month comes to is charged as the difference to what was
charged before. What was agreed stays as it is once a month under it is closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import connection, transaction

from billing import catalog, charges, contract_months, contract_windows, contract_words, invoices, periods
from billing.charges import Wanted
from billing.contract_months import MINE, Stretch
from billing.contract_sums import USD, Contract, MinimumPart, Part, TierPart, TierTerms
from billing.contract_windows import Window
from billing.meters import TOKEN_CLASSES
from billing.models import Charge, FreeTokens, Terms, TierRule, Wallet
from billing.money import PICO_PER_USD
from billing.parties import Tenant
from billing.periods import Period
from billing.tiers import BASIS_POINTS

Kind = Charge.Kind
KINDS = (Kind.TIER, Kind.FREE, Kind.MINIMUM)
MOST_RULES = 50
MOST_TIERS = 20
MOST_AMOUNT = 10**12 * PICO_PER_USD
MOST_TOKENS = 10**18
FURTHEST = timedelta(days=5 * 366)
"""Terms begin at most five years ahead: anything later is a slip in the year."""


class TermsProblem(Exception):
    """Terms that cannot be agreed, ended or withdrawn, in words for the person who typed them."""


@transaction.atomic
def agree(
    *, tenant: Tenant, contract: Contract, effective_from: datetime, effective_to: datetime | None, now: datetime
) -> Terms:
    """Agree terms from a moment on; terms that are in force without an end, end there. Raises TermsProblem."""
    _lock(tenant.id)
    check(tenant=tenant, contract=contract, effective_from=effective_from, effective_to=effective_to, now=now)
    _make_room(tenant, effective_from, effective_to)
    return _store(tenant, contract, effective_from, effective_to, now)


@transaction.atomic
def revise(
    *, terms: Terms, contract: Contract, effective_from: datetime, effective_to: datetime | None, now: datetime
) -> Terms:
    """Terms of which no month is closed, agreed anew: they are replaced. Raises TermsProblem."""
    withdraw(terms=terms, now=now)
    return agree(
        tenant=terms.tenant, contract=contract, effective_from=effective_from, effective_to=effective_to, now=now
    )


@transaction.atomic
def end(*, terms: Terms, at: datetime, now: datetime) -> Terms:
    """End terms at a moment, or change an end that is still to come. Raises TermsProblem."""
    _lock(terms.tenant_id)
    stored = _reread(terms)
    closed = earliest(stored.tenant)
    _check_quarter(at)
    if at <= stored.effective_from:
        raise TermsProblem("Terms end after they begin; withdraw them if they are not to be.")
    if at < closed or (stored.effective_to is not None and stored.effective_to < closed):
        raise TermsProblem(_closed_until(closed))
    later = Terms.objects.filter(tenant_id=stored.tenant_id, effective_from__gt=stored.effective_from)
    if later.filter(effective_from__lt=at).exists():
        raise TermsProblem("Other terms begin before that.")
    Terms.objects.filter(pk=stored.pk).update(effective_to=at)
    stored.effective_to = at
    return stored


@transaction.atomic
def withdraw(*, terms: Terms, now: datetime) -> None:
    """Take terms back of which no month is closed. What was charged under them goes back with the next draft."""
    _lock(terms.tenant_id)
    stored = _reread(terms)
    if reason := why_it_stays(stored):
        raise TermsProblem(reason)
    stored.delete()


def why_it_stays(terms: Terms) -> str:
    """Why terms can only be ended, in words; empty if they can still be replaced or withdrawn."""
    closed = earliest(terms.tenant)
    return _closed_until(closed) if terms.effective_from < closed else ""


def earliest(tenant: Tenant) -> datetime:
    """The end of the last month that is closed: nothing is agreed for the time before it."""
    done = contract_windows.closed(tenant.id)
    return max((window.end for window in done), default=periods.FIRST_DAY)


def check(
    *, tenant: Tenant, contract: Contract, effective_from: datetime, effective_to: datetime | None, now: datetime
) -> None:
    """Raise TermsProblem for terms that make no sense, or for a time that is closed."""
    for moment in filter(None, (effective_from, effective_to)):
        _check_quarter(moment)
    if effective_to is not None and effective_to <= effective_from:
        raise TermsProblem("Terms end after they begin.")
    if effective_from > now + FURTHEST:
        raise TermsProblem("Terms begin at most five years ahead.")
    closed = earliest(tenant)
    if effective_from < closed:
        raise TermsProblem(_closed_until(closed))
    last = periods.last_ended(now, tenant.timezone, tenant.billing_anchor_day)
    if effective_from < last.start:
        raise TermsProblem(f"Terms begin at the earliest with the month that ended last, {last.label}.")
    _check_contract(contract)


# -- charging


def apply(*, tenant: Tenant, period: Period, now: datetime) -> int:
    """Charge what the tenant's contract makes of a month as it is posted now; returns how many charges were made.

    Done again it makes none. What is no longer due goes back to nothing. While the month runs the minimum is left out.
    """
    return _apply(tenant, period.label, contract_windows.closed(tenant.id), now)


def apply_until(*, tenant: Tenant, label: str, now: datetime) -> int:
    """``apply`` for a month and those before it that are not closed, or that got usage since; how many charges.

    The month before it is looked at in any case: something may have been posted while it was closed.
    """
    period = periods.month(label, tenant.timezone, tenant.billing_anchor_day)
    since = _since(tenant.id)
    if since is None:
        return 0
    done = contract_windows.closed(tenant.id)
    before = period.start - periods.TICK
    closed = max((window.end for window in done), default=since)
    late = _first_uninvoiced(tenant.id, since, period.start)
    first = max(min(before, closed, late or before), min(since, before))
    return sum(_apply(tenant, each, done, now) for each in contract_windows.labels(tenant, first, label, done))


def apply_running(*, tenant: Tenant, now: datetime) -> int:
    """``apply_until`` for the month that runs: a prepaid wallet gets back at once what is free or cheaper."""
    running = periods.month_of(now, tenant.timezone, tenant.billing_anchor_day)
    return apply_until(tenant=tenant, label=running.label, now=now)


def prepaid_tenants(*, now: datetime) -> list[int]:
    """The tenants that pay before they use, and have a contract."""
    in_force = Terms.objects.filter(effective_from__lte=now).values("tenant_id")
    prepaid = Wallet.objects.filter(mode=Wallet.Mode.PREPAID, tenant_id__in=in_force)
    return list(prepaid.order_by("tenant_id").values_list("tenant_id", flat=True))


@transaction.atomic
def _apply(tenant: Tenant, label: str, done: list[Window], now: datetime) -> int:
    charges.lock(tenant.id)
    made, subjects = 0, set()
    for stretch in contract_months.outcomes(tenant=tenant, label=label, now=now, done=done):
        for wanted in wanted_of(stretch, tenant.language):
            subjects.add((wanted.kind, wanted.subject))
            made += _bring(tenant, stretch.window.period, wanted, now)
    calendar = periods.month(label, tenant.timezone, tenant.billing_anchor_day)
    for wanted in _no_longer(tenant, label, subjects):
        made += _bring(tenant, calendar, wanted, now)
    return made


def _bring(tenant: Tenant, period: Period, wanted: Wanted, now: datetime) -> bool:
    return charges.bring_to(tenant=tenant, period=period, wanted=wanted, now=now) is not None


def wanted_of(stretch: Stretch, language: str) -> Iterator[Wanted]:
    """The charges of a stretch, in the order in which they are due; those of nothing, too: they may have been more."""
    for subject, part in contract_months.subjects(stretch):
        detail = contract_words.detail(part, stretch.terms.id, stretch.window)
        yield Wanted(_kind(part), subject, contract_words.said(part, language), part.exact, detail)


def _kind(part: Part) -> Kind:
    if isinstance(part, TierPart):
        return Kind.TIER
    return Kind.MINIMUM if isinstance(part, MinimumPart) else Kind.FREE


def _no_longer(tenant: Tenant, label: str, wanted: set[tuple[str, str]]) -> list[Wanted]:
    """What was charged for a month by terms that are gone, or by another calendar: to be taken back."""
    made = Charge.objects.filter(tenant_id=tenant.id, period_label=label, kind__in=KINDS, subject__startswith=MINE)
    sums: dict[tuple[str, str], int] = {}
    latest: dict[tuple[str, str], Charge] = {}
    for charge in made.order_by("id"):
        key = (charge.kind, charge.subject)
        sums[key], latest[key] = sums.get(key, 0) + int(charge.exact), charge
    return [
        Wanted(*key, contract_words.taken_back(latest[key].description, tenant.language), 0, latest[key].detail)
        for key, total in sums.items()
        if total and key not in wanted
    ]


def _since(tenant_id: int) -> datetime | None:
    """Since when the tenant has, or had, a contract that anything was charged under; None if never."""
    first = Terms.objects.filter(tenant_id=tenant_id).order_by("effective_from").first()
    made = Charge.objects.filter(tenant_id=tenant_id, kind__in=KINDS, subject__startswith=MINE)
    charge = made.order_by("effective_at").first()
    moments = [*([first.effective_from] if first else []), *([charge.effective_at] if charge else [])]
    return min(moments, default=None)


def _first_uninvoiced(tenant_id: int, start: datetime, end: datetime) -> datetime | None:
    """The earliest usage or charge of ``[start, end)`` that is on no invoice with a number."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT min(t.effective_at) FROM billing_transfer t
            WHERE t.tenant_id = %s AND t.kind IN ('usage', 'adjustment', 'charge')
                AND t.effective_at >= %s AND t.effective_at < %s
                AND NOT EXISTS (SELECT FROM billing_invoicedtransfer x JOIN billing_invoice i ON i.id = x.invoice_id
                    WHERE x.transfer_id = t.id AND i.status <> 'draft')""",
            [tenant_id, start, end],
        )
        found: datetime | None = cursor.fetchone()[0]
        return found


# -- agreeing


def _lock(tenant_id: int) -> None:
    """Nobody charges, drafts or closes meanwhile."""
    charges.lock(tenant_id)
    invoices.lock(tenant_id)


def _reread(terms: Terms) -> Terms:
    found = Terms.objects.select_related("tenant").filter(pk=terms.pk).first()
    if found is None:
        raise TermsProblem("These terms are gone: somebody withdrew or replaced them.")
    return found


def _make_room(tenant: Tenant, start: datetime, until: datetime | None) -> None:
    """End the terms that would go on for ever where the new ones begin; others that overlap are in the way."""
    Terms.objects.filter(tenant_id=tenant.id, effective_to__isnull=True, effective_from__lt=start).update(
        effective_to=start
    )
    in_the_way = contract_months.in_force(tenant.id, start, until).first()
    if in_the_way:
        begins = f"{in_the_way.effective_from:%Y-%m-%d %H:%M} UTC"
        raise TermsProblem(f"Other terms are agreed from {begins} on: end or withdraw them first.")


def _store(
    tenant: Tenant, contract: Contract, effective_from: datetime, effective_to: datetime | None, now: datetime
) -> Terms:
    terms = Terms.objects.create(
        tenant_id=tenant.id, effective_from=effective_from, effective_to=effective_to, minimum=contract.minimum,
        free_amount=contract.free_amount, note=contract.note, created_at=now,
    )  # fmt: skip
    TierRule.objects.bulk_create(
        TierRule(
            tenant_id=tenant.id, terms=terms, position=place, pattern=rule.pattern, token_class=rule.token_class,
            mode=rule.tiers.mode, unit=rule.unit, thresholds=list(rule.tiers.thresholds),
            prices=list(rule.tiers.prices),
        )
        for place, rule in enumerate(contract.tiers, 1)
    )  # fmt: skip
    FreeTokens.objects.bulk_create(
        FreeTokens(
            tenant_id=tenant.id, terms=terms, position=place, pattern=free.pattern, token_class=free.token_class,
            tokens=free.tokens,
        )
        for place, free in enumerate(contract.free_tokens, 1)
    )  # fmt: skip
    return terms


def _check_quarter(moment: datetime) -> None:
    if moment != periods.bucket_of(moment):
        raise TermsProblem(f"{moment:%H:%M:%S} is not on a quarter of an hour: terms begin and end on one.")


def _closed_until(moment: datetime) -> str:
    return (
        f"The months until {moment:%Y-%m-%d %H:%M} UTC are closed and invoiced: what was agreed for them stays. "
        "Agree or end terms from then on."
    )


def _check_contract(contract: Contract) -> None:
    if not (contract.minimum or contract.free_amount or contract.tiers or contract.free_tokens):
        raise TermsProblem("These terms say nothing: give them tiers, free tokens, a free amount or a minimum.")
    if not 0 <= contract.minimum <= MOST_AMOUNT or not 0 <= contract.free_amount <= MOST_AMOUNT:
        raise TermsProblem("A minimum and a free amount are from 0 to 1,000,000,000,000 USD.")
    if len(contract.tiers) > MOST_RULES or len(contract.free_tokens) > MOST_RULES:
        raise TermsProblem(f"At most {MOST_RULES} tiers and {MOST_RULES} free allowances are agreed at once.")
    for rule in contract.tiers:
        _check_usage(rule.pattern, rule.token_class)
        _check_tiers(rule)
    for free in contract.free_tokens:
        _check_usage(free.pattern, free.token_class)
        if not 1 <= free.tokens <= MOST_TOKENS:
            raise TermsProblem("Free tokens are from 1 to 10^18 a month.")


def _check_usage(pattern: str, token_class: str) -> None:
    if not 1 <= len(pattern.strip()) <= 200:
        raise TermsProblem("Say for which models, such as gpt-4o*, or * for all.")
    if token_class not in ("", *TOKEN_CLASSES):
        raise TermsProblem(f"{token_class[:20]!r} is no token class.")


def _check_tiers(rule: TierTerms) -> None:
    if len(rule.tiers.thresholds) > MOST_TIERS:
        raise TermsProblem(f"At most {MOST_TIERS} tiers in a rule.")
    most = MOST_AMOUNT if rule.unit == USD else MOST_TOKENS
    if rule.tiers.thresholds[-1] > most:
        raise TermsProblem("A tier begins above anything that can be used.")
    if rule.unit == USD and max(rule.tiers.prices) > BASIS_POINTS:
        raise TermsProblem("A discount is at most 100 per cent.")
    if rule.unit != USD and max(rule.tiers.prices) > catalog.MOST_PRICE:
        raise TermsProblem("A price is from 0 to 1,000,000 USD per 1M tokens.")
