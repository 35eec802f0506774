"""Signing up, in and out, resetting a password; error pages; headers of every page."""

from __future__ import annotations

import re
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.hashers import make_password
from django.core import mail
from django.core.cache import cache
from django.template.loader import render_to_string
from django.test import Client

from portal.models import User
from tests.portal.pages.cast import Cast

PASSWORD = "correct horse battery"
PUBLIC = ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/password/reset/done/")


@pytest.fixture
def person(db: None) -> User:
    cache.clear()
    return User.objects.create(email="ana@example.com", password=make_password(PASSWORD))


def sign_in(client: Client, **more: str):  # type: ignore[no-untyped-def]
    return client.post("/accounts/login/", {"login": "ana@example.com", "password": PASSWORD, **more})


@pytest.mark.parametrize("url", PUBLIC)
@pytest.mark.django_db
def test_it_styles_the_pages_of_allauth(url: str) -> None:
    page = Client().get(url).content.decode()
    assert "tollgate/tollgate.css" in page
    assert 'class="brand"' in page


@pytest.mark.django_db
def test_it_signs_up_and_leads_on() -> None:
    cache.clear()
    client = Client()
    typed = {"email": "new@example.com", "password1": PASSWORD, "is_staff": "on", "is_superuser": "1", "role": "owner"}
    answer = client.post("/accounts/signup/", typed, follow=True)
    assert answer.redirect_chain[-1][0] == "/new/"
    made = User.objects.get(email="new@example.com")
    assert not made.is_staff
    assert not made.is_superuser


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_it_never_leads_to_another_origin(person: User, target: str) -> None:
    answer = sign_in(Client(), next=target)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/"


def test_it_leads_back_to_where_one_was(person: User) -> None:
    assert sign_in(Client(), next="/new/").headers["Location"] == "/new/"


def test_it_answers_the_same_for_a_wrong_password_and_an_unknown_address(person: User) -> None:
    def refused(email: str) -> str:
        page = Client().post("/accounts/login/", {"login": email, "password": "wrong wrong wrong"}).content.decode()
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
        return page.replace(email, "")

    assert refused("ana@example.com") == refused("nobody@example.com")


def test_it_resets_a_password_by_mail(person: User) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": "ana@example.com"})
    link = re.search(r"https?://[^/\s]+(/accounts/password/reset/key/\S+)", str(mail.outbox[0].body))
    assert link
    form = client.get(link[1], follow=True)
    assert "tollgate.css" in form.content.decode()
    url = form.redirect_chain[-1][0]
    client.post(url, {"password1": "another good one", "password2": "another good one"})
    assert User.objects.get(pk=person.pk).check_password("another good one")


def test_it_shows_the_pages_of_two_factors(person: User) -> None:
    client = Client()
    sign_in(client)
    for url in ("/accounts/2fa/", "/accounts/email/", "/accounts/password/change/"):
        answer = client.get(url, follow=True)
        page = answer.content.decode()
        assert "tollgate.css" in page, url
        assert "style=" not in page, url


def test_it_asks_for_the_password_again_before_a_change_of_credentials(person: User) -> None:
    client = Client()
    sign_in(client)
    answer = client.get("/accounts/2fa/totp/activate/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/accounts/reauthenticate/")
    after = client.post(answer.redirect_chain[-1][0], {"password": PASSWORD}, follow=True)
    page = after.content.decode()
    assert "Authenticator secret" in page
    assert "data:image/svg+xml;base64," in page
    assert "style=" not in page


def code_now(secret: str) -> str:
    """What an authenticator app shows (RFC 6238)."""
    return str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30)))


def test_it_asks_for_a_second_factor_and_takes_a_recovery_code(person: User) -> None:
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    client = Client()
    sign_in(client)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    secret = re.search(r'id="authenticator_secret"[^>]* value="(\w+)"', page)
    assert secret
    done = client.post("/accounts/2fa/totp/activate/", {"code": code_now(secret[1])}, follow=True)
    codes = re.findall(r"^[\w-]{8,}$", done.content.decode().partition("<textarea")[2].partition(">")[2], re.M)
    assert codes, "recovery codes are shown"
    stored = str(list(Authenticator.objects.filter(user=person).values_list("data", flat=True)))
    assert "gAAAA" in stored, "secrets are stored encrypted"
    assert secret[1] not in stored
    again = Client()
    assert sign_in(again).headers["Location"].startswith("/accounts/2fa/authenticate/")
    assert again.get("/new/").status_code == 302, "half signed in is not signed in"
    assert "tollgate.css" in again.get("/accounts/2fa/authenticate/").content.decode()
    again.post("/accounts/2fa/authenticate/", {"code": codes[0].partition("<")[0]})
    assert again.get("/new/").status_code == 200


@pytest.mark.django_db
def test_it_styles_404() -> None:
    answer = Client().get("/no/such/page/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


@pytest.mark.django_db
def test_it_styles_a_form_that_is_too_old() -> None:
    answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {})
    assert answer.status_code == 403
    assert "too old" in answer.content.decode()


@pytest.mark.parametrize("name", ["400.html", "500.html"])
def test_it_renders_error_pages_without_a_request(name: str) -> None:
    assert "tollgate.css" in render_to_string(name)


def test_it_says_why_a_role_may_not(cast: Cast) -> None:
    answer = cast.client("developer").get(cast.url("settings/"))
    assert answer.status_code == 403
    assert "(developer)" in answer.content.decode()


def test_it_sends_strict_headers(cast: Cast) -> None:
    answer = cast.client().get(cast.url())
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.django_db
def test_it_refuses_a_foreign_host() -> None:
    assert Client().get("/accounts/login/", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(("cookie", "attribute"), [("dark", ' data-theme="dark"'), ("light", ' data-theme="light"')])
@pytest.mark.django_db
def test_it_keeps_the_theme_in_a_cookie(cookie: str, attribute: str) -> None:
    client = Client()
    client.cookies["theme"] = cookie
    assert f'<html lang="en"{attribute}>' in client.get("/accounts/login/").content.decode()


@pytest.mark.django_db
def test_it_takes_no_other_theme() -> None:
    client = Client()
    client.cookies["theme"] = "x onload=alert(1)"
    assert '<html lang="en">' in client.get("/accounts/login/").content.decode()
