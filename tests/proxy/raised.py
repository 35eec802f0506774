"""Every error that proxy/ raises, read from its syntax trees: (status, type, code) without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from proxy import errors, live, upstream

PROXY = Path(errors.__file__).parent
CLASSES = {
    name: found
    for module in (errors, live, upstream)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, errors.GatewayError)
}
CODE_AT = {"Unavailable": 2, "NotSpoken": 2, "wrong": 2} | dict.fromkeys(("bad", "BadRequest"), 1)
"""Where the code is among the arguments; 1 where nothing is said."""
OF_REQUESTS = {"bad", "wrong"}
USUAL = {"wrong": "invalid_value"}
THEIRS = "<an upstream's own code>"
NOT_THE_GATEWAY = {"sandbox", "apply", "pricing_import", "admin", "management", "demo", "doctor", "migrations"}

Raised = tuple[int, str, str | None]


def everywhere() -> dict[Raised, str]:
    """What is raised, and one place each. Raises ValueError for a code that cannot be read."""
    found: dict[Raised, str] = {}
    for path in sorted(PROXY.rglob("*.py")):
        if not NOT_THE_GATEWAY & set(path.relative_to(PROXY).parts):
            for raised, line in Module(path).raised():
                found.setdefault(raised, f"{path.relative_to(PROXY)}:{line}")
    return found


class Module:
    """One module's tree, and what names in it can stand for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self._functions = [node for node in ast.walk(self._tree) if isinstance(node, ast.FunctionDef)]
        self._calls = [node for node in ast.walk(self._tree) if isinstance(node, ast.Call)]

    def raised(self) -> Iterator[tuple[Raised, int]]:
        """Each error made by a call, and those whose class fixes their code."""
        for call in self._calls:
            name = _name(call.func)
            if name in CLASSES or name in OF_REQUESTS:
                for raised in self._errors_of(call, name):
                    yield raised, call.lineno
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef) and node.name in CLASSES:
                for raised in self._fixed(node):
                    yield raised, node.lineno

    def _errors_of(self, call: ast.Call, name: str) -> Iterator[Raised]:
        """What one call can make."""
        made = CLASSES.get(name, errors.BadRequest)
        if made is not errors.Unavailable and "__init__" in vars(made):
            return  # its class fixes the code
        status = call.args[0].value if issubclass(made, errors.Unavailable) else made.status  # type: ignore[attr-defined]
        place = CODE_AT.get(name, 1)
        if len(call.args) <= place:
            yield status, made.type, USUAL[name]
            return
        inside = self._function_around(call)
        for code in self._values(call.args[place], inside):
            if code is not THEIRS:
                yield status, made.type, code

    def _fixed(self, made: ast.ClassDef) -> Iterator[Raised]:
        """The code that a class hands to its base."""
        for call in (node for node in ast.walk(made) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "super().__init__" and isinstance(call.args[-1], ast.Constant):
                found = CLASSES[made.name]
                yield found.status, found.type, str(call.args[-1].value)

    def _values(self, node: ast.expr, inside: ast.FunctionDef | None) -> set[str | None]:
        """Every value an expression can have, as far as trees can tell."""
        match node:
            case ast.Constant(value=str() | None as value):
                return {value} if value != "" else set()
            case ast.BoolOp(values=parts):
                return set().union(*(self._values(part, inside) for part in parts))
            case ast.IfExp(body=one, orelse=other):
                return self._values(one, inside) | self._values(other, inside)
            case ast.JoinedStr(values=parts):
                wholes = product(*(sorted(map(str, self._values(part, inside))) for part in parts))
                return {"".join(whole) for whole in wholes}
            case ast.FormattedValue(value=value):
                return self._values(value, inside)
            case ast.Attribute():
                return {THEIRS}
            case ast.Call(func=ast.Name(id=name)):
                return self._returned(name)
            case ast.Name(id=name) if inside is not None:
                return self._named(name, inside)
        raise ValueError(f"{self._path.name}:{node.lineno}: the code cannot be read: {ast.unparse(node)}")

    def _returned(self, name: str) -> set[str | None]:
        """What a function of this module can return."""
        bodies = [each for each in self._functions if each.name == name]
        given = [node for body in bodies for node in ast.walk(body) if isinstance(node, ast.Return) and node.value]
        return set().union(*(self._values(node.value, None) for node in given if node.value is not None))

    def _named(self, name: str, inside: ast.FunctionDef) -> set[str | None]:
        """What a local name can be: what is assigned to it, or what its function is called with."""
        names = [argument.arg for argument in inside.args.args]
        if name not in names:
            assigned = [
                node.value
                for node in ast.walk(inside)
                if isinstance(node, ast.Assign) and any(_name(target) == name for target in node.targets)
            ]
            return set().union(*(self._values(value, inside) for value in assigned))
        if inside.name in OF_REQUESTS:
            return set()  # its calls are looked at by themselves
        place = names.index(name)
        calls = [call for call in self._calls if _name(call.func) == inside.name]
        return set().union(*(self._values(call.args[place], self._function_around(call)) for call in calls))

    def _function_around(self, node: ast.AST) -> ast.FunctionDef | None:
        return next((each for each in self._functions if any(node is part for part in ast.walk(each))), None)


def _name(node: ast.AST) -> str:
    """A name, bare or behind a point."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
