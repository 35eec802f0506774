"""``manage.py import_prices``: what it proposes, what it applies, what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.utils.timezone import now

from billing import catalog, proposals
from billing.models import Price
from billing.models import PriceProposal as Waiting
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from proxy.demo import offers
from proxy.models import Model, ModelAlias, PriceImport, PriceProposal, Route, Upstream
from proxy.pricing_import import reading, review, stored
from proxy.pricing_import.review import Outcome, Terms
from tests.proxy.commands import run

SMALL = Path(__file__).with_name("price_files") / "small.json"

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Iterator[Upstream]:
    """An upstream that is the file's provider “house”, selling some of its models."""
    with as_operator():
        upstream = Upstream.objects.create(name="house", base_url="https://api.house.test/v1")
        sell("swift", upstream, "house-mini")
        sell("house-large", upstream, "house-large")
        sell("house-dear-priority", upstream, "house-dear-priority")
        sell("house-clock", upstream, "house-clock")
        sell("stranger", upstream, "nobody-has-it")
        yield upstream


def sell(name: str, upstream: Upstream, upstream_model: str) -> Model:
    model = Model.objects.create(name=name, context_window=1000, max_output_tokens=100)
    Route.objects.create(model=model, upstream=upstream, upstream_model=upstream_model)
    return model


def publish(model: str, *, source: str = Price.Source.IMPORT, **prices: int) -> Price:
    moment = now()
    made = catalog.publish(
        book=catalog.default_book(),
        model=model,
        prices={"input": 150_000, "output": 600_000, **prices},
        effective_from=moment,
        now=moment,
        source=source,
    )
    assert made is not None
    return made


def told(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("import_prices", str(SMALL), "--json", *arguments))
    return found


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {one["model"]: one["status"] for one in found["models"]}


def prices_of(model: str) -> list[Price]:
    with as_operator():
        return list(Price.objects.filter(model=model).order_by("effective_from", "variant"))


def applied_rows(*names: str, **terms: Any) -> Outcome:
    """Keep a review of the small file, and apply entries of it by name."""
    with as_operator():
        kept = stored.keep(file=reading.read(SMALL.read_bytes()), source="small.json", actor=None, now=now())
        rows = PriceProposal.objects.filter(price_import=kept, name__in=names).order_by("pk")
        return apply_again(list(rows), **terms)


def apply_again(rows: list[PriceProposal], **terms: Any) -> Outcome:
    moment = now()
    with as_operator():
        return review.apply_rows(rows, Terms(**{"effective_from": moment, "now": moment, **terms}))


def test_it_proposes_and_changes_nothing(shop: Upstream) -> None:
    found = told()

    assert statuses(found) == {
        "swift": "new",
        "house-large": "new",
        "house-dear-priority": "suspicious",
        "house-clock": "not_understood",
    }
    assert found["missing"] == ["stranger"]
    assert found["counts"] == {"new": 2, "suspicious": 2, "not_understood": 2, "available": 3}
    assert not Price.objects.exists()
    assert not AuditEntry.objects.exists()


def test_it_prints_old_and_new_prices_and_the_reasons(shop: Upstream) -> None:
    publish("swift", cache_read=100_000)
    printed = run("import_prices", str(SMALL))

    assert "~ swift (house-mini): changed" in printed
    assert "    cache_read 0.10 → 0.075" in printed
    assert "    priority: input none → 0.25" in printed
    assert "? priority: input costs 50.00, and 1.00 otherwise: 50 times as much." in printed
    assert "left out: input_cost_per_token_ultrafast" in printed
    assert "On sale, but not in the file: stranger" in printed
    assert "published with --apply" in printed


def test_it_applies_new_and_changed_prices_with_their_tiers(shop: Upstream) -> None:
    before = publish("swift", cache_read=100_000)
    found = told("--apply")

    assert sorted(found["applied"]) == ["house-large", "swift"]
    old, base, flex, priority = prices_of("swift")
    assert old.pk == before.pk
    assert old.effective_to == base.effective_from
    assert (base.input, base.cache_read, base.output, base.source) == (150_000, 75_000, 600_000, "import")
    assert (flex.service_tier, flex.input, flex.cache_read) == ("flex", 75_000, 37_500)
    assert (priority.service_tier, priority.output) == ("priority", 1_000_000)
    base, long = prices_of("house-large")
    assert (long.above_tokens, long.input, long.cache_write_1h) == (200_000, 6_000_000, 12_000_000)
    assert (base.cache_write_5m, base.cache_write_1h, base.per_web_search) == (3_750_000, 6_000_000, 10**10)
    assert prices_of("house-dear-priority") == []
    details = [row.detail for row in AuditEntry.objects.filter(action="price_import.apply").order_by("subject")]
    assert details[1]["changes"][0] == "cache_read 0.10 → 0.075"


