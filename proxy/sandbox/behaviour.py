"""What a model name of the sandbox asks for: an answer, its options, and what goes wrong with it. Pure.

A name is ``sandbox/<kind>`` with up to two numbers: ``sandbox/paced-200x10`` streams 200 chunks 10 ms apart; where a
slash is awkward, ``sandbox-<kind>`` is the same. Every face of the sandbox knows every kind and words it its own way.
The kinds:

====================  ==========================================================  ==================
kind                  answer                                                      numbers (default)
====================  ==========================================================  ==================
echo                  the last user message, token by token
paced                 chunks at a fixed pace                                      chunks x ms (50x10)
fixed                 a constant answer after a delay                             ms x tokens (0x20)
tools                 a call of the first or the named tool; text after its     calls x words said
                      result                                                      before them (1x0)
reasoning             echo with hidden reasoning tokens in the usage              tokens (16)
thinking              as tools, after thinking that is shown and signed where     tokens x calls
                      the face shows any; it must come back                       (16x1)
redacted              as thinking, but what is thought is sealed                  tokens x calls
                                                                                  (16x1)
cached                echo with cached prompt tokens in the usage, and, after     tokens (half) x
                      the x, with tokens written to the cache                     tokens (0)
audio                 echo with prompt tokens and completion tokens of audio      tokens x tokens (4x0)
search                echo after web searches, which the usage counts             searches (1)
image                 a picture (of one pixel) and its tokens                     tokens x pictures
                                                                                  (1290x1)
json                  a JSON object that holds the last user message
refusal recitation    half an echo, and the reason that the face has for it; a
prohibited spii       reason that a face lacks is the nearest one it has
blocklist
image-safety
malformed-call
pause-turn
context-full
blocked               nothing: the prompt itself is refused
no-sampling           echo; 400 for a temperature, top_p or top_k
400 401 402 403 429   that status, as the face words it; 429 has Retry-After      seconds (1)
500 503 529
too-long              400: the prompt does not fit the context window
html html200          a proxy's HTML page with 502, or with 200
error200              an error object with 200
redirect              307 to ``/v1/redirected``, which counts who follows
timeout               never a byte
slow                  echo after a silence                                        ms (2000)
flaky                 503, some times per ``user`` (or credential), then echo     times (1)
drop truncated        echo; the connection is cut, or the stream ends early       after chunks (3)
midstream-error       echo; an error object in the stream                         after chunks (3)
malformed             echo with one line that is no JSON                          after chunks (3)
no-usage zero-usage   echo; the usage is missing or not to be believed
negative-usage
huge-usage
usage-twice           echo; a smaller usage in the finish chunk, the true one after
usage-each            echo; usage so far on every chunk
crlf comments split   echo; line ends, comments, and writes that cut characters
longline              one chunk of many characters                                kilobytes (1024)
replay-<name>         a case of the folder of replays, whole; ``replay-<name>.7``
                      is cut where the seed 7 says
====================  ==========================================================  ==================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(r"(?:sandbox[/-])?([a-z0-9][a-z0-9-]*?)(?:-(\d{1,6})(?:x(\d{1,6}))?)?")

REPLAY = re.compile(r"(?:sandbox[/-])?replay-([a-z0-9-]+)(?:\.(\d{1,9}))?")

#: kind → defaults of its two numbers
DEFAULTS: dict[str, tuple[int, int]] = {
    "echo": (0, 0),
    "paced": (50, 10),
    "fixed": (0, 20),
    "tools": (1, 0),
    "reasoning": (16, 0),
    "thinking": (16, 1),
    "redacted": (16, 1),
    "cached": (-1, 0),
    "audio": (4, 0),
    "search": (1, 0),
    "image": (1290, 1),
    "json": (0, 0),
    "refusal": (0, 0),
    "recitation": (0, 0),
    "prohibited": (0, 0),
    "spii": (0, 0),
    "blocklist": (0, 0),
    "image-safety": (0, 0),
    "malformed-call": (0, 0),
    "pause-turn": (0, 0),
    "context-full": (0, 0),
    "blocked": (0, 0),
    "no-sampling": (0, 0),
    "too-long": (0, 0),
    "400": (0, 0),
    "401": (0, 0),
    "402": (0, 0),
    "403": (0, 0),
    "429": (1, 0),
    "500": (0, 0),
    "503": (1, 0),
    "529": (0, 0),
    "html": (0, 0),
    "html200": (0, 0),
    "error200": (0, 0),
    "redirect": (0, 0),
    "timeout": (0, 0),
    "slow": (2000, 0),
    "flaky": (1, 0),
    "drop": (3, 0),
    "truncated": (3, 0),
    "midstream-error": (3, 0),
    "malformed": (3, 0),
    "no-usage": (0, 0),
    "zero-usage": (0, 0),
    "negative-usage": (0, 0),
    "huge-usage": (0, 0),
    "usage-twice": (0, 0),
    "usage-each": (0, 0),
    "crlf": (0, 0),
    "comments": (0, 0),
    "split": (0, 0),
    "longline": (1024, 0),
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A kind and its two numbers, defaults filled in; ``case`` is what a ``replay`` replays, its seed the first."""

    kind: str
    first: int
    second: int
    case: str = ""


def parse(model: str) -> Behaviour | None:
    """The behaviour a model name asks for; None for a name the sandbox does not know."""
    match = REPLAY.fullmatch(model)
    if match is not None:
        return Behaviour("replay", int(match[2] or 0), 0, match[1])
    match = NAME.fullmatch(model)
    if match is None or match[1] not in DEFAULTS:
        return None
    first, second = DEFAULTS[match[1]]
    return Behaviour(
        kind=match[1],
        first=first if match[2] is None else int(match[2]),
        second=second if match[3] is None else int(match[3]),
    )
