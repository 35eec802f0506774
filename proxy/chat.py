"""A chat-completion request as the gateway understands it: parsed, bounded and complete, from bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from proxy import parameters
from proxy.errors import BadRequest, excerpt
from proxy.factors import LEAST, PER, USUAL, tokens
from proxy.parameters import bad, wrong_type

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARTS = {
    "text": "text",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "file": "file",
    "refusal": "refusal",
}
IMAGE_TOKENS = 16_384
"""What one linked image can cost at most: no provider bills more for a single picture."""
MOST_ESCAPES = 500_000  # looking at millions, one by one, would hold the loop for a second
TOOLS_PROMPT = 1_000
"""What a provider's own words about tools can add to a prompt: Anthropic's are some hundred tokens."""
MOST_DEPTH = 250  # orjson reads more levels than the 254 it writes

_DATA = {"image_url": "url", "input_audio": "data", "file": "file_data"}
UNBOUNDED = 10**9 // IMAGE_TOKENS
LIKELY_IMAGE, LIKELY_FILE = 800, 3_000
"""Tokens of a usual picture and of a document of a few pages: what most providers count for them."""
MOST_TALK = 50_000  # bytes; a request without links that is shorter hardly has a recording in it

LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


@dataclass(slots=True)
class ChatRequest:
    """One request in OpenAI's words. ``body`` is what the client sent, checked and, from another surface, translated.

    ``output_limit`` is None where the client gave none; ``size`` is in bytes, ``attached`` of which are pictures,
    recordings and files, not text; ``parts`` says whether any content is more than a text. ``native`` is the body in
    the words of the surface that ``operation`` names, for an upstream that speaks them, and ``native_headers`` go with
    it. ``images`` are those it may bring at most. ``dropped`` is what no upstream is told. ``thoughts`` is reasoning
    of earlier turns by the id of the call it led to, signed where its provider does; ``thinking`` is what the client
    was shown of it, on surfaces whose messages have no place for that, by the message's place.
    """

    model: str
    body: dict[str, Any]
    stream: bool
    include_usage: bool
    choices: int
    output_limit: int | None
    linked_images: int
    size: int
    attached: int = 0
    operation: str = "chat"
    native: dict[str, Any] | None = None
    native_headers: tuple[tuple[str, str], ...] = ()
    images: int = 0
    service_tier: str = ""
    dropped: tuple[str, ...] = ()
    parts: bool = False
    thoughts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    thinking: dict[int, str] | None = None

    def windows(self, context_window: int) -> int:
        """How many tokens the model can read for it: of texts to embed, each has the context window to itself."""
        return context_window * self.choices if self.operation == "embeddings" else context_window

    def input_bound(self, context_window: int, factor: int = LEAST) -> int:
        """The most prompt tokens this can be: a byte-level BPE token is at least one byte, a linked image has a cap.

        With a ``factor`` of more than 1,000 bytes per 1,000 tokens it is what the operator takes for enough, and no
        bound.
        """
        size = self.size if factor == LEAST else tokens(self.size, factor)
        unseen = TOOLS_PROMPT if "tools" in self.body else 0
        return min(size + self.linked_images * IMAGE_TOKENS + unseen, self.windows(context_window))

    def input_estimate(self, factor: int = USUAL) -> int:
        """A likely number of prompt tokens, at ``factor`` bytes per 1,000; what is attached is not text."""
        likely = (self.size - self.attached) * PER // factor + 1
        return likely + self.attachments() if self.linked_images else likely

    def attachments(self) -> int:
        """Likely tokens of pictures and files."""
        files, images = divmod(self.linked_images, UNBOUNDED)
        return images * LIKELY_IMAGE + files * LIKELY_FILE


def parse(raw: bytes) -> ChatRequest:
    """Bytes → request; raises BadRequest naming the parameter."""
    return request(decode(raw), size=len(raw))


def request(given: dict[str, Any], *, size: int) -> ChatRequest:
    """A decoded body → request; other surfaces come here with what they translated."""
    body = parameters.check(given)
    images, parts = _check_messages(body["messages"])
    stream = body.get("stream", False)
    options = body.get("stream_options")
    if options is not None:
        _check_stream_options(options, stream)
    if "top_logprobs" in body and not body.get("logprobs"):
        raise bad("'top_logprobs' needs 'logprobs' to be true.", "invalid_value", "top_logprobs")
    if "tools" in body:
        _check_tools(body["tools"])
    limit, older = body.get("max_completion_tokens"), body.get("max_tokens")
    if older is not None and (limit is None or older < limit):
        limit = older
    return ChatRequest(
        body["model"],
        body,
        stream,
        bool(options and options.get("include_usage")),
        body.get("n", 1),
        limit,
        images,
        size,
        _attached(body["messages"]) if images or size > MOST_TALK else 0,
        service_tier=body.get("service_tier", ""),
        parts=parts,
    )


def decode(raw: bytes) -> dict[str, Any]:
    """A JSON object; NaN, Infinity, over-deep nesting and anything else is BadRequest ``invalid_json``.

    Lone surrogates, which JavaScript clients can send, become U+FFFD.
    """
    try:
        body = orjson.loads(raw)
    except ValueError as error:
        try:
            mendable = 0 < raw.count(b"\\u") <= MOST_ESCAPES
            body = orjson.loads(LONE_SURROGATE.sub(rb"\\ufffd", raw)) if mendable else None
        except ValueError:
            body = None
        if body is None:
            reason = "The body is empty." if not raw.strip() else f"The body is not valid JSON: {excerpt(error)}."
            raise BadRequest(reason, "invalid_json") from None
    if type(body) is not dict:
        raise BadRequest("The body must be a JSON object.", "invalid_json")
    if raw.count(b"{") + raw.count(b"[") > MOST_DEPTH:
        _check_depth(body)
    return body


def _check_depth(body: dict[str, Any]) -> None:
    """Refuse nesting that can be read but not written again."""
    level: list[Any] = [body]
    for _ in range(MOST_DEPTH):
        inner = (node.values() if type(node) is dict else node for node in level)
        level = [child for children in inner for child in children if type(child) is dict or type(child) is list]
        if not level:
            return
    raise BadRequest(f"The body is nested more than {MOST_DEPTH} levels deep.", "invalid_json")


def _check_stream_options(options: dict[str, Any], stream: bool) -> None:
    if not stream:
        raise bad("'stream_options' is only allowed when 'stream' is true.", "invalid_value", "stream_options")
    wanted = options.get("include_usage")
    if wanted is not None and type(wanted) is not bool:
        raise wrong_type("stream_options.include_usage", "a boolean", wanted)


def _check_messages(messages: list[Any]) -> tuple[int, bool]:
    """Every message has a known role and content its role may have.

    Returns how many images are linked by URL, and whether any content comes in parts.
    """
    images, parts = 0, False
    called: set[str] = set()
    for index, message in enumerate(messages):
        if type(message) is not dict:
            raise wrong_type(f"messages[{index}]", "an object", message)
        role = message.get("role")
        content = message.get("content")
        if message.get("tool_calls") and role != "assistant":
            raise bad("Only assistant messages have tool calls.", "invalid_value", f"messages[{index}].tool_calls")
        if type(content) is str and (role == "user" or role == "system"):
            continue
        if type(role) is not str or role not in ROLES:
            raise _bad_role(index, message)
        if type(content) is list:
            parts = True
            images += _check_parts(content, f"messages[{index}].content")
        elif content is None and role not in ("assistant", "tool", "function"):
            raise bad(
                f"Missing required parameter: 'messages[{index}].content'.",
                "missing_required_parameter",
                f"messages[{index}].content",
            )
        elif content is not None and type(content) is not str:
            raise wrong_type(f"messages[{index}].content", "a string or an array", content)
        if role == "assistant":
            called.update(_tool_call_ids(message, index))
        elif role == "tool":
            _check_tool_result(message, index, called)
    return images, parts


def _bad_role(index: int, message: dict[str, Any]) -> BadRequest:
    path = f"messages[{index}].role"
    if "role" not in message:
        return bad(f"Missing required parameter: '{path}'.", "missing_required_parameter", path)
    if type(message["role"]) is not str:
        return wrong_type(path, "a string", message["role"])
    wanted = "'system', 'developer', 'user', 'assistant', 'tool', 'function'"
    return bad(f"Invalid value: '{excerpt(message['role'])}'. Supported values are: {wanted}.", "invalid_value", path)


def _check_parts(parts: list[Any], path: str) -> int:
    """Content parts; returns how many are images given by URL."""
    images = 0
    for index, part in enumerate(parts):
        if type(part) is not dict:
            raise wrong_type(f"{path}[{index}]", "an object", part)
        kind = part.get("type")
        if type(kind) is not str or kind not in PARTS:
            raise bad(
                f"Invalid value: '{excerpt(kind)}'. Supported values are: 'text', 'image_url', 'input_audio', 'file'.",
                "invalid_value",
                f"{path}[{index}].type",
            )
        if PARTS[kind] not in part:
            name = f"{path}[{index}].{PARTS[kind]}"
            raise bad(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
        if kind == "image_url":
            images += 1
        elif kind == "file":  # a small file can have many pages: only the context window bounds it
            images += UNBOUNDED
    return images


def _attached(messages: list[Any]) -> int:
    """Characters of base64 in content parts: data URLs of pictures, recordings, files."""
    size = 0
    for message in messages:
        content = message.get("content")
        for part in content if type(content) is list else ():
            member = _DATA.get(part["type"])
            held = part.get(part["type"]) if member else None
            text = held.get(member) if type(held) is dict else held
            if type(text) is str and not text.startswith(("http://", "https://")):
                size += len(text)
    return size


def _tool_call_ids(message: dict[str, Any], index: int) -> list[str]:
    """The ids of an assistant message's tool calls."""
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if type(calls) is not list:
        raise wrong_type(f"messages[{index}].tool_calls", "an array", calls)
    ids = []
    for place, call in enumerate(calls):
        path = f"messages[{index}].tool_calls[{place}]"
        if type(call) is not dict:
            raise wrong_type(path, "an object", call)
        if type(call.get("id")) is not str:
            raise bad(f"Missing required parameter: '{path}.id'.", "missing_required_parameter", f"{path}.id")
        if "\0" in call["id"]:
            raise bad(f"Invalid '{path}.id': it contains NUL.", "invalid_value", f"{path}.id")
        ids.append(call["id"])
    return ids


def _check_tool_result(message: dict[str, Any], index: int, called: set[str]) -> None:
    """A tool message answers a call that an earlier assistant message made."""
    path = f"messages[{index}].tool_call_id"
    identifier = message.get("tool_call_id")
    if type(identifier) is not str:
        raise bad(f"Missing required parameter: '{path}'.", "missing_required_parameter", path)
    if identifier not in called:
        raise bad(
            f"'{path}' answers no tool call of an earlier assistant message: '{excerpt(identifier)}'.",
            "invalid_value",
            path,
        )


def _check_tools(tools: list[Any]) -> None:
    """Function tools with a name; other kinds of tool run at the provider and would cost what nobody priced."""
    for index, tool in enumerate(tools):
        if type(tool) is not dict:
            raise wrong_type(f"tools[{index}]", "an object", tool)
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            raise bad(
                f"Invalid value: '{excerpt(kind)}'. Supported values are: 'function', 'custom'.",
                "invalid_value",
                f"tools[{index}].type",
            )
        definition = tool.get(kind)
        if type(definition) is not dict or type(definition.get("name")) is not str:
            path = f"tools[{index}].{kind}.name"
            raise bad(f"Missing required parameter: '{path}'.", "missing_required_parameter", path)
