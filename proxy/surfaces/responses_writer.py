"""A stream of OpenAI chunks as the Responses API's events: item after item, begun, told and ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from billing.meters import Usage
from proxy.chat import ChatRequest
from proxy.surfaces.responses_answer import finished, item_id, logprobs_of, response_of
from proxy.surfaces.responses_items import call_item, message_item, reasoning_item, to_seal
from proxy.surfaces.responses_tools import spaces


@dataclass(slots=True)
class Item:
    """One output item under way: its place, and what was told of it so far."""

    id: str
    place: int
    kind: str
    text: str = ""
    refusal: str = ""
    details: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    call: dict[str, Any] = field(default_factory=dict)
    ended: bool = False

    def body(self, *, status: str) -> dict[str, Any]:
        """The item as it stands."""
        if self.kind == "rs":
            return reasoning_item(self.id, self.text, self.details)
        if self.kind == "msg":
            return message_item(self.id, self.text, refusal=self.refusal, status=status, logprobs=self.logprobs)
        return call_item(self.id, self.call, status=status)


class ResponseWriter:
    """The writer of one stream. Calls may be told in turns, so they are ended together, at the end."""

    def __init__(self, chat: ChatRequest, answer_id: str, created: int) -> None:
        self._chat = chat
        self._spaces = spaces((chat.native or {}).get("tools"))
        self._id = answer_id
        self._created = created
        self._out: list[bytes] = []
        self._number = 0
        self._items: list[Item] = []
        self._calls: dict[int, Item] = {}
        self._finish = ""
        self._tier: object = None

    def chunk(self, chunk: dict[str, Any]) -> bytes:
        """See ChunkWriter."""
        self._begin()
        self._tier = chunk.get("service_tier") or self._tier
        for choice in chunk["choices"]:
            if choice.get("index", 0) == 0:
                self._delta(choice.get("delta") or {}, logprobs_of(choice))
                self._finish = choice.get("finish_reason") or self._finish
        return self._taken()

    def tail(self, usage: Usage, extras: Mapping[str, Any]) -> bytes:
        """The ends of what is open, and the whole response."""
        self._begin()
        self._end_all()
        response = response_of(self._chat, self._id, self._created, self._finish or "stop")
        response["output"] = [item.body(status="completed") for item in self._items]
        kind = "incomplete" if response["incomplete_details"] else "completed"
        self._event(f"response.{kind}", response=finished(response, usage, self._tier, extras))
        return self._taken()

    def _begin(self) -> None:
        if self._number:
            return
        response = response_of(self._chat, self._id, self._created, "")
        self._event("response.created", response=response)
        self._event("response.in_progress", response=response)

    def _delta(self, delta: dict[str, Any], logprobs: list[Any]) -> None:
        thought, text, refusal = delta.get("reasoning_content"), delta.get("content"), delta.get("refusal")
        details = to_seal(delta.get("reasoning_details") or ())
        if thought or details:
            self._think(thought or "", details)
        if text:
            self._say(text, logprobs)
        if refusal:
            self._refuse(refusal)
        for call in delta.get("tool_calls") or ():
            self._call(call)

    def _think(self, text: str, details: list[Any]) -> None:
        item = self._open("rs")
        item.details += details
        if not text:
            return
        if not item.text:
            part = {"type": "summary_text", "text": ""}
            self._told(item, "response.reasoning_summary_part.added", summary_index=0, part=part)
        item.text += text
        self._told(item, "response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def _say(self, text: str, logprobs: list[Any]) -> None:
        item = self._open("msg")
        if not item.text:
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self._told(item, "response.content_part.added", content_index=0, part=part)
        item.text += text
        item.logprobs += logprobs
        self._told(item, "response.output_text.delta", content_index=0, delta=text, logprobs=logprobs)

    def _refuse(self, text: str) -> None:
        item = self._open("msg")
        place = int(bool(item.text))
        if not item.refusal:
            part = {"type": "refusal", "refusal": ""}
            self._told(item, "response.content_part.added", content_index=place, part=part)
        item.refusal += text
        self._told(item, "response.refusal.delta", content_index=place, delta=text)

    def _call(self, call: dict[str, Any]) -> None:
        index = call.get("index", 0)
        item = self._calls.get(index)
        made = call.get("custom") if "custom" in call else call.get("function")
        made = made if type(made) is dict else {}
        custom = "custom" in call or call.get("type") == "custom"
        name, words = ("custom", "input") if custom else ("function", "arguments")
        if item is None:
            self._end_open()
            called = made.get("name") or ""
            item = Item(item_id(self._id, "fc", len(self._items)), len(self._items), "fc")
            item.call = {
                "id": call.get("id") or item.id,
                "type": name,
                name: {"name": called, words: "", **self._spaces.get(called, {})},
            }
            self._items.append(item)
            self._calls[index] = item
            self._event("response.output_item.added", output_index=item.place, item=item.body(status="in_progress"))
        told = made.get(words) or ""
        if told:
            inner = item.call[item.call["type"]]
            words = "input" if item.call["type"] == "custom" else "arguments"
            inner[words] += told
            self._told(item, f"response.{self._spoken(item)}.delta", delta=told)

    def _open(self, kind: str) -> Item:
        """The item under way, if it is of this kind; else a new one."""
        last = self._items[-1] if self._items else None
        if last is not None and last.kind == kind and not last.ended:
            return last
        self._end_open()
        item = Item(item_id(self._id, kind, len(self._items)), len(self._items), kind)
        self._items.append(item)
        body = item.body(status="in_progress")
        if kind == "msg":
            body["content"] = []
        self._event("response.output_item.added", output_index=item.place, item=body)
        return item

    def _end_open(self) -> None:
        """What the model thinks or says ends where something else begins; calls wait."""
        last = self._items[-1] if self._items else None
        if last is not None and last.kind != "fc" and not last.ended:
            self._end(last)

    def _end_all(self) -> None:
        if not self._items:
            self._open("msg")
        for item in self._items:
            if not item.ended:
                self._end(item)

    def _end(self, item: Item) -> None:
        item.ended = True
        if item.kind == "rs" and item.text:
            self._told(item, "response.reasoning_summary_text.done", summary_index=0, text=item.text)
            part = {"type": "summary_text", "text": item.text}
            self._told(item, "response.reasoning_summary_part.done", summary_index=0, part=part)
        elif item.kind == "msg":
            self._end_message(item)
        elif item.kind == "fc":
            words = "input" if item.call["type"] == "custom" else "arguments"
            whole = item.call[item.call["type"]][words]
            self._told(item, f"response.{self._spoken(item)}.done", **{words: whole})
        self._event("response.output_item.done", output_index=item.place, item=item.body(status="completed"))

    def _end_message(self, item: Item) -> None:
        if item.text:
            likely = item.logprobs
            part = {"type": "output_text", "text": item.text, "annotations": [], "logprobs": likely}
            self._told(item, "response.output_text.done", content_index=0, text=item.text, logprobs=likely)
            self._told(item, "response.content_part.done", content_index=0, part=part)
        if item.refusal:
            place = int(bool(item.text))
            said = {"type": "refusal", "refusal": item.refusal}
            self._told(item, "response.refusal.done", content_index=place, refusal=item.refusal)
            self._told(item, "response.content_part.done", content_index=place, part=said)

    def _spoken(self, item: Item) -> str:
        return "custom_tool_call_input" if item.call["type"] == "custom" else "function_call_arguments"

    def _told(self, item: Item, kind: str, **fields: Any) -> None:
        """An event of one item."""
        self._event(kind, item_id=item.id, output_index=item.place, **fields)

    def _event(self, kind: str, **fields: Any) -> None:
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        self._out.append(b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(body)))

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out
