"""The operators' pages about routes: health, probes, findings."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from portal.models import AuditEntry, User
from portal.tenancy import as_operator
from proxy import upstreams
from proxy.buckets import BOUNDS_S
from proxy.models import Finding, Model, Route, RouteHealth, RouteProbe, Upstream
from tests.portal.cast import person, signed_in
from tests.sandbox_process import SandboxProcess

HEALTH, FINDINGS = "admin:proxy_routehealth_changelist", "admin:proxy_finding_changelist"


@pytest.fixture
def staff(db: None) -> Client:
    return signed_in(User.objects.create_superuser("staff@tollgate.test", None))


@pytest.fixture
def route(db: None) -> Route:
    with as_operator():
        upstream = Upstream.objects.create(name="house", base_url="https://house.test/v1")
        upstreams.set_credential(upstream=upstream, secret="sk-upstream-0123456789")
        model = Model.objects.create(name="swift", context_window=1, max_output_tokens=1)
        made = Route.objects.create(model=model, upstream=upstream, upstream_model="sandbox/echo")
        buckets = [0] * (len(BOUNDS_S) + 1)
        for ago, successes in ((1, 97), (100, 900)):
            RouteHealth.objects.create(
                route=made, model="swift", starts_at=now() - timedelta(hours=ago), successes=successes, timeouts=3,
                refused=7, output_tokens=1_000, output_ms=10_000, whole=buckets,
                first_token=[*buckets[:10], successes, *buckets[11:]],
            )  # fmt: skip
        return made


def shown(client: Client, name: str, **asked: str) -> str:
    answer = client.get(reverse(name), asked)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def test_every_route_is_shown_with_what_traffic_said(staff: Client, route: Route) -> None:
    page = shown(staff, HEALTH)
    for words in ("house", "swift", "97.00 %", "health-fair", "3 timeout", "7 by the client", ">100<", "never"):
        assert words in page, words
    assert "<script>" not in page.partition('<div class="health">')[2].partition("</table>")[0]
    assert "style=" not in page.partition('<div class="health">')[2].partition("</table>")[0]
    week = shown(staff, HEALTH, span="1")
    assert "99.40 %" in week
    assert shown(staff, HEALTH, span="evil") == page or "97.00 %" in shown(staff, HEALTH, span="evil")


def test_an_installation_without_routes_has_a_page_too(staff: Client) -> None:
    assert "There are no routes yet" in shown(staff, HEALTH)


def test_a_route_is_probed_by_a_button(staff: Client, route: Route, sandbox: SandboxProcess, settings: Any) -> None:
    settings.SANDBOX_URL = sandbox.url
    with as_operator():
        Upstream.objects.update(base_url=sandbox.url + "/v1")

    answer = staff.post(reverse(HEALTH), {"route": route.pk}, follow=True)

    assert "sandbox/echo answered." in answer.content.decode()
    with as_operator():
        assert RouteProbe.objects.get().reported_model == "sandbox/echo"
        assert AuditEntry.objects.filter(action="route.probe").count() == 1
    assert "UTC" in shown(staff, HEALTH)
    for nothing in ("", "evil", "9" * 30, "0"):
        answer = staff.post(reverse(HEALTH), {"route": nothing}, follow=True)
        assert "There is no active route" in answer.content.decode()


def test_findings_are_shown_and_acknowledged_once(staff: Client, route: Route) -> None:
    with as_operator():
        finding = Finding.objects.create(
            kind=Finding.Kind.MODEL, place=f"route:{route.pk}", route=route, upstream=route.upstream,
            subject="<b>swift</b>: reported model changed", before="old-1", after="new-2",
        )  # fmt: skip
    page = shown(staff, FINDINGS)
    assert "old-1" in page
    assert "new-2" in page
    assert "<b>swift" not in page
    assert "1 open finding" in shown(staff, HEALTH)
    for _ in range(2):
        staff.post(reverse(FINDINGS), {"action": "acknowledge", "_selected_action": [finding.pk]})
    with as_operator():
        finding.refresh_from_db()
        assert finding.state == "acknowledged"
        assert finding.acknowledged_by is not None
        assert AuditEntry.objects.filter(action="finding.acknowledge").count() == 1


def test_looking_is_not_probing_and_strangers_see_nothing(route: Route) -> None:
    looker = person("looker@tollgate.test")
    looker.is_staff = True
    looker.save()
    client = signed_in(looker)
    assert client.get(reverse(HEALTH)).status_code in (302, 403)
    looker.user_permissions.add(Permission.objects.get(codename="view_routehealth"))
    assert "Probe now" not in shown(client, HEALTH)
    assert client.post(reverse(HEALTH), {"route": route.pk}).status_code == 403
    stranger = signed_in(person("stranger@tollgate.test"))
    assert stranger.get(reverse(HEALTH)).status_code in (302, 403, 404)
