"""The product under measurement: one gateway process, every limit on, on servers and a home of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench.machine import Cores, pinned
from bench.meter import Meter
from portal.environment import ROOT
from portal.stack.gateway import DRAIN_SECONDS, Options
from portal.stack.home import Home
from portal.stack.processes import Child, Command
from portal.stack.servers import start_servers
from portal.stack.sockets import free_port
from portal.stack.supervisor import Process, Supervisor
from portal.stack.up import healthy

READY_SECONDS = 60.0
SETTLE_SECONDS = 30.0
#: High enough that nothing is refused, low enough that each is really checked and written.
PER_MINUTE, TOKENS_PER_MINUTE, AT_ONCE, BUDGET = 100_000_000, 2_000_000_000, 1_000_000, "100000000.00"
WHOLE = "sandbox/fixed-0x20"
SLOW = "sandbox/fixed-50x20"
BURST = "sandbox/paced-100x0"
PACED = "sandbox/paced-1600x5"
DOCUMENT = """
[[upstreams]]
name = "sandbox"
dialect = "openai"
base_url = "{url}/v1"
api_key = "sandbox"

{models}
[[tenants]]
slug = "bench"
name = "Bench"
billing = "postpaid"
credit_limit = "{budget}"
monthly_budget = "{budget}"

