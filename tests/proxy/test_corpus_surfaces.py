"""Everything that upstreams were seen to stream, written for clients that do not speak OpenAI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.dialects import DIALECTS
from proxy.sandbox.replay import Case, cut, load
from proxy.surfaces.messages_writer import MessageWriter
from proxy.surfaces.responses_writer import ResponseWriter
from proxy.surfaces.rewritten import Rewritten
from tests.proxy.corpus_case import asked, cases

SEEDS = (0, 1, 2)
#: one choice, text that is not told in another way, and an end
SPOKEN = [
    (dialect, path)
    for dialect, path in cases(".sse")
    if not {"failure", "any_failure", "choices", "text_ends", "images"} & load(path).told.keys()
    and path.stem != "function-call"
]


def written(dialect: str, case: Case, writer: Any, seed: int) -> list[dict[str, Any]]:
    """The events of a stream, each under its own name."""
    stream = Rewritten(DIALECTS["chat", dialect].stream(asked(case)), writer)
    out = b"".join(map(stream.feed, cut(case.data, seed))) + stream.close()
    assert stream.failure is None
    out += stream.tail(stream.usage or Usage(), {})
    events = []
    for block in out.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        events.append(event)
    return events


def spoken(case: Case) -> str:
    """The text that the case tells."""
    if "text_fill" in case.told:
        return str(case.told["text_fill"][0] * case.told["text_fill"][1])
    text = case.told["text"]
    for mark, (part, times) in case.told.get("fill", {}).items():
        text = text.replace(mark, part * times)
    return str(text)


def calls_of(case: Case) -> list[tuple[str, Any]]:
    """The tool calls that the case tells."""
    return [(call["name"], json.loads(call["arguments"])) for call in case.told.get("tool_calls", [])]


@pytest.mark.parametrize(("dialect", "path"), SPOKEN, ids=lambda value: getattr(value, "stem", value))
def test_it_is_the_same_as_anthropics_messages(dialect: str, path: Path) -> None:
    case = load(path)
    for seed in SEEDS:
        events = written(dialect, case, MessageWriter("msg_1", "acme/model"), seed)
        assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
        blocks: list[dict[str, Any]] = []
        opened = False
        for event in events:
            match event["type"]:
                case "content_block_start":
                    assert not opened
                    assert event["index"] == len(blocks)
                    opened = True
                    blocks.append({**event["content_block"], "said": ""})
                case "content_block_delta":
                    assert opened
                    assert event["index"] == len(blocks) - 1
                    blocks[-1]["said"] += event["delta"].get("text") or event["delta"].get("partial_json") or ""
                case "content_block_stop":
                    opened = False
        assert not opened
        assert "".join(block["said"] for block in blocks if block["type"] == "text") == spoken(case)
        calls = [(block["name"], json.loads(block["said"] or "{}")) for block in blocks if block["type"] == "tool_use"]
        assert calls == calls_of(case)


@pytest.mark.parametrize(("dialect", "path"), SPOKEN, ids=lambda value: getattr(value, "stem", value))
def test_it_is_the_same_as_a_response(dialect: str, path: Path) -> None:
    case = load(path)
    chat = ChatRequest("acme/model", {"messages": []}, True, True, 1, None, 0, 0, native={})
    for seed in SEEDS:
        events = written(dialect, case, ResponseWriter(chat, "resp_1", 1), seed)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] in ("response.completed", "response.incomplete")
        deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == spoken(case)
        output = events[-1]["response"]["output"]
        calls = [(item["name"], json.loads(item["arguments"])) for item in output if item["type"] == "function_call"]
        assert calls == calls_of(case)
