"""Gemini upstreams through the product, as clients of OpenAI see them: words, tools, pictures, errors, and the bill."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.proxy.gallery import PICO_PER_IMAGE, Gallery
from tests.proxy.town import chunks, text_of

pytestmark = pytest.mark.timeout(120)
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a text up.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": ["string", "null"]}},
            "required": ["text"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def client(gallery: Gallery, key: str) -> Iterator[openai.OpenAI]:
    with gallery.town.client(key) as client:
        yield client


def said(text: str = "one two three") -> list[Any]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


@pytest.mark.parametrize("kind", ["echo", "reasoning", "cached", "crlf", "comments", "split", "usage-twice", "json"])
def test_it_answers_whole_and_streamed_at_the_upstreams_own_count(
    gallery: Gallery, client: openai.OpenAI, kind: str
) -> None:
    model = f"gemini/{kind}"
    whole = client.chat.completions.create(model=model, messages=said("one två 🎉"))
    event = gallery.check(whole.id)
    assert (event["upstream_model"], event["reported_model"]) == (f"sandbox/{kind}", f"sandbox/{kind}")
    assert whole.choices[0].finish_reason == "stop"
    stream = client.chat.completions.create(
        model=model, messages=said("one två 🎉"), stream=True, stream_options={"include_usage": True}
    )
    got = list(stream)
    assert "".join(one.choices[0].delta.content or "" for one in got if one.choices) == whole.choices[0].message.content
    assert got[-1].usage == whole.usage
    assert [one.choices[0].finish_reason for one in got if one.choices][-1] == "stop"
    gallery.check(got[0].id)


def test_it_shows_what_was_thought(gallery: Gallery, client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gemini/reasoning", messages=said(), reasoning_effort="high")
    assert (whole.choices[0].message.model_extra or {})["reasoning_content"].startswith("Hmm")
    assert gallery.check(whole.id)["reasoning"] == 16


def test_it_makes_several_choices(gallery: Gallery, client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gemini/echo", messages=said(), n=3)
    assert [choice.message.content for choice in whole.choices] == ["one two three"] * 3
    gallery.check(whole.id)
    ends = [
        (choice.index, choice.finish_reason)
        for chunk in client.chat.completions.create(model="gemini/echo", messages=said(), n=3, stream=True)
        for choice in chunk.choices
        if choice.finish_reason
    ]
    assert sorted(ends) == [(0, "stop"), (1, "stop"), (2, "stop")]


def test_it_ends_at_the_limit_and_at_stops(gallery: Gallery, client: openai.OpenAI) -> None:
    short = client.chat.completions.create(model="gemini/echo", messages=said("a b c d e f"), max_tokens=2)
    assert short.choices[0].finish_reason == "length"
    gallery.check(short.id)
    stopped = client.chat.completions.create(model="gemini/echo", messages=said("a b c"), stop=["c"])
    assert stopped.choices[0].message.content == "a b "
    gallery.check(stopped.id)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("keeps", ["everything", "what the SDK knows"])
def test_signatures_survive_turns_with_tools(
    gallery: Gallery, client: openai.OpenAI, streamed: bool, keeps: str
) -> None:
    messages = said("look this up")
    for turn in range(3):
        message, answer_id = _turn(client, messages, streamed)
        gallery.check(answer_id)
        [call] = message["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"text": messages[-1]["content"]}
        if keeps != "everything":
            message = {"role": "assistant", "content": None, "tool_calls": [_plain(call)]}
        result = {"role": "tool", "tool_call_id": call["id"], "content": f"found {turn}"}
        messages += [message, result]
        message, answer_id = _turn(client, messages, streamed)
        gallery.check(answer_id)
        assert message["content"] == f"The tool says: found {turn}"
        messages += [message, {"role": "user", "content": f"and this {turn}"}]


def _turn(client: openai.OpenAI, messages: list[Any], streamed: bool) -> tuple[dict[str, Any], str]:
    """One answer as a message to send again, and its id."""
    asked: dict[str, Any] = {"model": "gemini/thinking-16", "messages": messages, "tools": [TOOL]}
    if not streamed:
        whole = client.chat.completions.create(**asked, reasoning_effort="low")
        return whole.choices[0].message.model_dump(exclude_none=True), whole.id
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    ident = ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        ident = chunk.id
        delta = chunk.choices[0].delta.model_dump(exclude_none=True) if chunk.choices else {}
        message["content"] += delta.get("content", "")
        for name in ("tool_calls", "reasoning_details"):
            if name in delta:
                message.setdefault(name, []).extend(delta[name])
    return message, ident


def _plain(call: dict[str, Any]) -> dict[str, Any]:
    return {name: call[name] for name in ("id", "type", "function")}


def test_calls_that_another_model_made_need_no_signature(client: openai.OpenAI) -> None:
    function = {"name": "look_up", "arguments": '{"text": "x"}'}
    messages: list[Any] = [
        *said(),
        {"role": "assistant", "tool_calls": [{"id": "call_foreign", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_foreign", "content": "found"},
    ]
    whole = client.chat.completions.create(model="gemini/thinking", messages=messages, tools=[TOOL])
    assert whole.choices[0].message.content == "The tool says: found"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gemini/thinking-16", messages=messages, tools=[TOOL])


def test_the_signature_of_a_call_is_where_clients_look_for_it(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gemini/thinking", messages=said(), tools=[TOOL])
    message = whole.choices[0].message.model_dump()
    [call] = message["tool_calls"]
    [detail] = message["reasoning_details"]
    assert whole.choices[0].finish_reason == "tool_calls"
    assert call["extra_content"]["google"]["thought_signature"] == detail["data"]
    assert (detail["type"], detail["id"]) == ("reasoning.encrypted", call["id"])


def test_it_calls_several_tools_at_once(gallery: Gallery, client: openai.OpenAI) -> None:
    got = list(client.chat.completions.create(model="gemini/tools-2", messages=said(), tools=[TOOL], stream=True))
    calls = [call for one in got if one.choices for call in one.choices[0].delta.tool_calls or ()]
    assert [call.index for call in calls] == [0, 1]
    assert len({call.id for call in calls}) == 2
    gallery.check(got[0].id)


def test_it_answers_in_json(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"echo": {"type": "string"}}, "additionalProperties": False}
    whole = client.chat.completions.create(
        model="gemini/json",
        messages=said(),
        response_format={"type": "json_schema", "json_schema": {"name": "echo", "schema": schema}},
    )
    assert json.loads(whole.choices[0].message.content or "") == {"echo": "one two three"}


@pytest.mark.parametrize("streamed", [False, True])
def test_pictures_come_in_messages_and_are_priced_by_their_tokens(gallery: Gallery, key: str, streamed: bool) -> None:
    answer = gallery.town.post(
        key, "gemini/image-1290x2", "A cat", aspect_ratio="16:9", image_size="2K", top_k=5, stream=streamed
    )
    assert answer.status_code == 200, answer.text
    if streamed:
        told = chunks(answer.text)
        images = [image for one in told for choice in one["choices"] for image in choice["delta"].get("images", ())]
        assert text_of(told) == "A cat"
    else:
        message = answer.json()["choices"][0]["message"]
        images = message["images"]
        assert message["content"] == "A cat"
    assert len(images) == 2
    head, _, data = images[0]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    event = gallery.check(answer.headers["x-request-id"])
    assert (event["output_image"], event["images"]) == (2580, 2)


def test_pictures_are_priced_by_the_piece_where_they_have_such_a_price(gallery: Gallery, key: str) -> None:
    answer = gallery.town.post(key, "draw/both", "A cat", modalities=["image"])
    assert len(answer.json()["choices"][0]["message"]["images"]) == 1
    gallery.check(answer.headers["x-request-id"], per_image=PICO_PER_IMAGE)


def test_a_model_that_draws_nothing_is_not_asked_to(gallery: Gallery, key: str) -> None:
    refused = gallery.town.post(key, "gemini/echo", "A cat", modalities=["text", "image"])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "modalities[1]")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", ["refusal", "recitation", "image-safety", "blocked"])
def test_what_was_filtered_says_so_and_is_billed(gallery: Gallery, key: str, kind: str, streamed: bool) -> None:
    answer = gallery.town.post(key, f"gemini/{kind}", "one two three four", stream=streamed)
    assert answer.status_code == 200
    told = chunks(answer.text) if streamed else [answer.json()]
    ends = [choice["finish_reason"] for one in told for choice in one["choices"] if choice["finish_reason"]]
    assert ends == ["content_filter"]
    gallery.check(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("gemini/400", 400, "invalid_value"),
        ("gemini/401", 502, "bad_gateway"),
        ("forged/echo", 502, "bad_gateway"),
        ("gemini/429-7", 503, "upstream_overloaded"),
        ("gemini/503", 503, "upstream_overloaded"),
        ("gemini/too-long", 400, "context_length_exceeded"),
        ("gemini/html", 502, "bad_gateway"),
        ("gemini/error200", 502, "bad_gateway"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_failures_have_our_words_and_cost_nothing(
    gallery: Gallery, key: str, model: str, status: int, code: str, streamed: bool
) -> None:
    answer = gallery.town.post(key, model, stream=streamed)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    event = gallery.town.event(answer.headers["x-request-id"])
    assert (event["state"], event["cost"]) == ("voided", 0)


@pytest.mark.parametrize("kind", ["midstream-error-3", "truncated-3"])
def test_a_stream_that_breaks_ends_in_an_error(gallery: Gallery, key: str, kind: str) -> None:
    answer = gallery.town.post(key, f"gemini/{kind}", "one two three four five six", stream=True)
    assert answer.status_code == 200
    assert "error" in chunks(answer.text)[-1]
    assert "[DONE]" not in answer.text
    assert gallery.town.event(answer.headers["x-request-id"])["state"] == "settled"


@pytest.mark.parametrize("kind", ["no-usage", "zero-usage", "negative-usage"])
@pytest.mark.parametrize("streamed", [False, True])
def test_counts_that_are_missing_or_untrue_are_estimated(gallery: Gallery, key: str, kind: str, streamed: bool) -> None:
    answer = gallery.town.post(key, f"gemini/{kind}", "one two three four", stream=streamed)
    event = gallery.town.event(answer.headers["x-request-id"])
    assert (event["state"], event["basis"]) == ("settled", "estimated")
    assert event["cost"] > 0


def test_what_gemini_cannot_be_told_is_named(gallery: Gallery, key: str) -> None:
    answer = gallery.town.post(key, "gemini/echo", user="u", logit_bias={"1": 1}, seed=2**50)
    assert set(answer.headers["x-tollgate-dropped"].replace(" ", "").split(",")) == {"user", "logit_bias"}