def test_applying_twice_is_applying_once(shop: Upstream) -> None:
    told("--apply")
    count = Price.objects.count()
    again = told("--apply")

    assert statuses(again)["swift"] == "unchanged"
    assert again["applied"] == []
    assert Price.objects.count() == count


def test_it_never_replaces_your_own_price(shop: Upstream) -> None:
    mine = publish("swift", source=Price.Source.OPERATOR, cache_read=100_000)
    found = told("--apply")
    shown = next(one for one in found["models"] if one["model"] == "swift")

    assert shown["status"] == "yours"
    assert {"when": "", "name": "cache_read", "old": "0.10", "new": "0.075"} in shown["prices"]
    assert [price.pk for price in prices_of("swift")] == [mine.pk]


def test_it_suspects_a_jump_against_the_price_in_force(shop: Upstream) -> None:
    publish("swift", cache_read=100_000, reasoning=600_000_000, output=600_000_000)
    shown = next(one for one in told()["models"] if one["model"] == "swift")

    assert shown["status"] == "suspicious"
    assert "output would go from 600.00 to 0.60: the price in force is 1,000 times that." in shown["reasons"]


def test_it_takes_only_what_is_meant(shop: Upstream) -> None:
    assert statuses(told("--only", "sw*", "--apply")) == {"swift": "new"}
    assert prices_of("house-large") == []
    assert statuses(told("--only", "house-m*")) == {"swift": "unchanged"}


