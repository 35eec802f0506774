"""Credit: granted, used in order, given back by corrections, expired, refunded; and the books that say so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.utils import IntegrityError

from billing import books, charges, closing, credit_ends, credit_notes, credit_rounds, credits, ledger
from billing.charges import Wanted
from billing.credits import CreditProblem
from billing.grants import Terms
from billing.invoice_events import Said
from billing.meters import Usage
from billing.models import CreditDue, CreditGrant, CreditUse, Transfer
from billing.periods import month
from portal.tenancy import as_operator
from tests.billing.world import USD, World, as_role, run

MARCH = month("2027-03", "Europe/Paris")
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def operator(db: None) -> Iterator[None]:
    with as_operator():
        yield


def give(world: World, kind: str, amount: int, **options: Any) -> CreditGrant:
    """A grant from now on, under a key of its own."""
    terms = Terms(kind, amount, options.pop("starts_at", world.clock), **options)
    key = f"{kind}-{amount}-{CreditGrant.objects.count()}"
    return credits.grant(tenant=world.tenant, terms=terms, key=key, now=world.clock)


def spend(world: World, exact: int, subject: str = "s") -> None:
    """Something on the wallet besides calls: what is charged for a subject is brought to an amount."""
    wanted = Wanted("other", subject, "Something", exact)
    charges.bring_to(tenant=world.tenant, period=MARCH, wanted=wanted, now=world.clock)


def left(*grants: CreditGrant) -> list[int]:
    """What is unused of grants."""
    known = {row.pk: int(row.unused) for row in CreditGrant.objects.all()}
    return [known[grant.pk] for grant in grants]


def use(world: World) -> None:
    """Everything due is sliced, as the job does, and the books still balance."""
    world.post()
    credit_rounds.use(tenant=world.tenant, now=world.clock)
    credit_rounds.use(tenant=world.tenant, now=world.clock)
    assert books.check(tenant_id=world.tenant.id).differences == ()


@pytest.fixture
def empty(db: None) -> World:
    """A prepaid tenant with nothing in its wallet."""
    return World(mode="prepaid", credit=0)


def test_invariant_19_credit_is_used_by_priority_then_end_then_age(empty: World) -> None:
    later = give(empty, "paid", 10, priority=5)
    first = give(empty, "paid", 10, priority=1)
    endless = give(empty, "promotional", 10, priority=3)
    soon = give(empty, "promotional", 10, priority=3, expires_at=empty.clock + DAY)
    younger = give(empty, "paid", 10, priority=5)
    order = [first, soon, endless, later, younger]
    for spent in range(0, 51, 7):
        spend(empty, spent)
        use(empty)
        assert left(*order) == [max(0, 10 - max(0, spent - 10 * place)) for place in range(5)]


def test_invariant_19_what_was_paid_for_is_used_last_unless_it_says_otherwise(empty: World) -> None:
    paid, goodwill, gift = (give(empty, kind, 10) for kind in ("paid", "goodwill", "promotional"))
    spend(empty, 15)
    use(empty)
    assert left(gift, goodwill, paid) == [0, 5, 10]


def test_invariant_20_granted_is_consumed_and_expired_and_refunded_and_left(empty: World) -> None:
    gift = give(empty, "promotional", 10 * USD, expires_at=empty.clock + DAY)
    paid = give(empty, "paid", 10 * USD)
    spend(empty, 4 * USD)
    use(empty)
    credit_ends.refund(tenant=empty.tenant, grant=paid, amount=3 * USD, key="r", now=empty.clock)
    empty.clock += DAY
    assert credit_rounds.expire(tenant=empty.tenant, now=empty.clock) == 6 * USD
    spend(empty, 5 * USD)
    use(empty)
    for one, parts in ((gift, (4, 6, 0, 0)), (paid, (1, 0, 3, 6))):
        sums = [sum(int(row.amount) for row in one.uses.filter(kind=kind)) for kind in CreditUse.Kind.values]
        assert [*sums, *left(one)] == [part * USD for part in parts]
    assert (empty.balance("wallet"), empty.balance("breakage"), empty.balance("goodwill")) == (
        -6 * USD, -6 * USD, 10 * USD,
    )  # fmt: skip
    assert empty.wallet().limit - empty.wallet().spent == 6 * USD


def test_invariant_21_a_correction_gives_back_what_it_took_the_last_first(empty: World) -> None:
    gift, paid = give(empty, "promotional", 10), give(empty, "paid", 10)
    spend(empty, 13, "corrected")
    use(empty)
    spend(empty, 4, "another")
    use(empty)
    assert left(gift, paid) == [0, 3]
    spend(empty, 8, "corrected")
    use(empty)
    assert left(gift, paid) == [2, 6]
    spend(empty, 0, "corrected")
    use(empty)
    assert left(gift, paid) == [10, 6]
    assert set(
        CreditUse.objects.filter(amount__lt=0).values_list("reverses__transfer__charge__subject", flat=True)
    ) == {"corrected"}


def test_invariant_21_late_usage_gives_its_own_call_s_credit_back(empty: World) -> None:
    gift = give(empty, "promotional", USD, expires_at=empty.clock + 30 * DAY)
    swept = empty.opening(USD)
    assert empty.open([swept]) == []
    empty.sweep()
    use(empty)
    taken = USD - left(gift)[0]
    paid = give(empty, "paid", USD, priority=0)
    empty.use(Usage(input=1000))
    use(empty)
    empty.settle([empty.ending(swept, Usage(input=10))])
    use(empty)
    assert taken == 100 * 150_000
    assert left(gift, paid) == [USD - 10 * 150_000, USD - 1000 * 150_000]


def test_what_gives_back_more_than_was_ever_taken_is_goodwill_credit(empty: World) -> None:
    paid = give(empty, "paid", 10)
    spend(empty, 4)
    use(empty)
    spend(empty, -6)
    use(empty)
    made = CreditGrant.objects.get(kind="goodwill")
    assert (left(paid, made), empty.balance("wallet")) == ([10, 6], -16)
    assert made.transfer is not None
    assert made.transfer.kind == Transfer.Kind.CHARGE


def test_what_no_credit_covers_is_due_and_taken_from_the_next(empty: World) -> None:
    paid = give(empty, "paid", 10)
    spend(empty, 25)
    use(empty)
    assert [int(row.amount) for row in CreditDue.objects.filter(tenant=empty.tenant)] == [15]
    gift = give(empty, "promotional", 20)
    use(empty)
    assert left(paid, gift) == [0, 5]
    assert not CreditDue.objects.filter(tenant=empty.tenant).exists()


def test_a_correction_of_what_no_credit_covered_makes_none(empty: World) -> None:
    paid = give(empty, "paid", 10)
    spend(empty, 25)
    use(empty)
    spend(empty, 12)
    use(empty)
    assert left(paid) == [0]
    assert [int(row.amount) for row in CreditDue.objects.filter(tenant=empty.tenant)] == [2]


def test_invariant_13_the_wallet_is_what_its_grants_have_left_less_what_is_due(empty: World) -> None:
    give(empty, "paid", 10 * USD)
    empty.use(Usage(input=1234, output=77))
    for _ in range(3):
        use(empty)
        unused = sum(int(row.unused) for row in CreditGrant.objects.filter(tenant=empty.tenant))
        assert unused == -empty.balance("wallet") == empty.wallet().limit - empty.wallet().spent
        empty.use(Usage(output=55))
        empty.post()


def test_a_top_up_is_a_paid_grant_and_one_under_the_same_key_is_the_same(empty: World) -> None:
    for _time in range(3):
        ledger.top_up(tenant=empty.tenant, amount=USD, key="k", now=empty.clock, memo="cash")
    one = CreditGrant.objects.get(tenant=empty.tenant)
    assert (one.kind, int(one.unused), one.expires_at, one.memo, one.key) == ("paid", USD, None, "cash", "k")


def test_a_grant_counts_once_per_key_and_at_once_for_calls(empty: World) -> None:
    terms = Terms("promotional", USD, empty.clock)
    made = {credits.grant(tenant=empty.tenant, terms=terms, key="k", now=empty.clock).pk for _ in range(3)}
    assert len(made) == 1
    assert (empty.wallet().limit, empty.balance("wallet"), empty.balance("goodwill")) == (USD, -USD, USD)
    with pytest.raises(CreditProblem, match="another credit"):
        credits.grant(tenant=empty.tenant, terms=Terms("promotional", 1, empty.clock), key="k", now=empty.clock)


def test_a_grant_of_later_is_in_the_wallet_from_its_start(empty: World) -> None:
    coming = give(empty, "promotional", USD, starts_at=empty.clock + DAY, expires_at=empty.clock + 2 * DAY)
    use(empty)
    assert (coming.transfer, empty.wallet().limit, empty.balance("wallet")) == (None, 0, 0)
    empty.clock += DAY
    assert empty.tenant.id in credits.waiting_tenants(empty.clock)
    use(empty)
    assert (empty.wallet().limit, empty.balance("wallet")) == (USD, -USD)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"kind": "stolen"}, "paid, promotional"),
        ({"amount": 0}, "more than nothing"),
        ({"amount": 10**21 + 1}, "billion"),
        ({"priority": -1}, "priority"),
        ({"priority": 1001}, "priority"),
        ({"expires_at": datetime.fromisoformat("2027-03-10T12:00:00+00:00")}, "ends after"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_in_words(empty: World, terms: dict[str, Any], words: str) -> None:
    wanted = Terms(**{"kind": "paid", "amount": USD, "starts_at": empty.clock, **terms})
    with pytest.raises(CreditProblem, match=words):
        credits.grant(tenant=empty.tenant, terms=wanted, key="k", now=empty.clock)


def test_a_tenant_that_pays_by_invoice_has_no_balance_to_put_credit_into(world: World) -> None:
    with pytest.raises(CreditProblem, match="pays by invoice"):
        give(world, "promotional", USD)


def test_what_is_held_does_not_expire_until_the_call_ends(empty: World) -> None:
    gift = give(empty, "promotional", 10 * USD, expires_at=empty.clock + DAY)
    running = empty.opening(7 * USD)
    assert empty.open([running]) == []
    empty.clock += DAY
    assert credit_rounds.expire(tenant=empty.tenant, now=empty.clock) == 3 * USD
    assert credit_rounds.expire(tenant=empty.tenant, now=empty.clock) == 0
    row = empty.wallet()
    assert row.spent + row.held == row.limit
    assert len(empty.open([empty.opening(1)])) == 1
    empty.settle([empty.ending(running, Usage(input=1000))])
    assert credit_rounds.expire(tenant=empty.tenant, now=empty.clock) == 7 * USD - 1000 * 150_000
    assert left(gift) == [0]
    assert empty.wallet().limit == empty.wallet().spent == 1000 * 150_000
    assert books.check(tenant_id=empty.tenant.id).differences == ()


def test_what_settled_calls_have_yet_to_take_does_not_expire(empty: World) -> None:
    gift = give(empty, "promotional", USD, expires_at=empty.clock + DAY)
    other = give(empty, "paid", USD)
    empty.use(Usage(input=1000))
    empty.clock += DAY
    assert credit_ends.expire(tenant=empty.tenant, now=empty.clock) == USD - 1000 * 150_000
    use(empty)
    assert left(gift, other) == [0, USD]


def test_a_credit_that_ends_later_stays(empty: World) -> None:
    gift = give(empty, "promotional", USD, expires_at=empty.clock + DAY)
    assert credit_rounds.expire(tenant=empty.tenant, now=empty.clock + DAY - timedelta(seconds=1)) == 0
    assert left(gift) == [USD]


def test_only_unused_paid_credit_is_refunded_and_once_per_key(empty: World) -> None:
    gift, paid = give(empty, "promotional", USD), give(empty, "paid", 5 * USD)
    assert empty.open([empty.opening(2 * USD)]) == []
    with pytest.raises(CreditProblem, match=r"4\.00 USD can be refunded"):
        credit_ends.refund(tenant=empty.tenant, grant=paid, amount=4 * USD + 1, key="k", now=empty.clock)
    with pytest.raises(CreditProblem, match="paid for"):
        credit_ends.refund(tenant=empty.tenant, grant=gift, amount=1, key="k", now=empty.clock)
    made = {
        credit_ends.refund(tenant=empty.tenant, grant=paid, amount=4 * USD, key="k", now=empty.clock).pk
        for _ in range(2)
    }
    assert (len(made), empty.balance("wallet"), empty.balance("payments")) == (1, -2 * USD, USD)
    assert empty.wallet().limit == 2 * USD


def test_another_tenant_s_credit_is_not_refunded(empty: World) -> None:
    paid = give(World(mode="prepaid", credit=0), "paid", USD)
    with pytest.raises(CreditProblem):
        credit_ends.refund(tenant=empty.tenant, grant=paid, amount=1, key="k", now=empty.clock)


def test_closing_a_month_takes_its_usage_from_credit(empty: World) -> None:
    paid = give(empty, "paid", USD)
    empty.use(Usage(input=1000))
    empty.clock += 31 * DAY
    closing.close(tenant=empty.tenant, month="2027-03", now=empty.clock, finalise=True)
    use(empty)
    assert left(paid) == [-empty.balance("wallet")]


def test_invariant_21_a_credit_note_gives_back_what_its_invoice_took(empty: World) -> None:
    gift = give(empty, "promotional", USD)
    empty.use(Usage(input=1_000_000))
    empty.clock += 31 * DAY
    invoice = closing.close(tenant=empty.tenant, month="2027-03", now=empty.clock, finalise=True)
    use(empty)
    after = left(gift)
    paid = give(empty, "paid", USD, priority=0)
    empty.use(Usage(input=100_000))
    use(empty)
    said = Said(reason="Wrong customer", actor="operator")
    credit_notes.issue(invoice=invoice, amounts=None, said=said, now=empty.clock)
    use(empty)
    assert after == [USD - 150_000_000_000]
    assert left(gift, paid) == [USD, USD - 15_000_000_000]


def test_a_broken_row_of_credit_is_found(empty: World) -> None:
    paid = give(empty, "paid", USD)
    empty.use(Usage(input=1000))
    use(empty)
    with as_role("none"):
        run("SET CONSTRAINTS ALL IMMEDIATE")
        run("ALTER TABLE billing_credituse DISABLE TRIGGER append_only")
        run("UPDATE billing_credituse SET amount = amount + 1 WHERE grant_id = %s", paid.pk)
        run("SET CONSTRAINTS ALL IMMEDIATE")
        columns = "(transfer_id, tenant_id, amount)"
        source = "SELECT id, tenant_id, 1 FROM billing_transfer WHERE tenant_id = %s LIMIT 1"
        run(f"INSERT INTO billing_creditdue {columns} {source}", empty.tenant.id)
    found = {difference.check for difference in books.check(tenant_id=empty.tenant.id).differences}
    assert found == {"credit granted = used + expired + refunded + left", "wallet = credit left - due"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_credituse SET amount = 1",
        "DELETE FROM billing_credituse",
        "UPDATE billing_creditgrant SET amount = amount + 1",
        "UPDATE billing_creditgrant SET unused = amount + 1",
        "UPDATE billing_creditgrant SET transfer_id = NULL",
        "DELETE FROM billing_creditgrant",
    ],
)
def test_grants_and_slices_are_never_changed(empty: World, statement: str) -> None:
    give(empty, "paid", USD)
    empty.use(Usage(input=1000))
    use(empty)
    with as_role("none"), pytest.raises(IntegrityError), transaction.atomic():
        run(statement)
