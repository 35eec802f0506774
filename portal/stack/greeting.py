"""What a newcomer reads when Tollgate is ready: where to sign in, the key, and the first call to copy."""

from __future__ import annotations

import json
from typing import Any

TEMPLATE = """
Tollgate is ready at {web_url}

  Sign in as {email} with the password {password}
  API key    {api_key}

  curl -N {base_url}/chat/completions -H "Authorization: Bearer {api_key}" \\
    -H "Content-Type: application/json" -d '{body}'

  from openai import OpenAI
  client = OpenAI(base_url="{base_url}", api_key="{api_key}")
  print(client.chat.completions.create(model="{model}", messages=[{message}]).choices[0].message.content)

Ctrl-C stops it.
"""


def text(demo: dict[str, Any]) -> str:
    """The greeting for what ``demo.json`` has."""
    message = {"role": "user", "content": "Hello from Tollgate"}
    body = {"model": demo["model"], "stream": True, "messages": [message]}
    return TEMPLATE.format(**demo, body=json.dumps(body), message=json.dumps(message)).rstrip("\n")
