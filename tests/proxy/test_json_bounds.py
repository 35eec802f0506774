"""Counting the values of a JSON text without parsing it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import json_bounds
from proxy.chat import MOST_ESCAPES, decode
from proxy.errors import BadRequest
from proxy.json_bounds import too_many_values

texts = st.text(alphabet='ab,{}[]":\\é ', max_size=8)
trees = st.recursive(
    st.none() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def values(tree: Any) -> int:
    """Commas and opening brackets outside strings: one for each array and object, and each member after the first."""
    if not isinstance(tree, list | dict):
        return 0
    inner = list(tree.values()) if isinstance(tree, dict) else tree
    return 1 + max(0, len(inner) - 1) + sum(map(values, inner))


@given(tree=trees, size=st.integers(1, 20))
def test_it_counts_what_is_outside_strings(tree: Any, size: int) -> None:
    """However the slices fall."""
    number = values(tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_bounds, "SLICE", size)
        for text in (json.dumps(tree), json.dumps(tree, ensure_ascii=False)):
            assert not too_many_values(text.encode(), number)
            assert too_many_values(text.encode(), number - 1) is True or number == 0


def test_text_is_no_value() -> None:
    wordy = json.dumps({"content": 'a,[{"\\,' * 500_000}).encode()
    assert not too_many_values(wordy)


@pytest.mark.parametrize("one", ["1", "[]", "{}", '""', '{"a":1}', '"\\\\"', '"\\""'])
def test_it_finds_bombs_of_every_kind(one: str) -> None:
    assert too_many_values(f'{{"a":[{",".join([one] * 400_001)}]}}'.encode())
    assert not too_many_values(f'{{"a":[{",".join([one] * 100_000)}]}}'.encode())


def test_it_counts_up_to_a_fault() -> None:
    assert too_many_values(b"[" + b"1," * 500_000 + b'"never closed')
    assert too_many_values(b"[" * 500_000)


def test_half_characters_are_mended_where_they_are_few() -> None:
    one = b'{"a":"\\ud83d%s"}'
    assert decode(one % (b"\\u0430" * (MOST_ESCAPES - 1)))["a"].startswith("\ufffd\u0430")
    with pytest.raises(BadRequest):
        decode(one % (b"\\u0430" * MOST_ESCAPES))
