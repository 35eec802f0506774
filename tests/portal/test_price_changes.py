"""Operators see last month's bills at new prices before they save them, and a second one approves where asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing import catalog, costs, proposals
from billing.meters import Usage
from billing.models import Price, PriceProposal
from billing.periods import last_ended
from billing.price_sheets import Sheet
from billing.proposals import Change
from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from proxy.models import Model, Route, Upstream
from tests.billing.world import PRICES, World, run
from tests.portal.cast import signed_in


def staff(name: str = "one") -> Client:
    return signed_in(User.objects.create_superuser(f"{name}@tollgate.test", None))


@pytest.fixture
def world(db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    """A tenant with two calls in the month that is last by the real clock."""
    start = last_ended(now(), "Europe/Paris").start
    monkeypatch.setattr("tests.billing.world.START", start)
    world = World(prices=PRICES)
    with as_operator():
        Model.objects.create(name=world.model, context_window=1000, max_output_tokens=100)
    for tokens in (1_000_000, 250_000):
        world.use(Usage(input=tokens, output=10), at=start + timedelta(days=3))
    world.clock = now()
    return world


def form(world: World, **values: str) -> dict[str, str]:
    return {"model": world.model, "book": "", "effective_from": "", "input": "0.30", "output": "0.60", **values}


def preview(client: Client, world: World, **values: str) -> Any:
    answer = client.post(reverse("admin:billing_price_add"), {**form(world, **values), "_preview": "1"})
    assert answer.status_code == 200
    return answer


def later(days: int = 2) -> str:
    return (now() + timedelta(days=days)).strftime("%Y-%m-%d %H:%M")


def prices(world: World) -> list[int]:
    with as_operator():
        return list(Price.objects.filter(model=world.model, variant="").order_by("id").values_list("input", flat=True))


def test_it_shows_last_months_bills_exactly_and_saves_nothing_before(world: World) -> None:
    client = staff()
    page = preview(client, world)
    (bill,) = page.context["bills"]
    assert bill["bill"].requests == 2
    assert (bill["before"], bill["after"], bill["percent"]) == ("0.187512", "0.375012", "+99.99 %")
    assert page.context["total"]["difference"] == "+0.1875"
    assert "rises by 100 %" in page.content.decode()
    assert prices(world) == [150_000]

    answer = client.post(reverse("admin:billing_price_publish"), {"change": page.context["signed"], "note": "dearer"})
    assert answer.status_code == 302
    assert prices(world) == [150_000, 300_000]
    with as_operator():
        assert AuditEntry.objects.get(action="price.publish").detail["models"] == [world.model]
    client.post(reverse("admin:billing_price_publish"), {"change": page.context["signed"]})
    assert prices(world) == [150_000, 300_000]


def test_a_preview_that_was_changed_on_its_way_is_refused(world: World) -> None:
    client = staff()
    signed = preview(client, world).context["signed"]
    answer = client.post(reverse("admin:billing_price_publish"), {"change": signed[:-2] + "xx"}, follow=True)
    assert "draw it up again" in answer.content.decode()
    assert prices(world) == [150_000]


def test_it_warns_of_a_price_below_cost_and_of_a_class_that_falls_to_nothing(world: World) -> None:
    with as_operator():
        upstream = Upstream.objects.create(name=f"up-{world.tenant.pk}", base_url="https://example.com/v1")
        Route.objects.create(model=Model.objects.get(name=world.model), upstream=upstream, upstream_model="m")
        costs.record(
            upstream=upstream.name, upstream_model="m", costs={"input": 400_000, "output": 1},
            effective_from=now() - timedelta(hours=1), now=now(),
        )  # fmt: skip
    page = preview(staff(), world, cache_read="0").content.decode()
    assert f"below what {upstream.name} charges for m: input 0.30 &lt; 0.40" in page
    assert "cache_read falls from 0.075 to 0" in page


def test_a_markup_over_cost_is_shown_as_rows_and_published_as_they_are(world: World) -> None:
    with as_operator():
        upstream = Upstream.objects.create(name=f"up-{world.tenant.pk}", base_url="https://example.com/v1")
        Route.objects.create(model=Model.objects.get(name=world.model), upstream=upstream, upstream_model="m")
        costs.record(
            upstream=upstream.name, upstream_model="m", costs={"input": 101, "output": 400_000, "per_request": 7},
            effective_from=now() - timedelta(hours=1), now=now(),
        )  # fmt: skip
    client = staff()
    values = {"book": "", "pattern": world.model, "basis": "cost", "percent": "20", "effective_from": later()}
    page = client.post(reverse("admin:billing_price_markup"), values)
    assert prices(world) == [150_000]
    client.post(reverse("admin:billing_price_publish"), {"change": page.context["signed"]})
    with as_operator():
        made = Price.objects.filter(model=world.model).latest("id")
    assert (made.input, made.output, made.per_request, made.per_image) == (121, 480_000, 8, None)
    listed = client.get(reverse("admin:billing_price_changelist"), {"force": "scheduled"}).content.decode()
    assert reverse("admin:billing_price_delete", args=[made.pk]) in listed


def test_a_tenant_gets_ten_percent_off_the_list_in_a_book_of_its_own(world: World) -> None:
    client = staff()
    values = {"book": f"tenant-{world.tenant.pk}", "pattern": world.model, "basis": "list", "percent": "-10"}
    page = client.post(reverse("admin:billing_price_markup"), {**values, "effective_from": ""})
    (bill,) = page.context["bills"]
    assert (bill["bill"].tenant_id, bill["difference"], bill["percent"]) == (world.tenant.pk, "-0.0187512", "-10.00 %")
    client.post(reverse("admin:billing_price_publish"), {"change": page.context["signed"]})
    with as_operator():
        made = Price.objects.get(model=world.model, book__tenant=world.tenant)
    assert (made.input, made.cache_read, made.reasoning) == (135_000, 67_500, 810_000)
    assert preview(client, world).context["bills"] == []


class TestFourEyes:
    """Every price change waits for another operator."""

    @pytest.fixture(autouse=True)
    def four_eyes(self, settings: Any) -> None:
        settings.FOUR_EYES = True

    def propose(self, client: Client, world: World, **values: str) -> PriceProposal:
        signed = preview(client, world, **values).context["signed"]
        client.post(reverse("admin:billing_price_publish"), {"change": signed})
        with as_operator():
            return PriceProposal.objects.latest("id")

    def decide(self, client: Client, proposal: PriceProposal, **values: str) -> str:
        link = reverse("admin:billing_priceproposal_change", args=[proposal.pk])
        return client.post(link, values, follow=True).content.decode()

    def test_another_operator_approves_through_the_page(self, world: World) -> None:
        one, other = staff(), staff("other")
        proposal = self.propose(one, world)
        assert prices(world) == [150_000]
        assert "another operator" in self.decide(one, proposal, approve="1")
        assert prices(world) == [150_000]
        page = other.get(reverse("admin:billing_priceproposal_change", args=[proposal.pk])).content.decode()
        assert world.tenant.slug in page
        assert "Approved" in self.decide(other, proposal, approve="1")
        assert prices(world) == [150_000, 300_000]
        assert "approved already" in self.decide(other, proposal, approve="1")
        with as_operator():
            assert AuditEntry.objects.get(action="price.approve").actor == User.objects.get(email="other@tollgate.test")

    def test_it_is_rejected_with_a_reason_alone(self, world: World) -> None:
        one, other = staff(), staff("other")
        proposal = self.propose(one, world)
        assert "Say why" in self.decide(other, proposal, reject="1")
        assert "too dear" in self.decide(other, proposal, reject="1", reason="too dear")
        with as_operator():
            proposal.refresh_from_db()
        assert (proposal.state, prices(world)) == ("rejected", [150_000])

    def test_the_plain_form_proposes_too(self, world: World) -> None:
        assert staff().post(reverse("admin:billing_price_add"), form(world)).status_code == 302
        assert prices(world) == [150_000]
        with as_operator():
            assert PriceProposal.objects.get().rows[0]["model"] == world.model

    def test_a_model_has_one_waiting_change_at_a_time(self, world: World) -> None:
        one = staff()
        first = self.propose(one, world)
        assert self.propose(one, world).pk == first.pk
        signed = preview(one, world, input="0.40").context["signed"]
        answer = one.post(reverse("admin:billing_price_publish"), {"change": signed}, follow=True)
        assert "another change waits" in answer.content.decode()

    def test_it_is_refused_when_something_changed_since(self, world: World, settings: Any) -> None:
        proposal = self.propose(staff(), world)
        world.publish({"input": 1, "output": 1}, now())
        other = staff("other")
        assert "another price was published since" in self.decide(other, proposal, approve="1")
        page = other.get(reverse("admin:billing_priceproposal_change", args=[proposal.pk])).content.decode()
        assert "can no longer be approved" in page
        assert prices(world) == [150_000, 1]

    def test_it_is_refused_when_its_start_has_passed(self, world: World) -> None:
        proposal = self.propose(staff(), world, effective_from=later())
        actor = User.objects.create_superuser("other@tollgate.test", None)
        with pytest.raises(proposals.ProposalProblem, match="start has passed"), as_operator():
            proposals.approve(proposal_id=proposal.pk, actor_id=actor.pk, now=now() + timedelta(days=3))

    def test_who_may_not_publish_may_not_approve(self, world: World) -> None:
        proposal = self.propose(staff(), world)
        clerk = signed_in(User.objects.create_user("clerk@tollgate.test", None, is_staff=True))
        link = reverse("admin:billing_priceproposal_change", args=[proposal.pk])
        assert clerk.get(link).status_code == 404
        assert clerk.post(link, {"approve": "1"}).status_code == 404
        assert clerk.get(reverse("admin:billing_price_markup")).status_code == 403
        assert clerk.post(reverse("admin:billing_price_publish"), {"change": "x"}).status_code == 403


def test_the_database_refuses_an_approval_by_who_proposed(world: World) -> None:
    with as_operator():
        user = User.objects.create_superuser("one@tollgate.test", None)
        sheet = Sheet(world.model, {"input": 1, "output": 2}, replaces=world.price.id)
        change = Change(catalog.default_book(), [sheet], datetime(2028, 1, 1, tzinfo=UTC))
        proposal = proposals.propose(change, actor_id=user.pk, now=datetime(2027, 12, 1, tzinfo=UTC))
        assert proposal is not None
    decide = "UPDATE billing_priceproposal SET state = 'approved', decided_by_id = {}, decided_at = now() WHERE id = %s"
    for decider, says in ((str(user.pk), "price_proposal_four_eyes"), ("NULL", "price_proposal_four_eyes")):
        with pytest.raises(Exception, match=says), as_operator():
            run(decide.format(decider), proposal.pk)
    with pytest.raises(Exception, match="never changed"), as_operator():
        run("UPDATE billing_priceproposal SET rows = '[]' WHERE id = %s", proposal.pk)
