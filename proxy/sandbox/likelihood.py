"""How likely the sandbox's tokens are: made up, but always the same and in order. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from proxy.sandbox import words

CHOSEN, NEXT, STEP = -0.25, -1.5, -0.5
NONE = -1
"""As a number of other tokens to show: nobody asked for likelihoods."""


class Likely(NamedTuple):
    """A token and the logarithm of its probability."""

    token: str
    logprob: float


def ranked(token: str, number: int) -> list[Likely]:
    """A token and what else was likely in its place, ``number`` in all, the likeliest first."""
    others = [Likely(f"{token}{place}", NEXT + STEP * place) for place in range(number - 1)]
    return [Likely(token, CHOSEN), *others][:number]


def openai(text: str, number: int) -> dict[str, Any] | None:
    """``logprobs`` of a choice that says ``text``; null where they were not asked for."""
    if number == NONE:
        return None
    content = [
        {**_openai(Likely(token, CHOSEN)), "top_logprobs": [_openai(one) for one in ranked(token, number)]}
        for token in words.pieces(text)
    ]
    return {"content": content, "refusal": None}


def gemini(text: str, number: int) -> dict[str, Any]:
    """The member ``logprobsResult`` of a candidate that says ``text``; none where it was not asked for."""
    tokens = words.pieces(text)
    if number == NONE or not tokens:
        return {}
    result: dict[str, Any] = {"chosenCandidates": [_gemini(Likely(token, CHOSEN)) for token in tokens]}
    if number:
        result["topCandidates"] = [{"candidates": [_gemini(one) for one in ranked(token, number)]} for token in tokens]
    return {"logprobsResult": result}


def _openai(one: Likely) -> dict[str, Any]:
    return {"token": one.token, "logprob": one.logprob, "bytes": list(one.token.encode())}


def _gemini(one: Likely) -> dict[str, Any]:
    return {"token": one.token, "logProbability": one.logprob}
