"""The whole product as tests see it: gateway processes, a sandbox, jobs if asked for, on a database of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import psycopg

from portal.environment import ROOT
from portal.stack.gateway import DRAIN_SECONDS, Options
from portal.stack.postgres import EmbeddedPostgres
from portal.stack.processes import Child, Command, never
from portal.stack.redis import EmbeddedRedis
from portal.stack.sockets import free_port
from portal.stack.up import healthy
from tests.deadline import until
from tests.sandbox_process import SandboxProcess
from tests.servers import TestServers

READY_SECONDS = 60.0
#: USD per 1M tokens of every sandbox model, chosen so that a mistake in a class shows in the cost.
PRICES = {"input": "1.00", "cache_read": "0.25", "output": "4.00", "reasoning": "6.00"}
SANDBOX_KINDS = ("echo", "paced", "fixed", "tools", "reasoning", "cached", "json")


class Product:
    """Started by ``start``; ``apply`` gives it models and tenants, ``issue_key`` a key, ``client`` the SDK.

    ``workers`` gateway processes; ``jobs`` runs Celery with beat as well; ``private`` gives it a durable PostgreSQL of
    its own, to stop and start; ``variables`` are added to the environment of every process.
    """

    def __init__(
        self,
        servers: TestServers,
        folder: Path,
        *,
        workers: int = 1,
        jobs: bool = False,
        private: bool = False,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.servers = servers
        self.folder = folder
        self.jobs = jobs
        self.database = f"product_{secrets.token_hex(6)}"
        self.options = Options(bind="127.0.0.1", port=free_port(), workers=workers)
        self.postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log") if private else servers.postgres
        self.private = private
        self.redis = EmbeddedRedis(folder / "redis", folder / "redis.log")
        self.sandbox = SandboxProcess(folder / "sandbox")
        self.children: list[Child] = []
        self.more = variables or {}

    @property
    def web_url(self) -> str:
        """Where pages are."""
        return self.options.web_url

    @property
    def base_url(self) -> str:
        """What an SDK is given."""
        return self.web_url + "/v1"

    @property
    def database_url(self) -> str:
        """Its database, as the owner."""
        return self.postgres.url() if self.private else self.postgres.url(self.database)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        ours = {
            "TOLLGATE_HOME": str(self.folder / "home"),
            "TOLLGATE_SANDBOX_URL": self.sandbox.url,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url(),
        }
        return {**ours, **self.options.variables, **self.more}

    def start(self) -> Product:
        """Start everything and wait until it is healthy."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sandbox.start()
        self.redis.start()
        if self.private:
            self.postgres.start()
            self.manage("migrate", "--no-input", "--verbosity", "0")
        else:
            self.servers.create(self.database)
        if self.jobs:
            self.start_jobs()
        self.start_gateway()
        return self

    def stop(self) -> None:
        """Stop everything, and drop the database."""
        for child in reversed(self.children):
            child.stop()
        self.sandbox.stop()
        self.redis.stop()
        if self.private:
            self.postgres.stop()
        else:
            self.servers.drop(self.database)

    # -- its processes

    def start_gateway(self) -> Child:
        """Start the gateway processes, as ``make up`` does, and wait until they answer."""
        gateway = self._start("gateway", ["-m", "portal.stack", "gateway"], stop_seconds=DRAIN_SECONDS + 5)
        gateway.wait_until(lambda: healthy(self.options), never, seconds=READY_SECONDS)
        until(lambda: len(self.gateway_pids()) == self.options.workers)
        return gateway

    def start_jobs(self) -> Child:
        """Start the Celery worker with beat."""
        arguments = ["-m", "celery", "-A", "billing.celery", "worker", "--beat", "--concurrency", "1"]
        arguments += ["-Q", "celery,webhooks"]
        arguments += ["--loglevel", "INFO", "--schedule", str(self.folder / "beat")]
        return self._start("celery", arguments, role="operator")

    def child(self, name: str) -> Child:
        """The newest process of a name: ``gateway`` or ``celery``."""
        return next(child for child in reversed(self.children) if child.name == name)

    def stop_gateway(self) -> None:
        """SIGTERM to the gateway, and wait."""
        self.child("gateway").stop()

    def kill_gateway(self) -> None:
        """SIGKILL to all gateway processes at once."""
        self.child("gateway").kill()

    def gateway_pids(self) -> list[int]:
        """The processes that serve requests, oldest first."""
        children = psutil.Process(self.child("gateway").process.pid).children()
        return [child.pid for child in sorted(children, key=psutil.Process.create_time) if _serves(child)]

    def signal_worker(self, number: signal.Signals, pid: int | None = None) -> int:
        """Send a signal to one gateway process, the oldest unless named; returns which."""
        pid = self.gateway_pids()[0] if pid is None else pid
        os.kill(pid, number)
        return pid

    # -- its commands

    def manage(self, *arguments: str, expect: int = 0) -> str:
        """Run a management command; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def apply(self, document: str) -> str:
        """``manage.py apply``."""
        path = self.folder / f"{secrets.token_hex(4)}.toml"
        path.write_text(document)
        return self.manage("apply", str(path))

    def apply_defaults(self, *models: str, tenant: str = "acme", extra: str = "") -> str:
        """Offer sandbox models (the answering kinds unless named) and make a postpaid tenant.

        ``extra`` is TOML after the tenant's own lines: more of its fields, or further tables.
        """
        parts = [self.upstream_toml(), *(self.model_toml(model) for model in models or SANDBOX_KINDS)]
        parts.append(f'[[tenants]]\nslug = "{tenant}"\nname = "{tenant}"\nbilling = "postpaid"\n')
        parts.append(extra if "credit_limit" in extra else f'credit_limit = "1000.00"\n{extra}')
        return self.apply("\n".join(parts))

    def upstream_toml(self, name: str = "sandbox") -> str:
        """The sandbox as an upstream."""
        lines = ["[[upstreams]]", f'name = "{name}"', 'dialect = "openai"', f'base_url = "{self.sandbox.url}/v1"']
        return "\n".join([*lines, 'api_key = "sandbox"', ""])

    def model_toml(self, kind: str, upstream: str = "sandbox") -> str:
        """A model ``sandbox/<kind>`` with a route to the sandbox and a price."""
        route = f'{{ upstream = "{upstream}", model = "sandbox/{kind}", priority = 1, weight = 1 }}'
        lines = ["[[models]]", f'name = "sandbox/{kind}"', "context_window = 128000", "max_output_tokens = 4096"]
        prices = [f'{name} = "{price}"' for name, price in PRICES.items()]
        return "\n".join([*lines, f"routes = [{route}]", "[models.price]", *prices, ""])

    def issue_key(self, tenant: str = "acme", *options: str) -> dict[str, Any]:
        """``manage.py issue_key``: ``id`` and ``key``."""
        issued: dict[str, Any] = json.loads(self.manage("issue_key", "--tenant", tenant, *options, "--json"))
        return issued

    def books(self) -> dict[str, Any]:
        """``manage.py check_books``; fails on any difference."""
        checked: dict[str, Any] = json.loads(self.manage("check_books", "--json"))
        return checked

    # -- calling it

    def client(self, key: str, **options: Any) -> openai.OpenAI:
        """The SDK; without its own retries unless ``max_retries`` says so."""
        return openai.OpenAI(base_url=self.base_url, api_key=key, **{"max_retries": 0, "timeout": 30, **options})

    def post(self, key: str, model: str = "sandbox/echo", text: str = "Hello there", **fields: Any) -> httpx.Response:
        """One chat completion, raw."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        headers = {"authorization": f"Bearer {key}"}
        return httpx.post(self.base_url + "/chat/completions", json=body, headers=headers, timeout=30)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of its database, read as the owner."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement, parameters).fetchall()

    def _environment(self, role: str = "") -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "TOLLGATE_ROLE"}
        return {**inherited, **self.variables, **({"TOLLGATE_ROLE": role} if role else {})}

    def _start(self, name: str, arguments: list[str], *, role: str = "portal", **more: Any) -> Child:
        command = [sys.executable, *arguments]
        variables = {**self.variables, "TOLLGATE_ROLE": role}
        child = Child(Command(name, command, self.folder / f"{name}.log", variables=variables, **more))
        self.children.append(child)
        return child


def _serves(process: psutil.Process) -> bool:
    """Whether a child of granian is a worker that lives: not its resource tracker, and not a zombie."""
    try:
        return "resource_tracker" not in " ".join(process.cmdline())
    except (psutil.ZombieProcess, psutil.NoSuchProcess):
        return False
