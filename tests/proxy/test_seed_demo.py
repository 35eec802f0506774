"""``manage.py seed_demo``: everything the first call needs, and nothing undone by the second start."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth import authenticate

from billing.models import Budget, Price, Wallet
from portal.models import ApiKey, Membership, Tenant
from portal.tenancy import as_operator
from proxy.models import Model, Upstream
from proxy.sandbox.behaviour import DEFAULTS
from tests.proxy.commands import run

pytestmark = pytest.mark.django_db
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
URL = "http://127.0.0.1:4010"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def seed(*flags: str, url: str = URL) -> dict[str, str | None]:
    told: dict[str, str | None] = json.loads(run("seed_demo", "--sandbox-url", url, "--json", *flags))
    return told


def test_it_makes_a_tenant_one_can_sign_in_to_and_call_with() -> None:
    told = seed()

    assert (told["model"], told["tenant"]) == ("sandbox/echo", "demo")
    assert authenticate(username=told["email"], password=told["password"]) is not None
    with as_operator():
        assert ApiKey.objects.get().public_id == str(told["api_key"])[6:18]
        member = Membership.objects.select_related("user").get(tenant__slug="demo")
        assert (member.role, member.user.is_staff) == ("owner", True)
        assert Wallet.objects.get(tenant__slug="demo").mode == "postpaid"
        assert Budget.objects.get(tenant__slug="demo").window == "month"


def test_it_offers_every_kind_of_the_sandbox_with_a_price() -> None:
    seed()

    with as_operator():
        offered = set(Model.objects.values_list("name", flat=True))
        priced = set(Price.objects.values_list("model", flat=True))
        assert {f"sandbox/{kind}" for kind in DEFAULTS} <= offered == priced
        assert dict(Upstream.objects.values_list("dialect", "base_url")) == {
            "openai": URL + "/v1",
            "anthropic": URL + "/anthropic",
            "gemini": URL + "/gemini",
        }


def test_a_second_run_keeps_everything() -> None:
    first = seed()
    with as_operator():
        Model.objects.filter(name="sandbox/echo").update(max_output_tokens=7)
        Tenant.objects.filter(slug="demo").update(name="Renamed")

    second = seed(url="http://127.0.0.1:4011")

    assert second == {**first, "api_key": None, "password": None}
    with as_operator():
        assert ApiKey.objects.count() == 1
        assert Model.objects.get(name="sandbox/echo").max_output_tokens == 7
        assert Tenant.objects.get(slug="demo").name == "Renamed"
        assert Upstream.objects.get(name="sandbox").base_url == "http://127.0.0.1:4011/v1"
        assert Upstream.objects.get(name="sandbox-gemini").base_url == "http://127.0.0.1:4011/gemini"


def test_lost_credentials_can_be_renewed() -> None:
    first = seed()
    again = seed("--renew")

    assert again["api_key"] not in (None, first["api_key"])
    assert authenticate(username=again["email"], password=again["password"]) is not None


def test_it_offers_providers_whose_key_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, "sk-of-the-provider")
    seed()

    with as_operator():
        names = {"sandbox", "sandbox-anthropic", "sandbox-gemini", "openai", "anthropic", "gemini"}
        assert set(Upstream.objects.values_list("name", flat=True)) == names
        for name in ("gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash"):
            assert Price.objects.filter(model=name).exists()
            assert Model.objects.get(name=name).routes.count() == 1
