"""Credentials of an upstream in the operators' pages: every change, what is refused, and that no secret is shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from proxy import upstreams
from proxy.models import Credential, Finding, Upstream
from tests.portal.cast import person, signed_in
from tests.sandbox_process import SandboxProcess

FIRST, OTHER = "sk-first-0123456789", "sk-other-abcdefghij"


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def upstream(db: None) -> Upstream:
    """With one credential, ``first``."""
    with as_operator():
        one = Upstream.objects.create(name="far", base_url="https://far.invalid/v1")
        upstreams.set_credential(upstream=one, name="first", secret=FIRST)
        return one


def page(client: Client, upstream: Upstream) -> str:
    return client.get(reverse("admin:proxy_upstream_change", args=[upstream.pk])).content.decode()


def add(client: Client, upstream: Upstream, **values: str) -> Any:
    return client.post(f"{reverse('admin:proxy_credential_add')}?upstream={upstream.pk}", values, follow=True)


def change(client: Client, credential: Credential, **values: str) -> Any:
    return client.post(reverse("admin:proxy_credential_change", args=[credential.pk]), values, follow=True)


def remove(client: Client, credential: Credential) -> Any:
    return client.post(reverse("admin:proxy_credential_delete", args=[credential.pk]), {"post": "yes"}, follow=True)


def named(name: str) -> Credential:
    with as_operator():
        return Credential.objects.select_related("upstream").get(name=name)


def secret(credential: Credential) -> str:
    with as_operator():
        return upstreams.secret_in(Credential.objects.get(pk=credential.pk))


def actions() -> list[tuple[str, str]]:
    with as_operator():
        return list(AuditEntry.objects.order_by("at", "pk").values_list("action", "subject"))


def test_it_adds_one_and_lists_them_without_their_secrets(staff: Client, upstream: Upstream) -> None:
    answer = add(staff, upstream, name="eu", secret=OTHER)

    assert answer.redirect_chain[-1][0].endswith(f"/{upstream.pk}/change/")
    html = answer.content.decode()
    assert "…6789" in html
    assert "…ghij" in html
    assert FIRST not in html
    assert OTHER not in html
    assert secret(named("eu")) == OTHER
    assert actions() == [("credential.add", "far: eu …ghij")]
    with as_operator():
        assert OTHER not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("first", OTHER, "has a credential of this name"),
        ("Two Words", OTHER, "Use a–z, 0–9 and hyphens"),
        ("", OTHER, "This field is required"),
        ("eu", "", "This field is required"),
        ("eu", "sk-ключ-0123456789", "visible ASCII characters only"),
    ],
)
def test_it_refuses_in_plain_words_and_keeps_all_but_the_secret(
    staff: Client, upstream: Upstream, name: str, given: str, said: str
) -> None:
    html = add(staff, upstream, name=name, secret=given).content.decode()

    assert said in html
    assert not name or f'value="{name}"' in html
    assert not given or given not in html
    with as_operator():
        assert Credential.objects.count() == 1


def test_one_is_added_to_an_upstream_there_is(staff: Client, upstream: Upstream) -> None:
    for asked in ("", "?upstream=x", f"?upstream={upstream.pk + 1}", "?upstream=" + "9" * 30):
        answer = staff.get(reverse("admin:proxy_credential_add") + asked, follow=True)
        assert answer.redirect_chain[-1][0] == reverse("admin:proxy_upstream_changelist")
        assert "added on the page of its upstream" in answer.content.decode()


def test_a_new_secret_replaces_the_old_one_and_what_was_found_of_it(staff: Client, upstream: Upstream) -> None:
    first = named("first")
    with as_operator():
        Finding.objects.create(kind="credential", place=first.place, upstream=upstream, subject="x", after="401")
    assert "refused (401)" in page(staff, upstream)

    html = change(staff, first, secret=OTHER, is_active="on").content.decode()

    assert "refused (401)" not in html
    assert OTHER not in html
    assert secret(first) == OTHER
    assert actions() == [("credential.change", "far: first …ghij")]
    with as_operator():
        assert Finding.objects.get().state == Finding.State.ACKNOWLEDGED
        assert upstreams.last_refusal(named("first")) is None


def test_an_empty_secret_keeps_the_stored_one(staff: Client, upstream: Upstream) -> None:
    change(staff, named("first"), secret="", is_active="on")
    assert secret(named("first")) == FIRST


def test_disabling_the_last_one_says_what_that_does(staff: Client, upstream: Upstream) -> None:
    add(staff, upstream, name="eu", secret=OTHER)

    quiet = change(staff, named("first"), secret="").content.decode()
    loud = change(staff, named("eu"), secret="").content.decode()
    listed = staff.get(reverse("admin:proxy_upstream_changelist")).content.decode()
    change(staff, named("eu"), secret="", is_active="on")

    assert "No credential of far is active" not in quiet
    assert "disabled" in quiet
    assert "No credential of far is active now: no call goes to it" in loud
    assert "all disabled: not called" in listed
    assert named("eu").is_active
    assert not named("first").is_active


def test_removing_one_is_asked_first_and_says_what_it_does(staff: Client, upstream: Upstream) -> None:
    add(staff, upstream, name="eu", secret=OTHER)
    ask = reverse("admin:proxy_credential_delete", args=[named("first").pk])

    assert "Calls to far go on with its other credentials" in staff.get(ask).content.decode()
    answer = remove(staff, named("first"))
    assert answer.redirect_chain[-1][0].endswith(f"/{upstream.pk}/change/")
    last = reverse("admin:proxy_credential_delete", args=[named("eu").pk])
    assert "This is the only credential of far" in staff.get(last).content.decode()
    assert "far has no credential now" in remove(staff, named("eu")).content.decode()

    with as_operator():
        assert not Credential.objects.exists()
    assert actions()[1:] == [("credential.remove", "far: first …6789"), ("credential.remove", "far: eu …ghij")]


def test_each_is_tested_by_itself_and_all_with_their_upstream(
    staff: Client, upstream: Upstream, sandbox: SandboxProcess, settings: Any
) -> None:
    settings.SANDBOX_URL = sandbox.url
    with as_operator():
        Upstream.objects.filter(pk=upstream.pk).update(base_url=sandbox.url + "/v1")
        upstreams.set_credential(upstream=upstream, name="bad", secret="sk-refused-by-the-sandbox")

    def test(name: str) -> str:
        address = reverse("admin:proxy_credential_test", args=[named(name).pk])
        assert staff.get(address).status_code == 404
        return staff.post(address, follow=True).content.decode()

    assert "far, credential first …6789: It answered in" in test("first")
    assert "far, credential bad …dbox: It was reached, but refuses the credential (401)" in test("bad")
    both = staff.post(
        reverse("admin:proxy_upstream_changelist"),
        {"action": "test_selected", "_selected_action": upstream.pk},
        follow=True,
    ).content.decode()
    assert "credential first …6789: It answered in" in both
    assert "credential bad …dbox: It was reached, but refuses the credential (401)" in both


def test_those_who_may_only_look_change_nothing(upstream: Upstream) -> None:
    clerk = person("clerk@tollgate.test", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=("view_upstream", "view_credential")))
    client = signed_in(clerk)
    first = named("first")

    html = page(client, upstream)
    assert "…6789" in html
    assert "Add a credential" not in html
    assert "Remove" not in html
    assert add(client, upstream, name="eu", secret=OTHER).status_code == 403
    assert change(client, first, secret=OTHER).status_code == 403
    assert remove(client, first).status_code == 403
    assert client.post(reverse("admin:proxy_credential_test", args=[first.pk])).status_code == 403


def test_a_name_is_there_once_for_an_upstream(upstream: Upstream) -> None:
    first = named("first")
    with as_operator(), pytest.raises(IntegrityError, match="credential_once"), transaction.atomic():
        Credential.objects.create(upstream=upstream, name="first", sealed=first.sealed, key_id="x", last_four="")


def test_a_refusal_of_an_older_secret_is_not_one_of_this(upstream: Upstream) -> None:
    with as_operator():
        first = named("first")
        Finding.objects.create(kind="credential", place=first.place, subject="x", seen_at=now())
        assert upstreams.last_refusal(first) is not None
        Credential.objects.filter(pk=first.pk).update(sealed_at=now())
        assert upstreams.last_refusal(named("first")) is None
