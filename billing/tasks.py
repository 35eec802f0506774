"""The jobs: sweep, post, prepare what time will need, forget what is over, close months, check the books.

Each may run twice, late or beside itself: every one asks the database what is left to do, and constraints or locks
make doing it again change nothing. Arguments are keywords; unknown ones, of a newer or older sender, are ignored.
"""

from __future__ import annotations

import logging
from typing import Any

from django.utils.timezone import now as current_time

from billing import (
    balance_alerts,
    books_history,
    budgets,
    closing,
    credit_rounds,
    dunning,
    journal,
    losses,
    outbox,
    parties,
    posting,
    reratings,
    settlement,
    terms,
    top_ups,
    vat_ids,
)
from billing.card_payments import charges, events
from billing.celery import app
from billing.exports import jobs as export_jobs
from billing.models import BooksCheck
from billing.vat_ids import VatIdProblem
from billing.webhooks import endpoints, watch
from billing.webhooks.courier import Courier

logger = logging.getLogger(__name__)

SWEEP_BATCH = 1_000


@app.task(name="billing.sweep")
def sweep(*, grace_s: int = 15, **_unknown: Any) -> None:
    """End what dead gateways left open. Goes by the database's clock, which heartbeats are written by."""
    ended = SWEEP_BATCH
    while ended == SWEEP_BATCH:
        ended = journal.sweep(now=journal.database_now(), grace_s=grace_s, limit=SWEEP_BATCH)
        if ended:
            logger.warning("swept %s calls whose gateway was lost", ended)


@app.task(name="billing.post")
def post(**_unknown: Any) -> None:
    """Post settled calls to roll-ups and ledger, and take what they cost from credit."""
    posting.post_everything(now=current_time())
    credit_rounds.use_all(now=current_time())


@app.task(name="billing.watch_wallets")
def watch_wallets(**_unknown: Any) -> None:
    """Top up the wallets that fill themselves, and tell people of those that run low."""
    top_ups.fire_due(now=current_time())
    balance_alerts.send_due(now=current_time())


@app.task(name="billing.watch_limits")
def watch_limits(**_unknown: Any) -> None:
    """Write messages of budgets that reached a threshold and of keys that expire, to tenants that want them."""
    watch.tell_of_budgets(now=current_time())
    watch.tell_of_keys(now=current_time())


@app.task(name="billing.deliver_messages")
def deliver_messages(**_unknown: Any) -> None:
    """Send the messages that are due; also those of a worker that died, once its lease is over."""
    Courier(current_time).run()


@app.task(name="billing.process_payments")
def process_payments(**_unknown: Any) -> None:
    """Do what the card provider's messages mean, charge and refund what was asked for, move credit to what is owed."""
    events.process_all(now=current_time())
    charges.send_all(now=current_time())
    settlement.settle_all(now=current_time())


@app.task(name="billing.expire_credit")
def expire_credit(**_unknown: Any) -> None:
    """Expire what is unused of credit whose time is over."""
    credit_rounds.expire_all(now=current_time())


@app.task(name="billing.prepare")
def prepare(**_unknown: Any) -> None:
    """Make the journal's partitions and the budgets' windows before time reaches them."""
    journal.ensure_partitions(now=current_time())
    budgets.ensure_windows(now=current_time())


@app.task(name="billing.forget")
def forget(**_unknown: Any) -> None:
    """Delete answers kept for a day, runs that cost nothing for as long, and messages after 30 days."""
    journal.forget_answers(now=current_time())
    journal.forget_runs(now=current_time())
    outbox.forget(now=current_time())
    endpoints.forget(now=current_time())


@app.task(name="billing.close_periods")
def close_periods(*, tenant: str | None = None, backwards: bool = False, **_unknown: Any) -> None:
    """Close last month for every tenant whose zone has left it some hours ago, or for one tenant (slug).

    Two of them run, from both ends of the list, and meet: what one has closed is nothing to do for the other.
    """
    if not tenant:
        posting.post_everything(now=current_time())
    tenants = [parties.tenant_by_slug(tenant)] if tenant else list(parties.every_tenant())
    for place, each in enumerate(reversed(tenants) if backwards else tenants):
        if place and place % 100 == 0:
            logger.info("closing months: %s of %s tenants looked at", place, len(tenants))
        try:
            invoice = closing.close_ended(tenant=each, now=current_time())
        except Exception:  # one tenant's trouble is logged and keeps nobody else's invoice
            logger.exception("closing the month of tenant %s failed", each.id)
            continue
        if invoice:
            logger.info("month of tenant %s: %s %s", each.id, invoice, invoice.parked_reason)


@app.task(name="billing.make_exports")
def make_exports(**_unknown: Any) -> None:
    """Make the exports that were asked for, and delete those that were kept long enough."""
    export_jobs.make_waiting()
    export_jobs.forget(now=current_time())


@app.task(name="billing.apply_contracts")
def apply_contracts(**_unknown: Any) -> None:
    """Bring what contracts make of the running month up to date for prepaid wallets, and for them alone."""
    for tenant in parties.tenants_by_id(terms.prepaid_tenants(now=current_time())):
        try:
            terms.apply_running(tenant=tenant, now=current_time())
        except Exception:  # one tenant's trouble is logged and keeps nobody else's money
            logger.exception("the contract of tenant %s waits", tenant.id)


@app.task(name="billing.remind")
def remind(**_unknown: Any) -> None:
    """Remind tenants of invoices that are past due."""
    sent = dunning.remind(now=current_time())
    if sent:
        logger.info("%s reminders sent", sent)


@app.task(name="billing.check_vat_ids")
def check_vat_ids(**_unknown: Any) -> None:
    """Ask the EU's VIES service about VAT ids that have no recent answer, where the settings say so."""
    for tenant in parties.every_tenant():
        try:
            if vat_ids.is_due(tenant=tenant, now=current_time()):
                vat_ids.ask_vies(tenant=tenant, now=current_time())
        except VatIdProblem as problem:
            logger.warning("tenant %s: %s", tenant.id, problem)


@app.task(name="billing.check_books")
def check_books(*, check: int | None = None, **_unknown: Any) -> None:
    """Check everyone's books, or make the check that was asked for; each difference is an error in the log."""
    asked = BooksCheck.objects.filter(pk=check, finished_at__isnull=True).first() if check else None
    if check and asked is None:
        return  # it was made already: the message came twice
    report = books_history.run(now=current_time(), asked=asked)
    for difference in report.differences:
        logger.error("the books differ: %s", difference)
    logger.info("books checked: %s sums, %s differences", len(report.sums), len(report.differences))


@app.task(name="billing.check_margins")
def check_margins(**_unknown: Any) -> None:
    """Tell operators what is newly sold below what its upstream charges: by mail, and as an error in the log."""
    for loss in losses.tell(now=current_time()):
        logger.error("sold below cost: %s", losses.words(loss))


@app.task(name="billing.rerate")
def rerate(**_unknown: Any) -> None:
    """Go on with re-ratings that are to be counted or posted; one that fails is logged and keeps no other waiting."""
    for rerating_id in reratings.unfinished():
        try:
            reratings.work(rerating_id, now=current_time())
        except Exception:  # it is tried again with the next run
            logger.exception("re-rating %s was stopped", rerating_id)


@app.task(name="billing.rerate_late")
def rerate_late(**_unknown: Any) -> None:
    """Bring re-ratings to usage that came after they were posted."""
    late = reratings.catch_up(now=current_time())
    if late:
        logger.info("%s re-ratings had late usage", late)