[[projects]]
tenant = "bench"
slug = "default"
monthly_budget = "{budget}"
"""
MODEL = """[[models]]
name = "{name}"
context_window = 128000
max_output_tokens = 4096
routes = [{{ upstream = "sandbox", model = "{name}" }}]
[models.price]
input = "0.15"
cache_read = "0.075"
output = "0.60"
"""


class BenchProblem(Exception):
    """The measurement cannot be made, or what was measured cannot be right."""


@dataclass(slots=True)
class Product:
    """A running product; ``key`` has budgets and rates at each of its scopes."""

    home: Home
    cores: Cores
    supervisor: Supervisor
    jobs: bool
    options: Options = field(default_factory=lambda: Options(bind="127.0.0.1", port=free_port(), workers=1))
    sandbox_url: str = ""
    direct: int = 0
    key: str = ""
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self.options.web_url

    @property
    def pid(self) -> int:
        """The gateway's first process; the one that serves is its child."""
        return self.children["gateway"].process.pid

    @property
    def meter(self) -> Meter:
        """Reads CPU and memory of every part."""
        roots = {name: child.process.pid for name, child in self.children.items()}
        for service in self.supervisor.services:
            name = getattr(service, "name", "")
            if name in ("postgres", "redis") and service.child is not None:
                roots[name] = service.child.process.pid
        return Meter(roots)

    def start(self) -> None:
        """Start servers, sandbox and gateway, and give the tenant its limits."""
        with pinned(self.cores.rest):
            start_servers(self.home, self.supervisor, _silent)
            self._start_sandbox()
            self.manage("migrate", "--no-input", "--verbosity", "0")
            self._seed()
            if self.jobs:
                self._start("celery", [*CELERY, "--schedule", str(self.home.path / "beat")], TOLLGATE_ROLE="operator")
        self.start_gateway()

    def start_gateway(self, *command: str) -> None:
        """Start the gateway on its core, as ``make up`` does unless another command is given, until it is healthy."""
        arguments = list(command) or ["-m", "portal.stack", "gateway"]
        with pinned(self.cores.gateway):
            gateway = self._start("gateway", arguments, stop_seconds=DRAIN_SECONDS + 5)
        gateway.wait_until(lambda: healthy(self.options), self.supervisor.check, seconds=READY_SECONDS)

    def stop_gateway(self) -> None:
        """Stop it as ``make up`` does."""
        gateway = self.children.pop("gateway")
        services = self.supervisor.services
        services[:] = [one for one in services if getattr(one, "child", None) is not gateway]
        gateway.stop()

    def on_rest(self) -> AbstractContextManager[None]:
        """Keep what is started meanwhile off the gateway's core."""
        return pinned(self.cores.rest)

    @contextmanager
    def directly(self) -> Iterator[None]:
        """Calls to the sandbox in this block pass the gateway by: there are no rows of them."""
        before = self.served()
        yield
        self.direct += self.served() - before

    def manage(self, *arguments: str) -> str:
        """Run a management command; returns what it printed."""
        return self._run(["manage.py", *arguments])

    def post(self) -> None:
        """Post everything settled to the ledger."""
        self._run(["manage.py", "shell", "-c", POST])

    def query(self, statement: str) -> tuple[Any, ...]:
        """One row, read as the owner of the database."""
        url = json.loads(self.home.runtime.read_text())["database_url"]
        with psycopg.connect(url) as connection:
            return connection.execute(statement).fetchone() or ()

    def served(self) -> int:
        """How many calls the sandbox has answered."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.sandbox_url.rpartition(":")[2]), timeout=5)
        try:
            connection.request("GET", "/stats")
            return int(json.loads(connection.getresponse().read())["fast"])
        finally:
            connection.close()

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        ours = {"TOLLGATE_HOME": str(self.home.path), "TOLLGATE_SANDBOX_URL": self.sandbox_url}
        return {**ours, **self.options.variables}

    def _start_sandbox(self) -> None:
        child = self._start("sandbox", ["-m", "proxy.sandbox", "--no-ledger"])
        child.wait_until(lambda: "listening on " in child.tail(), self.supervisor.check, seconds=READY_SECONDS)
        self.sandbox_url = child.tail().partition("listening on ")[2].split()[0]

    def _seed(self) -> None:
        """Models and tenant, and each limit at each scope."""
        models = "".join(MODEL.format(name=name) for name in (WHOLE, SLOW, BURST, PACED))
        path = self.home.path / "bench.toml"
        path.write_text(DOCUMENT.format(url=self.sandbox_url, models=models, budget=BUDGET))
        self.manage("apply", str(path))
        rates = ["--rpm", str(PER_MINUTE), "--tpm", str(TOKENS_PER_MINUTE), "--concurrency", str(AT_ONCE)]
        issued = self.manage("issue_key", "--tenant", "bench", "--budget", BUDGET, *rates, "--json")
        self.key = json.loads(issued)["key"]
        self._run(["-m", "bench.quotas", str(PER_MINUTE), str(TOKENS_PER_MINUTE), str(AT_ONCE)])

    def _start(self, name: str, arguments: list[str], stop_seconds: float = 10.0, **more: str) -> Child:
        variables = {**self.variables, **more}
        command = [sys.executable, *arguments]
        child = Child(Command(name, command, self.home.log(name), variables=variables, stop_seconds=stop_seconds))
        self.supervisor.add(Process(child))
        self.children[name] = child
        return child

    def _run(self, arguments: list[str]) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "TOLLGATE_ROLE"}
        with pinned(self.cores.rest):
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**environment, **self.variables},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise BenchProblem(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


POST = "from billing import posting; from django.utils.timezone import now; posting.post_everything(now=now())"
CELERY = ["-m", "celery", "-A", "billing.celery", "worker", "--beat", "--loglevel", "WARNING", "--concurrency", "1"]


@contextmanager
def running(cores: Cores, *, jobs: bool) -> Iterator[Product]:
    """A product in a home that is deleted at the end."""
    for name in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"):
        os.environ.pop(name, None)
    # A disk: on a memory file system fsync would cost nothing.
    folder = Path(tempfile.mkdtemp(prefix="tollgate-bench-", dir="/var/tmp"))
    os.environ["TOLLGATE_HOME"] = str(folder)
    home = Home(folder)
    try:
        with home.locked(), Supervisor() as supervisor:
            product = Product(home, cores, supervisor, jobs)
            product.start()
            yield product
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _silent(_what: str, work: Callable[[], None]) -> None:
    work()
