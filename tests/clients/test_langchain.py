"""langchain-openai, as it comes, against every dialect."""

from __future__ import annotations

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.clients.material import SAID, Echo, picture
from tests.clients.shop import Shop


@tool
def look_up(text: str) -> str:
    """Looks a text up."""
    return f"found {text}"


@pytest.fixture
def chat(shop: Shop, key: str, dialect: str) -> Chat:
    return Chat(shop, key, dialect)


class Chat:
    """Makes LangChain's chat models of one dialect."""

    def __init__(self, shop: Shop, key: str, dialect: str) -> None:
        self.shop, self.key, self.dialect = shop, key, dialect

    def __call__(self, kind: str, model: str = "", responses: bool = False) -> ChatOpenAI:
        name = model or f"{self.dialect}/{kind}"
        return ChatOpenAI(
            model=name,
            base_url=self.shop.product.base_url,
            api_key=SecretStr(self.key),
            max_retries=0,
            timeout=30,
            stream_usage=True,
            use_responses_api=responses,
        )


def test_it_answers(chat: Chat) -> None:
    answer = chat("echo").invoke([SystemMessage("Be brief."), HumanMessage(SAID)])
    assert answer.content == SAID
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3
    assert answer.response_metadata["finish_reason"] == "stop"


def test_it_answers_by_responses(chat: Chat) -> None:
    answer = chat("echo", responses=True).invoke([SystemMessage("Be brief."), HumanMessage(SAID)])
    assert answer.text == SAID
    assert "".join(part.text for part in chat("echo", responses=True).stream(SAID)) == SAID
    model = chat("tools", responses=True).bind_tools([look_up])
    question = HumanMessage("Paris")
    called = model.invoke([question])
    result = look_up.invoke(called.tool_calls[0])
    assert model.invoke([question, called, result]).text == "The tool says: found Paris"


@pytest.mark.asyncio(loop_scope="module")  # it keeps its connections for all models of an address
async def test_it_answers_asynchronously(chat: Chat) -> None:
    assert (await chat("echo").ainvoke(SAID)).content == SAID


def test_it_streams_with_usage(chat: Chat) -> None:
    parts = list(chat("echo").stream(SAID))
    assert "".join(str(part.content) for part in parts) == SAID
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 3


def test_it_calls_tools_and_reads_their_results(chat: Chat) -> None:
    model = chat("tools").bind_tools([look_up])
    question = HumanMessage("Paris")
    answer = model.invoke([question])
    [call] = answer.tool_calls
    assert (call["name"], call["args"]) == ("look_up", {"text": "Paris"})
    result = look_up.invoke(call)
    assert isinstance(result, ToolMessage)
    assert model.invoke([question, answer, result]).content == "The tool says: found Paris"


def test_it_streams_tools(chat: Chat) -> None:
    parts = list(chat("tools").bind_tools([look_up], tool_choice="look_up").stream("Paris"))
    whole = parts[0]
    for part in parts[1:]:
        whole += part  # type: ignore[assignment]
    assert isinstance(whole, AIMessage)
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("look_up", {"text": "Paris"})]


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_it_answers_in_a_shape(chat: Chat, method: str) -> None:
    assert chat("json").with_structured_output(Echo, method=method).invoke(SAID) == Echo(echo=SAID)  # type: ignore[arg-type]


def test_it_is_shown_a_picture(chat: Chat) -> None:
    parts: list[str | dict[object, object]] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": picture()}},
    ]
    assert chat("echo").invoke([HumanMessage(parts)]).content == "What is this?"


def test_it_answers_many(chat: Chat) -> None:
    answers = chat("echo").batch([f"number {number}" for number in range(50)], {"max_concurrency": 50})
    assert [answer.content for answer in answers] == [f"number {number}" for number in range(50)]


def test_errors_are_its_own(chat: Chat, shop: Shop) -> None:
    with pytest.raises(openai.NotFoundError):
        chat("nothing").invoke(SAID)
    with pytest.raises(openai.InternalServerError):
        chat("", shop.fresh(chat.dialect, "503")).invoke(SAID)


def test_a_stream_that_is_left_is_settled(chat: Chat, shop: Shop) -> None:
    stream = chat("paced-100x10").stream(SAID)
    answer_id = next(stream).id
    stream.close()  # type: ignore[attr-defined]
    assert answer_id is not None
    assert answer_id.startswith(("chatcmpl-", "lc_run--"))
    shop.check_count()
