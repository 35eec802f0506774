"""Invariant 37: no float, and no Decimal arithmetic, comes near money."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MONEY = sorted(path for path in (ROOT / "billing").rglob("*.py") if "migrations" not in path.parts)
HOT = [
    path for path in (ROOT / "proxy" / name for name in ("journal.py", "metering.py", "admission.py")) if path.exists()
]
ASKED = {("meters.py", "_count")}
"""Where ``float`` is named only to turn integral ones in a provider's answer into whole numbers."""


def floats_in(source: str) -> Iterator[tuple[str, int, str]]:
    """Function, line and offence of each float literal, true division, float() or Decimal, in a module."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, int, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield function, line, f"literal {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            left = node.left if isinstance(node, ast.BinOp) else node.target
            if not _is_path(left):
                yield function, line, "true division"
        elif isinstance(node, ast.Name) and node.id in ("float", "Decimal", "Float"):
            yield function, line, node.id
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    yield from walk(ast.parse(source), "")


def _is_path(node: ast.AST) -> bool:
    """``Path(…) / "name"`` joins paths."""
    return "Path" in ast.dump(node) or "SQL" in ast.dump(node)


@pytest.mark.parametrize("path", [*MONEY, *HOT], ids=lambda path: path.name)
def test_invariant_37_no_float_reaches_money(path: Path) -> None:
    found = [hit for hit in floats_in(path.read_text()) if (path.name, hit[0]) not in ASKED]
    if path in HOT:  # timeouts are seconds, and may be fractions
        found = [hit for hit in found if "division" in hit[2]]
    assert found == []


def test_invariant_37_the_search_finds_what_it_looks_for() -> None:
    source = "def f(x):\n    y = x / 2\n    y /= 3\n    return float(x) + 1.5 + Decimal(2)\n"
    assert sorted(hit[2] for hit in floats_in(source)) == [
        "Decimal",
        "float",
        "literal 1.5",
        "true division",
        "true division",
    ]


def test_invariant_37_no_column_of_money_is_a_float() -> None:
    from django.apps import apps
    from django.db import models

    for model in apps.get_app_config("billing").get_models():
        for column in model._meta.get_fields():
            assert not isinstance(column, models.FloatField), f"{model.__name__}.{column.name}"
            if isinstance(column, models.DecimalField):
                assert column.decimal_places == 0
