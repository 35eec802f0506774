"""Whose address counts when somebody tries passwords."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.adapter import get_adapter
from django.test import RequestFactory


@pytest.mark.parametrize(("proxies", "address"), [(0, "127.0.0.1"), (1, "203.0.113.9")])
def test_behind_a_proxy_it_is_the_clients_and_never_one_it_made_up(settings: Any, proxies: int, address: str) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    request = RequestFactory().get("/accounts/login/", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    assert get_adapter().get_client_ip(request) == address
