"""Pricing past calls anew: asked for, counted, decided, posted as charges. The only writer of Rerating and its lines.

Stored events and finalised invoices stay as they are; the difference is a charge per tenant, month and model, a line of
the next invoice under its own month. A charge is brought to what all re-ratings together come to, so that a range
that is priced anew twice is charged by the last one alone, and a step that is made again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from billing import charges, parties, proposals, rerating_stack
from billing.catalog import PriceProblem
from billing.charges import Wanted
from billing.models import PriceBook, Rerating, ReratingLine, Transfer, UsageEvent, UsageRollup
from billing.money import usd
from billing.parties import Tenant
from billing.periods import Period, bucket_of
from billing.price_sheets import Sheet
from billing.rerating_stack import Layer, Scope, Sums

ONE_RERATER = 7_018
"""First half of the advisory lock under which one tenant's calls are priced anew, one re-rating after the other."""
ONE_WORKER = 7_020
"""First half of the session's advisory lock of whoever works on a re-rating."""
LONGEST = timedelta(days=400)
MOST_MODELS = 200
WATCHED = timedelta(days=62)
"""How long after its range a re-rating takes in usage that came late."""
UNSOLD = "Web searches or images were used that the new prices do not sell."
States = Rerating.State


class ReratingProblem(Exception):
    """A re-rating that cannot be, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls are priced anew, and how: no sheets give them back the prices they were admitted at."""

    book: PriceBook
    tenant_id: int | None
    models: Sequence[str]
    start: datetime
    end: datetime
    sheets: Sequence[Sheet]
    note: str


def ask(asked: Asked, *, actor_id: int | None, now: datetime) -> Rerating:
    """Ask for a preview; a job counts it. Raises ReratingProblem and PriceProblem."""
    if not asked.start < asked.end <= now:
        raise ReratingProblem("A range is from a moment to a later one, and is past.")
    if asked.end - asked.start > LONGEST:
        raise ReratingProblem(f"At most {LONGEST.days} days are priced anew at once.")
    if not 0 < len(asked.models) <= MOST_MODELS:
        raise ReratingProblem(f"1 to {MOST_MODELS} models are priced anew at once.")
    if not asked.note.strip():
        raise ReratingProblem("Say why: it is kept in the audit log.")
    if asked.sheets and {sheet.model for sheet in asked.sheets} != set(asked.models):
        raise PriceProblem("Every model needs its new prices.")
    for sheet in asked.sheets:
        sheet.version()
    return Rerating.objects.create(
        book=asked.book, tenant_id=asked.tenant_id, model_names=sorted(asked.models), starts_at=asked.start,
        ends_at=asked.end, rows=[sheet.as_json() for sheet in asked.sheets], note=asked.note.strip()[:200],
        alone=not proposals.four_eyes(), proposed_by_id=actor_id, created_at=now,
    )  # fmt: skip


def work(rerating_id: int, *, now: datetime) -> Rerating:
    """Do what is left of counting or posting, step by step, each in a transaction of its own; again changes nothing."""
    with _alone(rerating_id) as mine:
        row = Rerating.objects.get(pk=rerating_id)
        if mine and row.state == States.COUNTING:
            _count(row, _steps(row))
        elif mine and row.state == States.RUNNING:
            _post_rest(row, now=now)
    return Rerating.objects.get(pk=rerating_id)


@transaction.atomic
def confirm(*, rerating_id: int, actor_id: int, now: datetime) -> Rerating:
    """After the preview: begin, or wait for another operator where four eyes are asked for. Raises ReratingProblem."""
    row = _locked(rerating_id, States.PREVIEWED)
    if row.problem:
        raise ReratingProblem(row.problem)
    if proposals.four_eyes() or not row.alone:
        row.state = States.WAITING
        row.save(update_fields=["state"])
        return row
    return _begin(row, actor_id, now)


@transaction.atomic
def approve(*, rerating_id: int, actor_id: int, now: datetime) -> Rerating:
    """Begin what another operator proposed; refused if other re-ratings of the same calls were decided since.

    Raises ReratingProblem.
    """
    row = _locked(rerating_id, States.WAITING)
    if row.proposed_by_id == actor_id:
        raise ReratingProblem("Your own re-rating waits for another operator.")
    return _begin(row, actor_id, now)


