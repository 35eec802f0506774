"""What the environment says: flags, texts, and how many gateway processes share a limit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from portal import environment
from portal.stack import gateway


@pytest.mark.parametrize(("text", "value"), [("", True), ("0", False), ("false", False), ("1", True), ("on", True)])
def test_a_flag_has_a_default_only_where_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("TOLLGATE_SHOW_COST", text)
    assert environment.flag("TOLLGATE_SHOW_COST", default=True) is value


def test_a_flag_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_SHOW_COST", "perhaps")
    with pytest.raises(environment.EnvironmentProblem, match="must be 1 or 0"):
        environment.flag("TOLLGATE_SHOW_COST", default=True)


def test_a_blank_text_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_ID_PREFIX", " ")
    assert environment.variable("TOLLGATE_ID_PREFIX", "chatcmpl-") == "chatcmpl-"


def test_gateway_processes_know_how_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_WORKERS", "")
    monkeypatch.setenv("TOLLGATE_BIND", "")
    monkeypatch.setenv("TOLLGATE_PORT", "")
    monkeypatch.setattr(gateway, "serve", lambda options: None)
    gateway.gateway()
    assert os.environ["TOLLGATE_WORKERS"] == str(gateway.options().workers)
    assert environment.integer("TOLLGATE_WORKERS", 0, least=1, most=256) == gateway.options().workers


STRIPE = {"SECRET_KEY": "sk_test_1234567890", "WEBHOOK_SECRET": "whsec_1234567890"}


def stripe_variables(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in ("SECRET_KEY", "WEBHOOK_SECRET", "API_BASE"):
        monkeypatch.setenv(f"TOLLGATE_STRIPE_{name}", values.get(name, ""))


def test_cards_are_set_up_wholly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stripe_variables(monkeypatch)
    assert environment.stripe() is None
    stripe_variables(monkeypatch, **STRIPE)
    keys = environment.stripe()
    assert keys is not None
    assert (keys.api_base, keys.is_live) == ("https://api.stripe.com", False)
    stripe_variables(monkeypatch, **{**STRIPE, "SECRET_KEY": "rk_live_1234567890"})
    keys = environment.stripe()
    assert keys is not None
    assert keys.is_live


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET is not: payments would be taken and never arrive"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is not: card payments need both"),
        ({"SECRET_KEY": "pk_test_1234567890"}, "is not a secret key"),
        ({"SECRET_KEY": "whsec_1234567890"}, "is not a secret key"),
        ({"WEBHOOK_SECRET": "sk_test_1234567890"}, "is not a signing secret"),
        ({"SECRET_KEY": "sk_live_1234567890", "API_BASE": "http://127.0.0.1:8222"}, "is a live key"),
        ({"SECRET_KEY": "", "WEBHOOK_SECRET": "", "API_BASE": "http://127.0.0.1:8222"}, "SECRET_KEY is not"),
        ({"API_BASE": "http://stripe.example"}, "must begin with https"),
    ],
)
def test_half_of_the_keys_or_mixed_up_ones_stop_the_process(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], says: str
) -> None:
    stripe_variables(monkeypatch, **{**STRIPE, **changed})
    with pytest.raises(environment.EnvironmentProblem, match=says):
        environment.stripe()


def test_every_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    stripe_variables(monkeypatch, SECRET_KEY=STRIPE["SECRET_KEY"])
    for command in (["manage.py", "check"], ["-m", "portal.stack", "up"]):
        done = subprocess.run([sys.executable, *command], cwd=environment.ROOT, capture_output=True, text=True)
        assert done.returncode == 1
        assert "TOLLGATE_STRIPE_WEBHOOK_SECRET is not" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
