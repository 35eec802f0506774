"""Management commands in one long-lived process: a test that needs twenty keys does not start Django twenty times."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from portal.environment import ROOT
from tests.product import Product

SWEEP_GRACE_S = 5


class Control:
    """``manage.py`` of a running product, kept open."""

    def __init__(self, product: Product) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != "TOLLGATE_ROLE"}
        variables = {**inherited, **product.variables, "TOLLGATE_ROLE": "operator"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.control"],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def manage(self, *arguments: str, fails: bool = False) -> str:
        """Run a command; returns what it printed, or what it failed with."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(arguments), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["failed"] == fails, answer["text"]
        return str(answer["text"])

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


def serve() -> None:
    """Read commands as JSON lists, one a line, and write what each printed."""
    import django
    from django.core.management import CommandError, call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        out = io.StringIO()
        failed = False
        try:
            if name in jobs():
                out.write(str(jobs()[name]()))
            else:
                call_command(name, *arguments, stdout=out, stderr=out)
        except (CommandError, SystemExit) as problem:
            failed = True
            print(problem, file=out)
        print(json.dumps({"text": out.getvalue(), "failed": failed}), flush=True)


def jobs() -> dict[str, Callable[[], object]]:
    """What Celery does, on demand: ``sweep`` (with a grace of two heartbeats) and ``post``."""
    from django.utils.timezone import now

    from billing import journal, posting

    return {
        "sweep": lambda: journal.sweep(now=journal.database_now(), grace_s=SWEEP_GRACE_S),
        "post": lambda: posting.post_everything(now=now()),
    }


if __name__ == "__main__":
    serve()
