"""What every refusal of the gateway must look like."""

from __future__ import annotations

from typing import Any

import httpx


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer whose shape and headers are as every error's must be."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    error: dict[str, Any] = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys() <= {"message", "type", "param", "code", "limit"}
    assert error["message"]
    return error


def refused(answer: httpx.Response, status: int, kind: str, code: str | None, param: str | None = None) -> None:
    """Check a refusal's status and error."""
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (status, kind, code, param)
