"""Several credentials of one upstream in the running product: calls go on, operators see which was refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.deadline import until
from tests.product import Product

pytestmark = pytest.mark.timeout(300)

EMAIL, PASSWORD = "staff@tollgate.test", "a long enough phrase"
NOTICED_S = 1.0
TWO = """
[[upstreams]]
name = "sandbox"
credentials = [
    { name = "good", api_key = "sk-accepted-by-everyone" },
    { name = "bad", api_key = "sk-refused-by-the-sandbox" },
]
"""


class Operator:
    """Signed in to the admin, as people are."""

    def __init__(self, product: Product) -> None:
        making = f"User.objects.create_superuser({EMAIL!r}, {PASSWORD!r})"
        product.manage("shell", "--command", f"from portal.models import User; {making}")
        self.client = httpx.Client(base_url=product.web_url, follow_redirects=True, timeout=30)
        self.client.get("/accounts/login/")
        self.post("/accounts/login/", login=EMAIL, password=PASSWORD)
        self.upstream = product.query("SELECT id FROM proxy_upstream WHERE name = 'sandbox'")[0][0]

    def post(self, address: str, **values: str) -> httpx.Response:
        """A form, with what protects it."""
        token = self.client.cookies.get("csrftoken") or ""
        return self.client.post(address, data={"csrfmiddlewaretoken": token, **values}).raise_for_status()

    def page(self) -> str:
        """The upstream with its credentials, as text."""
        html = self.client.get(f"/admin/proxy/upstream/{self.upstream}/change/").raise_for_status().text
        section = html[html.index('id="credentials"') :]
        return " ".join(re.sub(r"<[^>]*>", " ", section).split())


@pytest.fixture
def one(product: Callable[..., Product]) -> Product:
    made = product()
    made.apply_defaults("echo")
    made.apply(TWO)
    return made


@pytest.fixture
def operator(one: Product) -> Iterator[Operator]:
    made = Operator(one)
    yield made
    made.client.close()


def credential(product: Product, name: str) -> int:
    return int(product.query("SELECT id FROM proxy_credential WHERE name = %s", name)[0][0])


def test_calls_go_on_with_the_other_and_the_operator_sees_which_was_refused(one: Product, operator: Operator) -> None:
    key = one.issue_key()["key"]
    until(lambda: one.post(key).status_code == 200)

    answers = [one.post(key) for _ in range(12)]
    until(lambda: one.query("SELECT 1 FROM proxy_finding"))

    assert [answer.status_code for answer in answers] == [200] * 12
    assert sum(int(answer.headers["x-tollgate-attempts"]) for answer in answers) <= 13  # the refused one rests
    [(subject,)] = one.query("SELECT subject FROM proxy_finding")
    assert subject == "upstream sandbox refused credential bad …dbox (401)"
    page = operator.page()
    assert "good …yone active" in page
    assert "bad …dbox refused (401)" in page
    findings = operator.client.get("/admin/proxy/finding/").text
    assert subject in findings
    assert "sk-refused" not in page + findings


def test_the_gateway_notices_every_edit_within_a_second(one: Product, operator: Operator) -> None:
    key = one.issue_key()["key"]
    until(lambda: one.post(key).status_code == 200)

    def notices(status: int) -> None:
        began = time.monotonic()
        until(lambda: one.post(key).status_code == status)
        assert time.monotonic() - began < NOTICED_S

    good, bad = (f"/admin/proxy/credential/{credential(one, name)}/" for name in ("good", "bad"))
    operator.post(f"{bad}delete/", post="yes")
    told = operator.post(f"{good}change/", secret="").text
    notices(503)
    refused = one.post(key)

    assert "No credential of sandbox is active now" in told
    assert refused.json()["error"]["message"]
    assert "sandbox" not in refused.json()["error"]["message"].replace("sandbox/echo", "")
    assert "upstream sandbox is not called: all its credentials are disabled" in one.child("gateway").tail()
    doctor = one.manage("doctor", expect=1)
    assert "WRONG  upstream sandbox: All its credentials are disabled, so no call goes to it" in doctor

    operator.post(f"{good}change/", secret="", is_active="on")
    notices(200)
    operator.post(f"{good}change/", secret="sk-now-refused-by-the-sandbox", is_active="on")
    until(lambda: not one.post(key).is_success, seconds=NOTICED_S)
    operator.post(f"/admin/proxy/credential/add/?upstream={operator.upstream}", name="more", secret="sk-accepted")
    notices(200)
    assert len(one.query("SELECT 1 FROM portal_auditentry WHERE starts_with(action, 'credential.')")) == 5
