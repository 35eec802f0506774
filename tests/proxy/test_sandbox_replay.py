"""The sandbox replaying a folder of answers, and its lists of models in every format."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.sandbox import replay
from tests.proxy.corpus_case import CORPUS
from tests.sandbox_process import SandboxProcess

KEYS = {"authorization": "Bearer k", "x-api-key": "k", "x-goog-api-key": "k", "anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"), "--replays", str(CORPUS)).start()
    yield process
    process.stop()


def post(sandbox: SandboxProcess, model: str, request_id: str = "req_replayed") -> httpx.Response:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(sandbox.url + "/v1/chat/completions", json=body, headers={"x-request-id": request_id})


@pytest.mark.parametrize("seed", ["", ".1", ".999"])
@pytest.mark.parametrize(
    "path", ["openai/usage-details.sse", "openai/megabyte-line.sse", "openai/whole-bom.txt", "openai/empty.sse"]
)
def test_it_sends_the_bytes_as_they_are(sandbox: SandboxProcess, path: str, seed: str) -> None:
    case = replay.load(CORPUS / path)
    answer = post(sandbox, f"replay-{case.name}{seed}")
    assert answer.status_code == 200
    assert answer.content == case.data
    assert answer.headers["content-type"].startswith("text/event-stream" if case.streamed else "application/json")


def test_it_charges_what_the_case_tells(sandbox: SandboxProcess) -> None:
    post(sandbox, "replay-usage-details", "req_charged")
    charged = sandbox.stats("req_charged")
    assert (charged["prompt_tokens"], charged["completion_tokens"]) == (20, 10)
    assert (charged["cached_tokens"], charged["reasoning_tokens"], charged["output_audio_tokens"]) == (8, 6, 1)
    assert charged["state"] == "ended"


def test_it_knows_no_other_cases(sandbox: SandboxProcess) -> None:
    assert post(sandbox, "replay-unheard-of").status_code == 404


def test_a_seed_cuts_the_same_way_every_time() -> None:
    data = bytes(range(256))
    for seed in range(20):
        parts = list(replay.cut(data, seed))
        assert b"".join(parts) == data
        assert parts == list(replay.cut(data, seed))
        assert len(parts) == (1 if seed == 0 else len(set(parts)))
    assert len(list(replay.cut(data, 1))) > 5


def test_a_fill_stands_for_its_text(tmp_path: Path) -> None:
    (tmp_path / "x.sse").write_bytes(b"a@b")
    (tmp_path / "x.json").write_text(json.dumps({"fill": {"@": ["12", 3]}}))
    assert zlib.crc32(replay.load(tmp_path / "x.sse").data) == zlib.crc32(b"a121212b")


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/models", ["data", "id"]),
        ("/anthropic/v1/models", ["data", "id"]),
        ("/gemini/v1beta/models", ["models", "name"]),
        ("/openrouter/api/v1/models", ["data", "id"]),
    ],
)
def test_it_lists_its_models_in_every_format(sandbox: SandboxProcess, path: str, members: list[str]) -> None:
    listed = httpx.get(sandbox.url + path, headers=KEYS).raise_for_status().json()[members[0]]
    assert any(model[members[1]].endswith("echo") for model in listed)
    if path != "/v1/models":
        assert httpx.get(sandbox.url + path).status_code in (401, 403)
