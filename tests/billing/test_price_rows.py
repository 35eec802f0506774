"""Variants as they are stored, published, withdrawn, used and invoiced."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from pypdf import PdfReader

from billing import books, catalog, closing, invoice_pdf
from billing.catalog import PriceProblem, VariantPrices
from billing.meters import Usage
from billing.models import Price
from billing.pricing import PriceVersion, rate
from portal.tenancy import as_operator
from tests.billing.world import PRICES, USD, World, as_role, run

LONG = 200_000
ABOVE = VariantPrices("above-200000", LONG, "", (), {"input": 300_000, "output": 900_000})
FLEX = VariantPrices("flex", 0, "flex", (), {"input": 75_000})
NIGHT = VariantPrices("off-peak", 0, "", ((990, 30),), {"input": 50_000, "output": 200_000})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def publish(world: World, *variants: VariantPrices, later: timedelta = HOUR, **prices: int) -> Price | None:
    with as_operator():
        return catalog.publish(
            book=catalog.default_book(), model=world.model, prices={**PRICES, **prices}, variants=variants,
            effective_from=world.clock + later, now=world.clock,
        )  # fmt: skip


def rows(world: World) -> list[Price]:
    with as_operator():
        return list(Price.objects.filter(model=world.model).order_by("effective_from", "variant"))


def in_force(world: World, later: timedelta = HOUR) -> PriceVersion:
    with as_operator():
        found = catalog.price_list(catalog.default_book(), world.model).at(world.clock + later)
    assert found
    return found


def test_a_variant_is_a_row_beside_the_base_price_and_takes_what_it_does_not_say(world: World) -> None:
    base = publish(world, ABOVE, FLEX, NIGHT, per_web_search=7)
    assert base
    assert (base.variant, base.source) == ("", "operator")
    made = {row.variant: row for row in rows(world) if row.effective_from == base.effective_from}
    assert set(made) == {"", "above-200000", "flex", "off-peak"}
    above, flex = made["above-200000"], made["flex"]
    assert (above.cache_read, above.reasoning, above.per_web_search) == (300_000, 900_000, 7)
    assert (flex.input, flex.output, flex.reasoning) == (75_000, 600_000, 600_000)
    assert flex.inherited[0] == "output"
    assert made["off-peak"].hours == [[990, 30]]
    found = in_force(world)
    assert {one.variant for one in found.variants} == {"above-200000", "flex"}  # it is one in the afternoon
    assert found.chosen(Usage(input=LONG + 1)).id == above.pk
    assert in_force(world, timedelta(hours=6)).id == made["off-peak"].pk


def test_a_new_version_closes_the_base_price_and_its_variants_together(world: World) -> None:
    publish(world, ABOVE, FLEX)
    publish(world, FLEX, later=DAY, input=9)
    ends = {(row.input, row.variant): row.effective_to for row in rows(world)[1:4]}
    moment = world.clock + DAY
    assert ends[300_000, "above-200000"] == ends[75_000, "flex"] == ends[150_000, ""] == moment
    assert [row.variant for row in rows(world) if row.effective_to is None] == ["", "flex"]
    assert [one.variant for one in in_force(world, DAY).variants] == ["flex"]


def test_what_is_in_force_with_its_variants_is_not_published_again(world: World) -> None:
    assert publish(world, ABOVE, FLEX)
    assert publish(world, FLEX, ABOVE, later=DAY) is None
    assert publish(world, ABOVE, later=DAY)
    assert publish(world, ABOVE, later=2 * DAY) is None
    dearer = ABOVE._replace(prices={**ABOVE.prices, "input": 300_001})
    assert publish(world, dearer, later=2 * DAY)


def test_who_set_the_numbers_is_kept(world: World) -> None:
    with as_operator():
        made = catalog.publish(
            book=catalog.default_book(), model=world.model, prices={"input": 1, "output": 1}, variants=[ABOVE],
            effective_from=world.clock + HOUR, now=world.clock, source="import",
        )  # fmt: skip
        assert made
        assert set(
            Price.objects.filter(effective_from=made.effective_from, model=world.model).values_list("source")
        ) == {("import",)}


@pytest.mark.parametrize(
    ("variants", "says"),
    [
        ([ABOVE, ABOVE], "twice"),
        ([ABOVE, ABOVE._replace(variant="other")], "at once"),
        ([ABOVE._replace(variant="")], "no name"),
        ([FLEX._replace(above_tokens=5)], "needs a price for every request"),
        ([FLEX._replace(prices={"input": -1})], "flex: input"),
        ([NIGHT._replace(hours=((5, 5),))], "no span of hours"),
    ],
)
def test_variants_that_are_none_are_refused_in_words(world: World, variants: list[VariantPrices], says: str) -> None:
    with pytest.raises(PriceProblem, match=says):
        publish(world, *variants)
    assert len(rows(world)) == 1


def test_invariant_4_variants_overlap_with_themselves_only(world: World) -> None:
    publish(world, ABOVE)
    with as_operator():
        row = Price.objects.get(model=world.model, variant="above-200000")
        row.pk = None
        row.effective_from += HOUR
        with pytest.raises(IntegrityError, match="overlap"), transaction.atomic():
            row.save(force_insert=True)
        row.variant = "above-300000"
        row.save(force_insert=True)
        row.pk, row.variant, row.above_tokens = None, "nothing", 0
        with pytest.raises(IntegrityError, match="price_variant_has_conditions"), transaction.atomic():
            row.save(force_insert=True)


# -- taking back


def test_a_price_that_has_not_begun_can_be_withdrawn_and_blocks_nothing_any_more(world: World) -> None:
    publish(world, ABOVE)
    later = publish(world, FLEX, later=2 * DAY, input=9)
    assert later
    with pytest.raises(PriceProblem, match="already published"):
        publish(world, later=DAY, input=8)
    with as_operator():
        catalog.withdraw(later, world.clock)
    assert [(row.variant, row.effective_to) for row in rows(world)][1:] == [("", None), ("above-200000", None)]
    assert publish(world, later=DAY, input=8)
    with as_operator(), pytest.raises(PriceProblem, match="withdrawn already"):
        catalog.withdraw(later, world.clock)


def test_withdrawing_by_a_variant_withdraws_the_whole_version(world: World) -> None:
    publish(world, FLEX)
    with as_operator():
        catalog.withdraw(Price.objects.get(model=world.model, variant="flex"), world.clock)
    assert [(row.pk, row.effective_to) for row in rows(world)] == [(world.price.id, None)]


def test_what_has_begun_and_what_has_a_successor_is_not_withdrawn(world: World) -> None:
    middle = publish(world, input=9)
    last = publish(world, later=DAY, input=10)
    assert middle
    assert last
    with as_operator():
        with pytest.raises(PriceProblem, match="withdraw that one first"):
            catalog.withdraw(middle, world.clock)
        for moment in (last.effective_from, last.effective_from + HOUR, last.effective_from - timedelta(seconds=30)):
            with pytest.raises(PriceProblem, match="in force or was"):
                catalog.withdraw(last, moment)
        catalog.withdraw(last, world.clock)
        catalog.withdraw(middle, world.clock)
    assert [(row.pk, row.effective_to) for row in rows(world)] == [(world.price.id, None)]


def test_invariant_5_the_database_lets_nobody_delete_or_reopen_what_has_begun(world: World) -> None:
    """By its own clock, which is behind the world's: rows of last year have begun by both."""
    with as_operator():
        past = Price.objects.get(pk=world.price.id)
        past.pk, past.model = None, f"{world.model}-past"
        past.effective_from -= 400 * DAY
        past.effective_to = past.effective_from + DAY
        past.save(force_insert=True)
    for statement in (
        "DELETE FROM billing_price WHERE id = %s",
        "UPDATE billing_price SET effective_to = NULL WHERE id = %s",
    ):
        with pytest.raises(DatabaseError, match="never changed"), as_role("tollgate_operator"):
            run(statement, past.pk)
    publish(world, input=9)
    with pytest.raises(DatabaseError, match="never changed"), as_role("tollgate_operator"):
        run("UPDATE billing_price SET effective_to = NULL WHERE id = %s", world.price.id)
    with pytest.raises(DatabaseError, match="permission denied"), as_role("tollgate_portal"):
        run("DELETE FROM billing_price WHERE id = %s", world.price.id)


