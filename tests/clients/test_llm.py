"""``llm``, as a library and on the command line, with its OpenAI models pointed at the gateway."""

from __future__ import annotations

import json
from pathlib import Path

import llm
import pytest
from click.testing import CliRunner
from llm.cli import cli

from tests.clients.material import SAID, Echo, png
from tests.clients.shop import KINDS, Shop, spoken

ENTRY = """- model_id: {prefix}{dialect}-{kind}
  model_name: {dialect}/{kind}
  api_base: {base_url}
  api_key_name: tollgate
  supports_schema: true
  supports_tools: true
  vision: true
  responses: {responses}
"""
#: Chat completions, and the Responses API.
PREFIXES = {"": "false", "r-": "true"}


@pytest.fixture
def folder(tmp_path: Path, shop: Shop, key: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its folder, with the gateway's models and a key."""
    base_url = shop.product.base_url
    entries = [
        ENTRY.format(prefix=prefix, dialect=name, kind=kind, base_url=base_url, responses=responses)
        for prefix, responses in PREFIXES.items()
        for name in spoken()
        for kind in KINDS
    ]
    (tmp_path / "extra-openai-models.yaml").write_text("".join(entries))
    (tmp_path / "keys.json").write_text(json.dumps({"tollgate": key}))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    return tmp_path


def typed(*arguments: str, expect: int = 0) -> str:
    """Run the command; returns what it printed."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == expect, done.output
    return done.output


def look_up(text: str) -> str:
    """Looks a text up."""
    return f"found {text}"


def test_the_command_streams_and_shows_the_usage(folder: Path, dialect: str) -> None:
    assert typed("-m", f"{dialect}-echo", "-s", "Be brief.", SAID).strip() == SAID
    [row] = json.loads(typed("logs", "-n", "1", "--json"))
    assert (row["response"], row["output_tokens"]) == (SAID, 3)


def test_the_command_tells_errors(folder: Path) -> None:
    (folder / "keys.json").write_text(json.dumps({"tollgate": "sk-wrong"}))
    assert "Invalid API key provided" in typed("-m", "openai-echo", SAID, expect=1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_it_answers(folder: Path, dialect: str, prefix: str, stream: bool) -> None:
    answer = llm.get_model(f"{prefix}{dialect}-echo").prompt(SAID, system="Be brief.", temperature=0.5, stream=stream)
    assert answer.text() == SAID
    assert answer.usage().output == 3


async def test_it_answers_asynchronously(folder: Path, dialect: str) -> None:
    answer = await llm.get_async_model(f"{dialect}-echo").prompt(SAID)
    assert await answer.text() == SAID


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_it_calls_tools_and_reads_their_results(folder: Path, dialect: str, prefix: str, stream: bool) -> None:
    model = llm.get_model(f"{prefix}{dialect}-tools")
    chain = (
        model.conversation(tools=[look_up]).chain("Paris", options={})
        if stream
        else model.chain("Paris", tools=[look_up])
    )
    assert chain.text() == "The tool says: found Paris"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_it_answers_in_a_shape(folder: Path, dialect: str, prefix: str) -> None:
    answer = llm.get_model(f"{prefix}{dialect}-json").prompt(SAID, schema=Echo)
    assert Echo.model_validate_json(answer.text()) == Echo(echo=SAID)


def test_it_is_shown_a_picture(folder: Path, dialect: str) -> None:
    picture = llm.Attachment(content=png(), type="image/png")
    answer = llm.get_model(f"{dialect}-echo").prompt("What is this?", attachments=[picture])
    assert answer.text() == "What is this?"


def test_it_goes_on_with_a_conversation(folder: Path, dialect: str) -> None:
    conversation = llm.get_model(f"{dialect}-echo").conversation()
    first = conversation.prompt("first")
    assert first.text() == "first"
    second = conversation.prompt("second")
    assert second.text() == "second"
    assert (second.usage().input or 0) > (first.usage().input or 0) > 0
