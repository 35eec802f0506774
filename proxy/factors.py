"""How many bytes a model's tokens have, as learned from its settled calls. Whole numbers only. Pure."""

from __future__ import annotations

from typing import NamedTuple

PER = 1000
"""Factors are bytes per this many tokens, so that they are whole numbers and exact enough."""
USUAL = 4 * PER
USUAL_OUTPUT = 400
LEAST = 1 * PER
"""A token of a byte-level vocabulary has at least one byte."""


class Factors(NamedTuple):
    """Bytes per 1,000 tokens of requests and of answers, and the tokens of a usual answer; see proxy/learning.py.

    ``hold`` is what the input bound of a hold goes by: 1,000, a byte a token, unless the operator lowers holds.
    """

    input: int = USUAL
    output: int = USUAL
    usual_output: int = USUAL_OUTPUT
    hold: int = LEAST


UNLEARNED = Factors()


def tokens(size: int, factor: int) -> int:
    """The tokens of that many bytes, rounded up."""
    return -(-size * PER // factor)