@pytest.mark.parametrize(
    ("content", "said"), [("<html>", "not JSON"), ("[]", "no object of models"), (None, "No such file")]
)
def test_it_says_what_is_wrong_with_the_file(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "prices.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CommandError, match=said):
        run("import_prices", str(path))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://prices.test/x.json", "start with https://"),
        ("ftp://prices.test/x.json", "start with https://"),
        ("https://127.0.0.1/x.json", "not on the public internet"),
        ("https://[::1]/x.json", "not on the public internet"),
        ("https://169.254.169.254/latest", "not on the public internet"),
        ("https://me:secret@prices.test/", "no user name or password"),
        ("https://no-such-host.invalid/x.json", "cannot be resolved"),
    ],
)
def test_it_fetches_from_the_public_internet_alone(url: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run("import_prices", url)


def test_a_suspicious_price_needs_to_be_confirmed(shop: Upstream) -> None:
    refused = applied_rows("house-dear-priority")
    confirmed = applied_rows("house-dear-priority", confirmed=frozenset({"house-dear-priority"}))

    assert refused.refused == [("house-dear-priority", "It is suspicious, and was not confirmed.")]
    assert confirmed.applied == ["house-dear-priority"]
    assert prices_of("house-dear-priority")[1].input == 50_000_000
    detail = AuditEntry.objects.get(action="price_import.apply").detail
    assert "50 times as much" in detail["confirmed"][0]


def test_a_reviewed_price_is_applied_once(shop: Upstream) -> None:
    assert applied_rows("house-mini").applied == ["swift"]
    rows = list(PriceProposal.objects.filter(name="house-mini"))
    count = Price.objects.count()

    assert apply_again(rows).already == ["swift"]
    assert Price.objects.count() == count


def test_a_review_does_not_overtake_what_was_published_since(shop: Upstream) -> None:
    with as_operator():
        stored.keep(file=reading.read(SMALL.read_bytes()), source="small.json", actor=None, now=now())
    rows = list(PriceProposal.objects.filter(name__in=("house-mini", "house-large")).order_by("name"))
    publish("swift", cache_read=100_000)
    publish("house-large", source=Price.Source.OPERATOR)
    outcome = apply_again(rows)

    assert [(name, why.partition(":")[0]) for name, why in outcome.refused] == [
        ("house-large", "The price in force is your own; it is never replaced by an import."),
        ("swift", "It was priced anew since this file was read"),
    ]


def test_what_cannot_be_applied_is_refused_in_words(shop: Upstream) -> None:
    assert applied_rows("house-clock").refused[0][1].startswith("It is priced by input_cost_per_second")
    late = applied_rows("house-mini", effective_from=now() - timedelta(days=1))
    assert "cannot start in the past" in late.refused[0][1]


def test_it_takes_a_model_on_with_limits_capabilities_and_price(shop: Upstream) -> None:
    model = Model.objects.get(name="house-large")
    Route.objects.filter(model=model).delete()
    model.delete()
    outcome = applied_rows("house-large", "house-embed", routed=frozenset({"house-embed"}))

    assert sorted(outcome.applied) == ["house-embed", "house-large"]
    taken = Model.objects.get(name="house-large")
    assert (taken.context_window, taken.max_output_tokens) == (200_000, 64_000)
    assert taken.capabilities == {"function_calling": True, "vision": True}
    assert not taken.routes.exists()
    embed = Model.objects.get(name="house-embed")
    assert embed.rules == {"operations": ["embeddings"]}
    assert embed.routes.get().upstream == shop
    assert [price.input for price in prices_of("house-embed")] == [20_000]
    assert AuditEntry.objects.filter(action="price_import.take_on").count() == 2


def test_it_takes_no_name_that_means_another_model(shop: Upstream) -> None:
    ModelAlias.objects.create(model=Model.objects.get(name="swift"), name="house-embed")
    Model.objects.create(name="house-mini", context_window=1, max_output_tokens=1)
    outcome = applied_rows("elsewhere/house-mini")

    assert outcome.refused == [("elsewhere/house-mini", "There is a model or an alias named house-mini already.")]


def test_a_route_needs_an_upstream_of_the_provider(shop: Upstream) -> None:
    outcome = applied_rows("elsewhere/house-mini", routed=frozenset({"elsewhere/house-mini"}))

    assert outcome.refused == [("elsewhere/house-mini", "There is no upstream of elsewhere.")]
    assert not Model.objects.filter(name="house-mini").exists()


def test_it_knows_where_a_price_was_from(shop: Upstream) -> None:
    """A model without a route is compared with the entry it was taken from, not with another of that name."""
    applied_rows("elsewhere/house-mini")
    found = {one["model"]: one for one in told()["models"]}

    assert (found["house-mini"]["entry"], found["house-mini"]["status"]) == ("elsewhere/house-mini", "unchanged")


def test_a_guess_by_name_is_told(shop: Upstream) -> None:
    Model.objects.create(name="house-embed", context_window=1, max_output_tokens=1)
    found = {one["model"]: one for one in told()["models"]}

    assert found["house-embed"]["notes"] == ["Found by its name alone: no route leads to house."]
    assert found["swift"]["notes"] == []


def test_of_old_reviews_only_what_was_applied_is_kept(shop: Upstream) -> None:
    applied_rows("house-mini")
    for _ in range(stored.MOST_KEPT + 2):
        applied_rows()
    oldest = PriceImport.objects.earliest("pk")

    assert [row.applied_as for row in oldest.proposals.all()] == ["swift"]
    assert PriceImport.objects.count() == stored.MOST_KEPT + 1


def test_the_list_prices_of_a_fresh_installation_can_be_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none-000000")
    with as_operator():
        offers.offer(sandbox_url="http://127.0.0.1:1/v1", now=now())
    assert {price.source for price in prices_of("gpt-4o")} == {"import"}
    assert {price.source for price in prices_of("sandbox/echo")} == {"operator"}


def test_under_four_eyes_an_import_is_one_proposal_that_waits(shop: Upstream, settings: Any) -> None:
    settings.FOUR_EYES = True
    found = told("--apply")
    assert (found["applied"], sorted(found["proposed"])) == ([], ["house-large", "swift"])
    assert prices_of("swift") == []
    assert told("--apply")["proposed"] == []
    with as_operator():
        (waiting,) = Waiting.objects.all()
        other = User.objects.create_superuser("other@tollgate.test", None)
        assert (waiting.origin, waiting.proposed_by) == ("import", None)
        proposals.approve(proposal_id=waiting.pk, actor_id=other.pk, now=now())
    assert {price.source for price in prices_of("swift")} == {"import"}
    assert len(prices_of("house-large")) > 1


def test_under_four_eyes_a_review_proposes_and_keeps_its_rows_open(shop: Upstream, settings: Any) -> None:
    settings.FOUR_EYES = True
    outcome = applied_rows("house-mini", "house-large")
    assert outcome.proposal == f"price proposal {Waiting.objects.get().pk}"
    assert (sorted(outcome.applied), outcome.refused) == (["house-large", "swift"], [])
    rows = list(PriceProposal.objects.filter(name__in=("house-mini", "house-large")))
    assert {row.applied_at for row in rows} == {None}
    again = apply_again(rows)
    assert (again.proposal, sorted(again.already)) == ("", ["house-large", "swift"])
    later = apply_again(rows, effective_from=now() + timedelta(days=2))
    assert {why.split(":")[1].strip() for _name, why in later.refused} == {"another change waits for approval"}