@transaction.atomic
def reject(*, rerating_id: int, actor_id: int, reason: str, now: datetime) -> Rerating:
    """Drop a preview, or turn down a proposal, with a reason. Raises ReratingProblem."""
    row = _locked(rerating_id, States.PREVIEWED, States.WAITING, States.COUNTING)
    if not reason.strip():
        raise ReratingProblem("Say why it is rejected.")
    row.state, row.decided_by_id, row.decided_at, row.reason = States.REJECTED, actor_id, now, reason.strip()[:200]
    row.save(update_fields=["state", "decided_by", "decided_at", "reason"])
    return row


def unfinished() -> list[int]:
    """Re-ratings that a job has to count or to post."""
    found = Rerating.objects.filter(state__in=(States.COUNTING, States.RUNNING))
    return list(found.order_by("id").values_list("id", flat=True))


def catch_up(*, now: datetime) -> int:
    """Bring the charges of done re-ratings to usage of their range that came since; returns how many had some."""
    late = [row for row in Rerating.objects.filter(state=States.DONE, ends_at__gt=now - WATCHED) if _has_late(row)]
    for row in late:
        for tenant, period in _steps(row):
            _post(row, tenant, period, now=now)
        Rerating.objects.filter(pk=row.pk).update(finished_at=now)
    return len(late)


@contextmanager
def _alone(rerating_id: int) -> Iterator[bool]:
    """Whether nobody else works on it: the job may be started again while it runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashint8(%s))", [ONE_WORKER, rerating_id])
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, hashint8(%s))", [ONE_WORKER, rerating_id])


def _steps(row: Rerating) -> list[tuple[Tenant, Period]]:
    """Tenants' months that the range touches, of everyone it concerns."""
    steps = [
        (tenant, period)
        for tenant in _tenants(row)
        for period in rerating_stack.months(tenant, row.starts_at, row.ends_at)
    ]
    Rerating.objects.filter(pk=row.pk).update(steps=len(steps))
    return steps


def _post_rest(row: Rerating, *, now: datetime) -> None:
    """Post the months that are not posted yet; who was stopped goes on there."""
    posted = set(
        ReratingLine.objects.filter(rerating=row, posted_at__isnull=False).values_list("tenant_id", "period_label")
    )
    for done, (tenant, period) in enumerate(_steps(row), 1):
        with transaction.atomic():
            if (tenant.id, period.label) not in posted:
                _post(row, tenant, period, now=now)
            Rerating.objects.filter(pk=row.pk, state=States.RUNNING).update(steps_done=done)
    Rerating.objects.filter(pk=row.pk, state=States.RUNNING).update(state=States.DONE, finished_at=now)


def _count(row: Rerating, steps: Sequence[tuple[Tenant, Period]]) -> None:
    """The lines of the preview, a tenant's month at a time; those that are there are not counted again."""
    counted = set(ReratingLine.objects.filter(rerating=row).values_list("tenant_id", "period_label"))
    counting = Rerating.objects.filter(pk=row.pk, state=States.COUNTING)
    for done, (tenant, period) in enumerate(steps, 1):
        with transaction.atomic():
            if (tenant.id, period.label) not in counted and any(one.unsold for one in _measure(row, tenant, period)):
                counting.update(problem=UNSOLD)  # with its step: who goes on after a kill does not look there again
            counting.update(steps_done=done)
    counting.update(state=States.PREVIEWED, steps_done=len(steps))


def _measure(row: Rerating, tenant: Tenant, period: Period) -> list[Sums]:
    """Write a tenant's month of the preview: what its calls come to before and after."""
    new, scope = Layer.of(row), _scope(row)
    found = rerating_stack.sums(rerating_stack.windows(tenant, period, (*scope.layers, new)), scope, new)
    lines = [
        ReratingLine(
            rerating=row, tenant_id=tenant.id, period_label=label, model=model, requests=one.requests,
            before=one.before, after=one.after,
        )
        for (_tenant, label, model), one in found.items()
    ]  # fmt: skip
    ReratingLine.objects.bulk_create(lines, ignore_conflicts=True)  # another worker may count the same month
    return list(found.values())


