"""The wire formats of upstreams, by name: one pure file each."""

from __future__ import annotations

from proxy.dialects.openai import OpenAI
from proxy.dialects.shape import Dialect

DIALECTS: dict[str, Dialect] = {"openai": OpenAI()}
