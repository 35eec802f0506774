"""Addresses an upstream may have."""

from __future__ import annotations

import pytest

from proxy import addresses
from proxy.addresses import AddressProblem, Unresolvable

PUBLIC = "93.184.215.14"


def check(url: str, *resolved: str, allow_private: bool = False, sandbox_url: str = "") -> None:
    addresses.check(
        url, allow_private=allow_private, sandbox_url=sandbox_url, resolver=lambda host, port: resolved or (PUBLIC,)
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "https://host:8443/",
        "https://[2606:4700::1111]/v1",
    ],
)
def test_it_takes_public_https(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "http://api.openai.com/v1",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://user@host/v1",
        "https://user:pass@host/v1",
        "https://host@evil/v1",
        "https://host:0/v1",
        "https://host:99999/v1",
        "https://host/v1?x=1",
        "https://host/v1#x",
        "https://host/../v1",
        "https://host//v1",
        "https://ho st/v1",
        "https://host/v1\r\nx: y",
        "https://hóst/v1",
        "https://host\\@evil/v1",
        "https://" + "a" * 600,
        "javascript:alert(1)",
    ],
)
def test_it_refuses_other_shapes(url: str) -> None:
    with pytest.raises(AddressProblem):
        check(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.1.2.3",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "2002:a00:1::",
        "64:ff9b::a00:1",
    ],
)
def test_it_refuses_private_addresses(address: str) -> None:
    with pytest.raises(AddressProblem, match="not on the public internet"):
        check("https://host/v1", address)
    with pytest.raises(AddressProblem):
        check("https://host/v1", PUBLIC, address)
    check("https://host/v1", address, allow_private=True)


def test_private_upstreams_may_be_plain_http_if_allowed() -> None:
    check("http://vllm:8000/v1", "10.0.0.1", allow_private=True)


def test_the_sandbox_is_always_taken_and_nothing_near_it() -> None:
    sandbox = "http://127.0.0.1:4010"
    check(sandbox, "127.0.0.1", sandbox_url=sandbox)
    check(sandbox + "/v1", "127.0.0.1", sandbox_url=sandbox)
    for near in ("http://127.0.0.1:4011/v1", "http://127.0.0.1:4010/v1/x", "http://127.0.0.1:40100/v1"):
        with pytest.raises(AddressProblem):
            check(near, "127.0.0.1", sandbox_url=sandbox)


def test_a_name_without_address_is_told_apart() -> None:
    with pytest.raises(Unresolvable):
        addresses.check("https://no-such-host.invalid/v1", allow_private=False)
