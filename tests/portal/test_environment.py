"""What the environment says: flags, texts, and how many gateway processes share a limit."""

from __future__ import annotations

import os

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
