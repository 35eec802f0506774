"""The walls and sizes of the code, measured: what a review would otherwise have to remember."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("billing", "portal", "proxy")
MOST_LINES, MOST_FUNCTION, MOST_PARAMETERS, MOST_NESTING = 400, 50, 7, 4
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "handler", "misc"}

HOT_MODULES = (
    "proxy.admission",
    "proxy.app",
    "proxy.attempts",
    "proxy.breakers",
    "proxy.buckets",
    "proxy.capabilities",
    "proxy.chat",
    "proxy.content_encoding",
    "proxy.demands",
    "proxy.dialects",
    "proxy.directory",
    "proxy.errors",
    "proxy.estimates",
    "proxy.estimator",
    "proxy.exchange",
    "proxy.factors",
    "proxy.gateway",
    "proxy.headers",
    "proxy.health",
    "proxy.http_client",
    "proxy.idempotency",
    "proxy.inquiries",
    "proxy.journal",
    "proxy.json_bounds",
    "proxy.listing",
    "proxy.live",
    "proxy.metering",
    "proxy.operation_parameters",
    "proxy.parameter_table",
    "proxy.parameters",
    "proxy.patience",
    "proxy.postgres",
    "proxy.rates",
    "proxy.receipts",
    "proxy.recollection",
    "proxy.records",
    "proxy.refresh",
    "proxy.relay",
    "proxy.routing",
    "proxy.rules",
    "proxy.snapshot",
    "proxy.spool",
    "proxy.sse",
    "proxy.standing",
    "proxy.surfaces",
    "proxy.thoughts",
    "proxy.tokenizers",
    "proxy.upstream",
)
PURE_MODULES = (
    "billing.contract_sums",
    "billing.meters",
    "billing.money",
    "billing.periods",
    "billing.price_conditions",
    "billing.pricing",
    "billing.tier_texts",
    "billing.tiers",
    "billing.webhooks.schedule",
    "portal.key_format",
    "proxy.buckets",
    "proxy.chat",
    "proxy.content_encoding",
    "proxy.demands",
    "proxy.dialects",
    "proxy.directory",
    "proxy.error_table",
    "proxy.errors",
    "proxy.estimator",
    "proxy.factors",
    "proxy.guide.contents",
    "proxy.guide.reader",
    "proxy.json_bounds",
    "proxy.measurement",
    "proxy.operation_parameters",
    "proxy.parameter_table",
    "proxy.parameters",
    "proxy.pricing_import.entry",
    "proxy.pricing_import.fields",
    "proxy.pricing_import.findings",
    "proxy.pricing_import.matching",
    "proxy.pricing_import.proposal",
    "proxy.pricing_import.reading",
    "proxy.pricing_import.tiers",
    "proxy.receipts",
    "proxy.rules",
    "proxy.snapshot",
    "proxy.sse",
    "proxy.surfaces",
)


def sources() -> list[Path]:
    """Every module of the three rooms, migrations left out."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]
    assert len(found) > 60
    return found


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def depth(node: ast.AST, level: int = 0) -> int:
    """How deep blocks nest below a node; functions inside start anew."""
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        blocks = ast.For | ast.AsyncFor | ast.While | ast.If | ast.With | ast.AsyncWith | ast.Try | ast.Match
        deepest = max(deepest, depth(child, level + isinstance(child, blocks)))
    return deepest


def loaded_by(module: str) -> set[str]:
    """The modules a fresh interpreter has loaded after importing one."""
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_module_begins_with_what_lives_in_it() -> None:
    bare = [
        str(path)
        for path in sources()
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert bare == []


def test_modules_functions_and_signatures_stay_small() -> None:
    faults = []
    for path in sources():
        text = path.read_text()
        name = path.relative_to(ROOT)
        if text.count("\n") > MOST_LINES:
            faults.append(f"{name}: {text.count(chr(10))} lines")
        for function in functions(ast.parse(text)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            arguments = function.args
            parameters = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
            if lines > MOST_FUNCTION:
                faults.append(f"{name} {function.name}: {lines} lines")
            if parameters > MOST_PARAMETERS + 1:
                faults.append(f"{name} {function.name}: {parameters} parameters")
            if depth(function) > MOST_NESTING:
                faults.append(f"{name} {function.name}: nests {depth(function)} deep")
    assert faults == []


def test_no_module_is_named_after_nothing() -> None:
    assert [str(path) for path in sources() if FORBIDDEN_NAMES & set(path.stem.split("_"))] == []


def test_exceptions_are_caught_by_name_except_at_an_edge_that_logs() -> None:
    faults = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
            body = ast.unparse(ast.Module(node.body, []))
            if broad and "logger.exception" not in body:
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert faults == []


@pytest.mark.parametrize("module", ["proxy.gateway", "proxy.refresh", "proxy.app"])
def test_the_hot_path_loads_no_django(module: str) -> None:
    assert not any(name.split(".")[0] == "django" for name in loaded_by(module))


def test_every_hot_module_is_known() -> None:
    """A new module of the gateway is put into one of the two lists of this file, or is of the control plane."""
    control = {"admin", "apps", "models", "asgi", "addresses", "credentials", "request_id", "shutdown", "crash"}
    control |= {"upstreams", "upstream_check", "rules_form", "pages", "reference", "error_table"}
    control |= {"outbound", "probing", "quality", "tasks", "verification"}
    control |= {"learning", "measurement", "model_pages", "offering", "overruns"}
    here = {path.stem for path in (ROOT / "proxy").glob("*.py")} - {"__init__"}
    listed = {name.split(".")[1] for name in HOT_MODULES}
    assert here - listed - control == set()


@pytest.mark.parametrize("module", PURE_MODULES)
def test_pure_modules_do_no_io_and_have_no_clock(module: str) -> None:
    path = ROOT / Path(*module.split("."))
    texts = [file.read_text() for file in (path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")])]
    imported: set[str] = set()
    called: set[str] = set()
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call):
            called.add(ast.unparse(node.func))
    assert not imported & {
        "django",
        "asyncio",
        "time",
        "socket",
        "os",
        "asyncpg",
        "psycopg",
        "redis",
        "httpx",
        "httptools",
    }
    assert not called & {"open", "print", "datetime.now", "datetime.utcnow", "date.today"}


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_a_gateway_does_not_load_what_only_makes_files() -> None:
    look = (
        "import importlib, sys; import proxy.asgi; from django.conf import settings; "
        "importlib.import_module(settings.ROOT_URLCONF); sys.exit('pyarrow' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings"}
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
