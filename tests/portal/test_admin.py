"""The operators' pages: what they save, what they refuse, what they never show."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from billing.models import Allowance, Price, Transfer, Wallet
from portal.models import AuditEntry, Membership, Tenant, User
from portal.tenancy import as_operator
from proxy import upstreams
from proxy.models import Credential, Model, ModelAlias, Route, Upstream
from tests.billing.world import World
from tests.portal.cast import Cast, person, signed_in
from tests.sandbox_process import SandboxProcess

SECRET = "sk-upstream-0123456789"
LIMITS = {
    "connect_timeout_s": 5,
    "first_byte_timeout_s": 120,
    "idle_timeout_s": 60,
    "total_timeout_s": 600,
    "disconnect_policy": "",
    "rules": "{}",
    "is_active": "on",
}
UPSTREAM = {"name": "far", "dialect": "openai", "base_url": "https://far.invalid/v1", "credential": SECRET, **LIMITS}
MODEL = {
    "name": "swift",
    "context_window": 1000,
    "max_output_tokens": 100,
    "capabilities": "{}",
    "is_active": "on",
    "aliases-TOTAL_FORMS": 1,
    "aliases-INITIAL_FORMS": 0,
    "aliases-0-name": "fast",
    "routes-TOTAL_FORMS": 1,
    "routes-INITIAL_FORMS": 0,
    "routes-0-upstream_model": "swift-1",
    "routes-0-priority": 1,
    "routes-0-weight": 1,
    "routes-0-is_active": "on",
}
PRICES = {"model": "swift", "book": "", "effective_from": "", "input": "0.15", "output": "0.60"}


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def model(db: None) -> Model:
    with as_operator():
        return Model.objects.create(name="swift", context_window=1000, max_output_tokens=100)


def errors(answer: Any) -> str:
    """What the form says, if it came back."""
    if answer.status_code != 200:
        return ""
    form = answer.context["adminform"].form
    found = [str(form.errors.as_text())]
    found += [str(inner.errors) for formset in answer.context["inline_admin_formsets"] for inner in formset.formset]
    return " ".join(found)


def add(client: Client, what: str, values: dict[str, Any]) -> Any:
    return client.post(reverse(f"admin:{what}_add"), values)


def change(client: Client, what: str, pk: int, values: dict[str, Any]) -> Any:
    return client.post(reverse(f"admin:{what}_change", args=[pk]), values)


def test_a_credential_can_be_written_and_never_read(staff: Client) -> None:
    add(staff, "proxy_upstream", UPSTREAM)
    with as_operator():
        upstream = Upstream.objects.get(name="far")
        stored = Credential.objects.values().get()
        assert upstreams.secret_of(upstream) == SECRET
    pages = [
        staff.get(reverse("admin:proxy_upstream_change", args=[upstream.pk])).content.decode(),
        staff.get(reverse("admin:proxy_upstream_changelist")).content.decode(),
        staff.get(reverse("admin:portal_auditentry_changelist")).content.decode(),
    ]

    assert all(SECRET not in page for page in pages)
    assert "…6789" in pages[0]
    assert all(SECRET not in str(value) for value in stored.values())
    with as_operator():
        assert all(SECRET not in str(row) for row in AuditEntry.objects.values())


def test_an_empty_credential_keeps_the_stored_one(staff: Client) -> None:
    add(staff, "proxy_upstream", UPSTREAM)
    with as_operator():
        upstream = Upstream.objects.get(name="far")
    change(staff, "proxy_upstream", upstream.pk, {**UPSTREAM, "credential": "", "idle_timeout_s": 30})
    with as_operator():
        assert Upstream.objects.get(pk=upstream.pk).idle_timeout_s == 30
        assert upstreams.secret_of(upstream) == SECRET


def test_another_base_url_forgets_the_credential(staff: Client) -> None:
    add(staff, "proxy_upstream", UPSTREAM)
    with as_operator():
        upstream = Upstream.objects.get(name="far")
    moved = {**UPSTREAM, "credential": "", "base_url": "https://elsewhere.invalid/v1"}
    change(staff, "proxy_upstream", upstream.pk, moved)
    with as_operator():
        assert not Credential.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "http://far.invalid/v1"),
        ("base_url", "https://127.0.0.1/v1"),
        ("base_url", "https://user:pass@far.invalid/v1"),
        ("base_url", "https://far.invalid/v1\r\nx: y"),
        ("credential", "a\r\nb: c"),
        ("credential", "ключ"),
        ("dialect", "klingon"),
        ("name", "<script>"),
        ("rules", "[]"),
        ("rules", '{"a": "' + "x" * 30_000 + '"}'),
        ("idle_timeout_s", 0),
    ],
)
def test_it_refuses_upstreams_that_cannot_be(staff: Client, field: str, value: object) -> None:
    answer = add(staff, "proxy_upstream", {**UPSTREAM, field: value})

    assert field in errors(answer)
    assert SECRET not in answer.content.decode()
    with as_operator():
        assert not Upstream.objects.exists()


def test_the_test_button_says_what_the_upstream_says(staff: Client, sandbox: SandboxProcess, settings: Any) -> None:
    settings.SANDBOX_URL = sandbox.url
    values = {**UPSTREAM, "name": "sandbox", "base_url": sandbox.url + "/v1"}
    add(staff, "proxy_upstream", values)
    with as_operator():
        upstream = Upstream.objects.get(name="sandbox")
    page = reverse("admin:proxy_upstream_change", args=[upstream.pk])
    names = re.findall(r'name="(\w*test_this_upstream)"', staff.get(page).content.decode())
    tested = staff.post(page, {**values, "credential": "", names[0]: "1"}, follow=True)
    sandbox.stop()
    dead = staff.post(page, {**values, "credential": "", names[0]: "1"}, follow=True)
    sandbox.start()

    assert "sandbox: It answered in" in tested.content.decode()
    assert "It could not be reached: nothing listens there." in dead.content.decode()


def test_it_makes_a_model_with_aliases_and_routes(staff: Client) -> None:
    with as_operator():
        upstream = Upstream.objects.create(name="far", base_url="https://far.invalid/v1")
    answer = add(staff, "proxy_model", {**MODEL, "routes-0-upstream": upstream.pk})

    assert errors(answer) == ""
    with as_operator():
        assert ModelAlias.objects.get(name="fast").model.name == "swift"
        assert Route.objects.get().upstream_model == "swift-1"
        assert AuditEntry.objects.filter(action="model.add", subject="swift").exists()


@pytest.mark.parametrize(("field", "value"), [("name", "taken"), ("aliases-0-name", "other"), ("name", "a b")])
def test_it_refuses_names_that_mean_two_things(staff: Client, field: str, value: str) -> None:
    with as_operator():
        other = Model.objects.create(name="other", context_window=1, max_output_tokens=1)
        ModelAlias.objects.create(model=other, name="taken")
    values = {**MODEL, "routes-TOTAL_FORMS": 0, field: value}

    assert errors(add(staff, "proxy_model", values)) != ""


def test_it_publishes_a_price_and_never_changes_one(staff: Client, model: Model) -> None:
    later = (now() + timedelta(days=2)).strftime("%Y-%m-%d %H:%M")
    assert errors(add(staff, "billing_price", PRICES)) == ""
    assert errors(add(staff, "billing_price", {**PRICES, "input": "0.20", "effective_from": later})) == ""

    with as_operator():
        first, second = Price.objects.filter(model="swift").order_by("effective_from")
        assert (first.input, second.input) == (150_000, 200_000)
        assert first.effective_to == second.effective_from
        assert AuditEntry.objects.filter(action="price.add").count() == 2
    assert change(staff, "billing_price", first.pk, {"input": "9"}).status_code == 403
    page = staff.get(reverse("admin:proxy_model_change", args=[model.pk])).content.decode()
    assert "input 0.20" in page
    assert "input 0.15" in page


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"effective_from": "2020-01-01 00:00"}, "cannot start in the past"),
        ({}, "nothing to publish"),
        ({"input": "0.1234567"}, "not an amount"),
        ({"input": "-1"}, "not an amount"),
        ({"input": "1,5"}, "not an amount"),
        ({"input": ""}, "required"),
        ({"input": "9999999"}, "from 0 to 1,000,000 USD"),
        ({"model": "unknown"}, "Select a valid choice"),
    ],
)
def test_it_refuses_prices_in_plain_words(staff: Client, model: Model, values: dict[str, str], said: str) -> None:
    add(staff, "billing_price", PRICES)

    assert said in errors(add(staff, "billing_price", {**PRICES, **values}))
    with as_operator():
        assert Price.objects.filter(model="swift").count() == 1


def test_it_refuses_a_price_before_one_that_is_agreed(staff: Client, model: Model) -> None:
    soon, later = ((now() + timedelta(days=days)).strftime("%Y-%m-%d %H:%M") for days in (1, 2))
    add(staff, "billing_price", {**PRICES, "effective_from": later})

    answer = add(staff, "billing_price", {**PRICES, "input": "9", "effective_from": soon})

    assert "already published" in errors(answer)


def test_it_tops_up_once_however_often_the_form_is_sent(staff: Client, db: None) -> None:
    world = World(mode="prepaid", credit=0)
    values = {"top_up": "25.00", "memo": "Bank", "credit_line": "", "key": uuid.uuid4()}
    for _ in range(3):
        change(staff, "billing_wallet", world.tenant.pk, values)

    with as_operator():
        assert Transfer.objects.filter(tenant=world.tenant, kind="top_up").count() == 1
        assert int(Allowance.objects.get(tenant=world.tenant, budget=None).limit) == 25 * 10**12
        assert AuditEntry.objects.filter(tenant=world.tenant, action="wallet.top_up").exists()


@pytest.mark.parametrize("amount", ["0", "-5", "5,00", "1e3", "NaN", "99999999999999999"])
def test_it_refuses_top_ups_that_cannot_be(staff: Client, db: None, amount: str) -> None:
    world = World(mode="prepaid", credit=0)
    values = {"top_up": amount, "memo": "", "credit_line": "", "key": uuid.uuid4()}

    assert "top_up" in errors(change(staff, "billing_wallet", world.tenant.pk, values))


def test_it_changes_a_credit_line(staff: Client, db: None) -> None:
    world = World()
    values = {"top_up": "", "memo": "", "credit_line": "7.50", "key": uuid.uuid4()}
    change(staff, "billing_wallet", world.tenant.pk, values)

    with as_operator():
        assert int(Wallet.objects.get(tenant=world.tenant).credit_limit) == 7_500_000_000_000


def test_it_makes_a_tenant_with_everything_it_needs(staff: Client) -> None:
    owner = person("owner@new.test")
    values = {
        "slug": "new",
        "name": "New",
        "timezone": "UTC",
        "mode": "postpaid",
        "credit_limit": "10",
        "owner": owner.pk,
    }
    answer = add(staff, "portal_tenant", values)

    assert errors(answer) == ""
    with as_operator():
        tenant = Tenant.objects.get(slug="new")
        assert Membership.objects.get(tenant=tenant).user == owner
        assert int(Wallet.objects.get(tenant=tenant).credit_limit) == 10 * 10**12


def test_it_shows_calls_and_invoices(staff: Client, cast: Cast) -> None:
    calls = staff.get(reverse("admin:portal_tenant_calls", args=[cast.acme.tenant.pk])).content.decode()
    document = staff.get(reverse("admin:billing_invoice_pdf", args=[cast.acme.invoice_id]))

    assert cast.acme.call_id in calls
    assert cast.other.call_id not in calls
    assert document.content.startswith(b"%PDF")


@pytest.mark.parametrize("name", ["billing_invoice", "billing_transfer", "portal_auditentry"])
def test_what_verbs_write_cannot_be_edited(staff: Client, cast: Cast, name: str) -> None:
    assert staff.get(reverse(f"admin:{name}_changelist")).status_code == 200
    assert staff.get(reverse(f"admin:{name}_add")).status_code == 403


def test_staff_make_no_superusers(cast: Cast) -> None:
    from django.contrib.auth.models import Permission

    clerk = person("clerk@tollgate.test", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="portal"))
    client = signed_in(clerk)
    values = {"email": clerk.email, "name": "Clerk", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    inline = {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    change(client, "portal_user", clerk.pk, {**values, **inline})

    clerk.refresh_from_db()
    assert clerk.name == "Clerk"
    assert not clerk.is_superuser


def test_the_policy_is_wider_under_the_admin_alone(staff: Client) -> None:
    policies = {path: staff.get(path).headers["Content-Security-Policy"] for path in ("/admin/", "/accounts/login/")}

    assert "'unsafe-eval'" in policies["/admin/"]
    assert "unsafe" not in policies["/accounts/login/"]
    assert "script-src 'self' 'unsafe-inline'" not in policies["/admin/"]


def test_the_admin_signs_in_through_the_one_door(db: None) -> None:
    answer = Client(SERVER_NAME="localhost").get("/admin/login/")

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("account_login"))


def test_second_factors_are_not_in_the_admin(staff: Client) -> None:
    for path in ("/admin/mfa/authenticator/", "/admin/account/emailaddress/"):
        assert staff.get(path).status_code == 404