@transaction.atomic
def _post(row: Rerating, tenant: Tenant, period: Period, *, now: datetime) -> None:
    """Bring the charges of a tenant's month to what every decided re-rating makes of its calls."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [ONE_RERATER, tenant.id])
    scope = _scope(row)  # read under the lock: what was decided meanwhile holds, too
    found = rerating_stack.sums(rerating_stack.windows(tenant, period, scope.layers), scope)
    for model in row.model_names:
        one = found.get((tenant.id, period.label, model), Sums())
        wanted = Wanted(
            "rerated", _subject(row.book_id, model), _words(model, row), one.after - one.admitted,
            {"re-rating": row.pk, "model": model, "requests": one.requests, "at_admission": usd(one.admitted),
             "priced_anew": usd(one.after)},
        )  # fmt: skip
        charges.bring_to(tenant=tenant, period=period, wanted=wanted, now=now)
    lines = ReratingLine.objects.filter(rerating=row, tenant_id=tenant.id, period_label=period.label)
    lines.filter(posted_at=None).update(posted_at=now)


def _scope(row: Rerating) -> Scope:
    layers = rerating_stack.layers_of(models=row.model_names, book_id=row.book_id)
    return Scope(row.model_names, row.book_id, layers)


def _subject(book_id: int, model: str) -> str:
    """One subject per book and model; long names are cut and told apart by their hash."""
    subject = f"book {book_id}: {model}"
    if len(subject) <= 120:
        return subject
    return f"{subject[:100]}…{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def _words(model: str, row: Rerating) -> str:
    last = row.ends_at - timedelta(microseconds=1)
    return f"{model}, priced anew ({row.starts_at:%Y-%m-%d} to {last:%Y-%m-%d} UTC)"[:200]


def _begin(row: Rerating, actor_id: int, now: datetime) -> Rerating:
    if row.problem:
        raise ReratingProblem(row.problem)
    since = rerating_stack.layers_of(models=row.model_names, book_id=row.book_id)
    others = [
        layer.id for layer in since if None in (layer.tenant_id, row.tenant_id) or layer.tenant_id == row.tenant_id
    ]
    decided = Rerating.objects.filter(pk__in=others, decided_at__gt=row.created_at)
    if decided.filter(starts_at__lt=row.ends_at, ends_at__gt=row.starts_at).exists():
        raise ReratingProblem("Other re-ratings of these calls were decided since the preview: count it anew.")
    row.state, row.decided_by_id, row.decided_at, row.steps_done = States.RUNNING, actor_id, now, 0
    row.save(update_fields=["state", "decided_by", "decided_at", "steps_done"])
    return row


def _locked(rerating_id: int, *states: str) -> Rerating:
    row = Rerating.objects.select_for_update(of=("self",)).get(pk=rerating_id)
    if row.state not in states:
        raise ReratingProblem(f"It is {row.state} already.")
    return row


def _tenants(row: Rerating) -> list[Tenant]:
    """Who had calls of these models in the range, posted or not; the one it is for, whether it had or not."""
    if row.tenant_id is not None:
        return parties.tenants_by_id([row.tenant_id])
    span = {"model__in": row.model_names}
    posted = UsageRollup.objects.filter(**span, bucket_at__gte=bucket_of(row.starts_at), bucket_at__lt=row.ends_at)
    fresh = UsageEvent.objects.filter(
        **span, state="settled", transfer_id=None, opened_at__gte=row.starts_at, opened_at__lt=row.ends_at
    )
    ids: Iterable[int] = {
        *posted.values_list("tenant_id", flat=True).distinct(), *fresh.values_list("tenant_id", flat=True).distinct()
    }  # fmt: skip
    return parties.tenants_by_id(ids)


def _has_late(row: Rerating) -> bool:
    """Whether usage of the range was posted since its re-rating was: calls that ended late, or true usage."""
    mine = {"tenant_id": row.tenant_id} if row.tenant_id is not None else {}
    found = Transfer.objects.filter(
        kind__in=(Transfer.Kind.USAGE, Transfer.Kind.ADJUSTMENT), posted_at__gte=row.finished_at or row.created_at,
        effective_at__gte=bucket_of(row.starts_at), effective_at__lt=row.ends_at, **mine,
    )  # fmt: skip
    return found.exists()
