"""The operators' price form: variants as lines, and taking back what has not begun."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from hypothesis import given
from hypothesis import strategies as st

from billing.meters import TOKEN_CLASSES
from billing.models import Price
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from proxy.admin import variant_lines
from proxy.admin.variant_lines import LineProblem
from proxy.models import Model
from tests.portal.cast import signed_in

PRICES = {"model": "swift", "book": "", "effective_from": "", "input": "0.15", "output": "0.60"}
LINES = """above 200,000: input 0.30, output 0.90, reasoning 1.20

flex: input 0.075
16:30-00:30, 12:00-13:00: input 0.05, per_image 0.01
flex above 272000 : input 0.15"""


@pytest.fixture
def staff(db: None) -> Client:
    with as_operator():
        Model.objects.create(name="swift", context_window=1000, max_output_tokens=100)
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


def add(client: Client, **values: str) -> str:
    """Publish; returns what the form says, if it came back."""
    answer: Any = client.post(reverse("admin:billing_price_add"), {**PRICES, **values})
    return "" if answer.status_code != 200 else str(answer.context["adminform"].form.errors.as_text())


def rows() -> list[Price]:
    with as_operator():
        return list(Price.objects.filter(model="swift").order_by("effective_from", "variant"))


def in_days(days: int) -> str:
    return (now() + timedelta(days=days)).strftime("%Y-%m-%d %H:%M")


def test_variants_are_published_as_they_are_typed_and_shown_as_they_are_read(staff: Client) -> None:
    assert add(staff, variants=LINES) == ""

    found = {row.variant: row for row in rows()}
    assert set(found) == {"", "above-200000", "flex", "off-peak", "flex.above-272000"}
    assert (found["above-200000"].reasoning, found["flex"].output) == (1_200_000, 600_000)
    assert found["off-peak"].hours == [[990, 30], [720, 780]]
    assert found["off-peak"].per_image == 10**10
    form = staff.get(reverse("admin:billing_price_add"), {"model": "swift"}).context["adminform"].form
    assert "flex: input 0.075" in form.initial["variants"].splitlines()
    assert "nothing to publish" in add(staff, variants=form.initial["variants"])
    listed = staff.get(reverse("admin:billing_price_changelist")).content.decode()
    assert "flex, above 272,000 prompt tokens" in listed
    assert (
        "above 200,000 prompt tokens"
        in staff.get(
            reverse("admin:proxy_model_change", args=[Model.objects.values_list("pk", flat=True).get()])
        ).content.decode()
    )


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("above 200000", "Line 1: conditions, a colon and prices"),
        ("\nflex: speed 5", "Line 2: speed is none of"),
        ("flex: input", "Line 1"),
        ("above: input 1", "Line 1"),
        ("Flex above 5: input 1", "Line 1"),
        ("25:00-26:00: input 1", "no span of hours"),
        ("flex: input 1\nflex: input 2", "flex is there twice"),
        ("default: input 1", "no service tier"),
    ],
)
def test_it_says_which_line_is_no_variant(staff: Client, lines: str, says: str) -> None:
    assert says in add(staff, variants=lines)
    assert rows() == []


PRICE = st.integers(0, 10**9)


@given(
    st.dictionaries(st.sampled_from(TOKEN_CLASSES), PRICE, min_size=1),
    st.sampled_from(["", "flex"]),
    st.sampled_from([0, 272_000]),
    st.sampled_from([[], [[990, 30]], [[0, 60], [120, 1440]]]),
)
def test_what_is_said_is_read_back(numbers: dict[str, int], tier: str, above: int, hours: list[list[int]]) -> None:
    if not (tier or above or hours):
        return
    row = Price(service_tier=tier, above_tokens=above, hours=hours, inherited=[], **dict.fromkeys(TOKEN_CLASSES, -1))
    row.inherited = [name for name in TOKEN_CLASSES if name not in numbers]
    for name, number in numbers.items():
        setattr(row, name, number)
    row.per_request = 0
    base = Price(input=-1, output=-1, per_request=0)
    (read,) = variant_lines.parse(variant_lines.said([row], base))
    assert (read.service_tier, read.above_tokens, [list(span) for span in read.hours]) == (tier, above, hours)
    assert read.prices == numbers


def test_no_lines_are_no_variants() -> None:
    assert variant_lines.parse("\n  \n") == []
    with pytest.raises(LineProblem):
        variant_lines.parse("x")


def test_a_price_that_has_not_begun_is_withdrawn_by_a_button_and_recorded(staff: Client) -> None:
    add(staff)
    assert add(staff, effective_from=in_days(2), variants="flex: input 0.01", input="9") == ""
    first, later, variant = rows()
    assert "already published" in add(staff, effective_from=in_days(1), input="8")
    page = staff.get(reverse("admin:billing_price_change", args=[later.pk])).content.decode()
    link = reverse("admin:billing_price_delete", args=[later.pk])
    assert link in page

    assert staff.post(link, {"post": "yes"}).status_code == 302

    assert [(row.pk, row.effective_to) for row in rows()] == [(first.pk, None)]
    with as_operator():
        entry = AuditEntry.objects.get(action="price.withdraw")
    assert entry.subject == str(later)
    assert variant.variant == "flex"
    assert add(staff, effective_from=in_days(1), input="8") == ""


def test_what_is_in_force_cannot_be_withdrawn(staff: Client) -> None:
    add(staff)
    (price,) = rows()
    page = staff.get(reverse("admin:billing_price_change", args=[price.pk])).content.decode()
    assert "it stays" in page
    assert staff.post(reverse("admin:billing_price_delete", args=[price.pk]), {"post": "yes"}).status_code == 403
    assert len(rows()) == 1