# -- used and invoiced


def call(world: World, usage: Usage, tier: str = "") -> int:
    """A call admitted by the base price and rated by what was used; returns the price that rated it."""
    opening = world.opening(hold=USD)
    assert world.open([opening]) == []
    chosen = world.price.chosen(usage, tier)
    assert world.settle([replace(world.ending(opening, usage, price=chosen), price_id=chosen.id)]) == 1
    event = world.event(opening)
    assert (event.price_id, event.cost) == (chosen.id, rate(usage, chosen))
    return chosen.id


def test_a_long_call_has_lines_of_its_own_on_the_invoice_and_the_books_balance(world: World) -> None:
    publish(world, ABOVE, FLEX)
    world.clock += HOUR
    world.price = in_force(world, timedelta(0))
    used = [call(world, Usage(input=LONG)), call(world, Usage(input=LONG + 1)), call(world, Usage(input=10), "flex")]
    assert len(set(used)) == 3
    with as_operator():
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        lines = {line.price_id: (line.quantity, line.unit_price) for line in invoice.lines.all()}
        assert lines == dict(zip(used, [(LONG, 150_000), (LONG + 1, 300_000), (10, 75_000)], strict=True))
        assert int(invoice.exact) == LONG * 150_000 + (LONG + 1) * 300_000 + 10 * 75_000
        assert books.check(tenant_id=world.tenant.id).differences == ()
        pdf = PdfReader(BytesIO(invoice_pdf.render(invoice)))
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert "above 200,000 prompt tokens" in text
    assert "flex" in text


def test_a_swept_call_is_rated_by_the_variant_its_estimate_comes_to(world: World) -> None:
    publish(world, ABOVE)
    world.clock += HOUR
    world.price = in_force(world, timedelta(0))
    long, short = replace(world.opening(), input_estimate=LONG + 1), world.opening()
    world.open([long, short])
    assert world.sweep() == 2
    assert world.event(long).price_id == world.price.variants[0].id
    assert world.event(long).cost == (LONG + 1) * 300_000
    assert world.event(short).price_id == world.price.id
    world.settle([replace(world.ending(long, Usage(input=LONG)), price_id=world.price.id)])
    world.post()
    with as_operator():
        invoice = closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)
        assert int(invoice.exact) == (LONG + 100) * 150_000
        assert books.check(tenant_id=world.tenant.id).differences == ()
