"""``make up``: everything Tollgate consists of, started together on one home, and stopped together."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from portal import environment
from portal.stack import greeting, migrations, processes
from portal.stack.gateway import DRAIN_SECONDS, Options, options
from portal.stack.home import Home, HomeProblem, write_private
from portal.stack.processes import Child, Command
from portal.stack.servers import start_servers
from portal.stack.sockets import can_bind, free_port
from portal.stack.supervisor import Process, Stopped, Supervisor

READY_SECONDS = 90.0
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


def healthy(options: Options) -> bool:
    """Whether the web server answers that it is ready."""
    connection = http.client.HTTPConnection(options.host, options.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Stack:
    """The services of one home, in the order they need each other."""

    def __init__(self, home: Home, options: Options, supervisor: Supervisor) -> None:
        self.home = home
        self.options = options
        self.supervisor = supervisor
        self.variables = {"TOLLGATE_HOME": str(home.path), "PYTHONUNBUFFERED": "1"}

    def start(self) -> dict[str, Any]:
        """Start everything and wait until the web server answers; returns what ``demo.json`` has."""
        environment.stripe()
        if not can_bind(self.options.bind, self.options.port):
            where = f"port {self.options.port} on {self.options.bind}"
            raise HomeProblem(f"Another program has {where}. Set TOLLGATE_PORT to a free one (TOLLGATE_PORT=8001).")
        start_servers(self.home, self.supervisor, timed)
        sandbox_url = self._start_sandbox()
        timed("Migrations", self._migrate)
        self._start_jobs()
        gateway = self._start_gateway()
        timed("Demo data", lambda: self._seed(sandbox_url))
        check = self.supervisor.check
        timed("Gateway", lambda: gateway.wait_until(lambda: healthy(self.options), check, seconds=READY_SECONDS))
        demo: dict[str, Any] = json.loads(self.home.demo.read_text())
        return demo

    def _run(self, name: str, arguments: list[str], **more: Any) -> None:
        """Run a management command to its end."""
        command = [sys.executable, str(environment.ROOT / "manage.py"), *arguments]
        processes.run(
            Command(name, command, self.home.log(name), variables=self.variables, **more), self.supervisor.check
        )

    def _start(self, name: str, module: str, arguments: list[str], **more: Any) -> Child:
        """Start a Python module as a service."""
        command = [sys.executable, "-m", module, *arguments]
        child = Child(Command(name, command, self.home.log(name), **{"variables": self.variables, **more}))
        self.supervisor.add(Process(child))
        return child

    def _start_sandbox(self) -> str:
        """The sandbox upstream, on the port it had the last time if that is still free."""
        port = self.home.recall("sandbox_port")
        if not isinstance(port, int) or not can_bind("127.0.0.1", port):
            port = free_port()
            self.home.remember("sandbox_port", port)
        self._start("sandbox", "proxy.sandbox", ["--port", str(port), "--state", str(self.home.path / "sandbox")])
        url = f"http://127.0.0.1:{port}"
        self.variables["TOLLGATE_SANDBOX_URL"] = url
        write_private(self.home.runtime, {**environment.runtime(), "sandbox_url": url})  # for commands run beside us
        return url

    def _migrate(self) -> None:
        """Bring the schema up to date, unless it was brought to exactly this state before."""
        url = environment.database_url()
        if migrations.fingerprint(url) not in (None, self.home.recall("migrated")) or not self.home.recall("migrated"):
            self._run("migrate", ["migrate", "--no-input"])
            self.home.remember("migrated", migrations.fingerprint(url))

    def _seed(self, sandbox_url: str) -> None:
        """The demo tenant, and upstreams for the provider keys that are set; ``demo.json`` says how to use them."""
        keys = [os.environ.get(key, "") for key in KEYS]
        wanted = hashlib.sha256(repr((sandbox_url, keys, self.home.recall("migrated"))).encode()).hexdigest()
        stored = self._stored_demo()
        if self.home.recall("seeded") != wanted or not stored.get("api_key"):
            seed = ["seed_demo", "--sandbox-url", sandbox_url, "--json"]
            stored.update({name: value for name, value in self._printed(seed).items() if value})
            if not all(stored.get(name) for name in ("api_key", "password")):
                # The database keeps digests alone: what was lost with demo.json can only be replaced.
                stored.update(self._printed([*seed, "--renew"]))
        stored.update({"base_url": self.options.web_url + "/v1", "web_url": self.options.web_url})
        write_private(self.home.demo, stored)
        self.home.remember("seeded", wanted)

    def _stored_demo(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads(self.home.demo.read_text())
        except (OSError, ValueError):
            return {}
        return stored

    def _printed(self, arguments: list[str]) -> dict[str, Any]:
        """What a management command prints as JSON."""
        output = self.home.path / ".printed"
        try:
            self._run(arguments[0], arguments, output=output)
            printed: dict[str, Any] = json.loads(output.read_text().strip().splitlines()[-1])
        finally:
            output.unlink(missing_ok=True)
        return printed

    def _start_jobs(self) -> None:
        arguments = ["-A", "billing.celery", "worker", "--beat", "--loglevel", "INFO", "--concurrency", "1"]
        arguments += ["--without-gossip", "--without-mingle", "--schedule", str(self.home.path / "celerybeat-schedule")]
        self._start("celery", "celery", arguments, variables={**self.variables, "TOLLGATE_ROLE": "operator"})
        arguments = ["-A", "billing.celery", "worker", "-Q", "webhooks", "--pool", "solo", "--loglevel", "WARNING"]
        arguments += ["--without-gossip", "--without-mingle", "-n", "webhooks@%h"]
        self._start("webhooks", "celery", arguments, variables={**self.variables, "TOLLGATE_ROLE": "operator"})

    def _start_gateway(self) -> Child:
        variables = {**self.variables, **self.options.variables}
        return self._start("gateway", "portal.stack", ["gateway"], variables=variables, stop_seconds=DRAIN_SECONDS + 5)


def timed(what: str, work: Callable[[], None]) -> None:
    """Do a piece of work and say how long it took."""
    began = time.monotonic()
    work()
    say(f"  {what:<12} {time.monotonic() - began:5.1f} s")


def say(line: str = "") -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def up() -> int:
    """Start, serve until told to stop, and stop; 0 after SIGINT or SIGTERM."""
    home = Home(environment.home())
    with home.locked(), Supervisor() as supervisor:
        try:
            say(f"Starting Tollgate in {home.path}")
            demo = Stack(home, options(), supervisor).start()
            say(greeting.text(demo))
            supervisor.watch()
            say("Stopping.")
        except Stopped:
            say("Stopping.")
        finally:
            supervisor.stop()
            home.runtime.unlink(missing_ok=True)
    return 0


def servers() -> int:
    """PostgreSQL and Redis alone, until told to stop."""
    home = Home(environment.home())
    with home.locked(), Supervisor() as supervisor:
        try:
            start_servers(home, supervisor, timed)
            say(f"DATABASE_URL={environment.database_url()}\nREDIS_URL={environment.redis_url()}")
            say("Servers are ready.")
            supervisor.watch()
        except Stopped:
            pass
        finally:
            supervisor.stop()
            home.runtime.unlink(missing_ok=True)
    return 0
