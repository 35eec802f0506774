"""Ready-made first calls in curl, Python and Node. Pure."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

QUESTION = "Say hello in three languages."


@dataclass(frozen=True, slots=True)
class Snippet:
    """A first call in one language."""

    language: str
    text: str


def first_call(*, base_url: str, api_key: str, model: str) -> list[Snippet]:
    """The same streamed call three times. ``base_url`` ends in ``/v1``; ``api_key`` may be a placeholder."""
    return [
        Snippet("curl", _curl(base_url, api_key, model)),
        Snippet("Python", _python(base_url, api_key, model)),
        Snippet("Node", _node(base_url, api_key, model)),
    ]


def _curl(base_url: str, api_key: str, model: str) -> str:
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": QUESTION}]})
    authorization = shlex.quote(f"Authorization: Bearer {api_key}")
    return (
        f"curl -N {shlex.quote(f'{base_url}/chat/completions')} \\\n"
        f"  -H {authorization} \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}"
    )


def _python(base_url: str, api_key: str, model: str) -> str:
    return f"""# pip install openai
from openai import OpenAI

client = OpenAI(base_url={_quoted(base_url)}, api_key={_quoted(api_key)})
stream = client.chat.completions.create(
    model={_quoted(model)},
    messages=[{{"role": "user", "content": {_quoted(QUESTION)}}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)"""


def _node(base_url: str, api_key: str, model: str) -> str:
    return f"""// npm install openai, save as call.mjs
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(base_url)}, apiKey: {_quoted(api_key)} }});
const stream = await client.chat.completions.create({{
  model: {_quoted(model)},
  messages: [{{ role: "user", content: {_quoted(QUESTION)} }}],
  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}"""


def _quoted(text: str) -> str:
    """A string literal of Python and JavaScript alike."""
    return json.dumps(text)
