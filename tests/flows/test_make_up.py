"""``make up`` as a newcomer runs it: from an empty home to a served call, stopped, and started again."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from portal.environment import ROOT
from portal.stack.redis import EmbeddedRedis
from portal.stack.sockets import free_port
from tests.deadline import until
from tests.servers import TestServers

READY = "Tollgate is ready at "
START_SECONDS, STOP_SECONDS = 150.0, 60.0
MAKE_UP = ("make", "--silent", "--assume-old=.venv/.installed", f"BIN={Path(sys.executable).parent}", "up")
UP = (sys.executable, "-m", "portal.stack", "up")

pytestmark = pytest.mark.timeout(400)


class Up:
    """One run of the product on a home."""

    def __init__(self, home: Path, command: tuple[str, ...] = UP, **variables: str) -> None:
        self.home = home
        self.port = free_port()
        home.parent.mkdir(parents=True, exist_ok=True)
        self.out = home.with_suffix(".out")
        own = {"DATABASE_URL": "", "REDIS_URL": "", "TOLLGATE_WORKERS": "1", "TOLLGATE_PORT": str(self.port)}
        inherited = {name: value for name, value in os.environ.items() if name != "TOLLGATE_ROLE"}
        self.began = time.monotonic()
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited, **own, "TOLLGATE_HOME": str(home), **variables},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.out.read_text()

    @property
    def demo(self) -> dict[str, str]:
        demo: dict[str, str] = json.loads((self.home / "demo.json").read_text())
        return demo

    def wait_until_ready(self) -> Up:
        """Returns when the ready line is there, with all that follows it."""
        until(lambda: "Ctrl-C stops it." in self.printed or self.process.poll() is not None, seconds=START_SECONDS)
        assert self.process.poll() is None, self.printed
        self.seconds = time.monotonic() - self.began
        return self

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(STOP_SECONDS)

    def family(self) -> list[psutil.Process]:
        """Every process it started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def call(self) -> httpx.Response:
        """One chat completion with the demo's key."""
        body = {"model": self.demo["model"], "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {self.demo['api_key']}"}
        return httpx.post(f"http://127.0.0.1:{self.port}/v1/chat/completions", json=body, headers=headers, timeout=30)


@pytest.fixture
def up(server_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts runs, on the home ``home`` unless another is given, and stops what a test leaves running."""
    made: list[Up] = []

    def start(home: str = "home", command: tuple[str, ...] = UP, **variables: str) -> Up:
        made.append(Up(server_path / home, command, **variables))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_it_goes_from_nothing_to_a_call_and_keeps_everything_for_the_next_start(
    up: Callable[..., Up], record_property: Callable[[str, Any], None]
) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    first = up(command=MAKE_UP).wait_until_ready()
    record_property("first_start_seconds", first.seconds)

    ready = [line for line in first.printed.splitlines() if READY in line]
    assert ready == [f"{READY}http://127.0.0.1:{first.port}"]
    demo = first.demo
    assert set(demo) == {"base_url", "api_key", "model", "web_url", "email", "password", "tenant"}
    assert all(demo.values())
    assert (demo["base_url"], demo["web_url"]) == (f"http://127.0.0.1:{first.port}/v1", ready[0].removeprefix(READY))
    assert stat.S_IMODE((first.home / "demo.json").stat().st_mode) == 0o600
    for shown in (demo["api_key"], demo["email"], demo["password"]):
        assert shown in first.printed

    assert run_printed_python(first.printed) == "Hello from Tollgate"
    assert "[DONE]" in run_printed_curl(first.printed)

    family = first.family()
    assert {"postgres", "redis-server"} <= {process.name() for process in family}
    first.stop()
    until(lambda: not any(alive(process) for process in family))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert not (first.home / "runtime.json").exists()

    second = up().wait_until_ready()
    record_property("second_start_seconds", second.seconds)
    assert {name: second.demo[name] for name in ("api_key", "password", "tenant")} == {
        name: demo[name] for name in ("api_key", "password", "tenant")
    }
    assert second.call().json()["choices"][0]["message"]["content"] == "Hello"
    assert second.stop() == 0


def run_printed_python(printed: str) -> str:
    """Run the lines of Python a newcomer copies."""
    lines = [line.strip() for line in printed.splitlines()]
    start = lines.index("from openai import OpenAI")
    code = "\n".join(lines[start : start + 3])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def run_printed_curl(printed: str) -> str:
    """Run the curl command a newcomer copies."""
    start = printed.index("curl -N")
    line = printed[start : printed.index("\n\n", start)]
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout


def alive(process: psutil.Process) -> bool:
    """Whether a process runs: one that ended and waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_stops_on_ctrl_c_at_any_moment_of_the_start(up: Callable[..., Up]) -> None:
    run = up()
    until(lambda: "Redis" in run.printed, seconds=60)
    family = run.family()
    assert run.stop(signal.SIGINT) == 0
    until(lambda: not any(alive(process) for process in family))
    assert READY not in run.printed


def test_it_refuses_a_home_that_is_in_use_and_says_who_uses_it(up: Callable[..., Up]) -> None:
    first = up()
    until(lambda: "Starting" in first.printed, seconds=60)
    second = up()
    assert second.wait() == 1
    assert f"process {first.process.pid}" in second.printed
    assert "TOLLGATE_HOME" in second.printed


def test_it_names_the_variable_when_its_port_is_taken(up: Callable[..., Up], redis_url: str) -> None:
    taken = redis_url.rpartition(":")[2].partition("/")[0]
    run = up(TOLLGATE_PORT=taken)
    assert run.wait() == 1
    assert f"port {taken}" in run.printed
    assert "TOLLGATE_PORT" in run.printed


def test_it_stops_and_tells_when_a_server_dies(up: Callable[..., Up]) -> None:
    run = up().wait_until_ready()
    family = run.family()
    next(process for process in family if process.name() == "redis-server").kill()
    assert run.wait() == 1
    assert "redis stopped by itself" in run.printed
    until(lambda: not any(alive(process) for process in family))


def test_it_uses_the_servers_it_is_given_and_leaves_nothing_behind_when_killed(
    up: Callable[..., Up], database_url: str, server_path: Path
) -> None:
    redis = EmbeddedRedis(server_path / "redis", server_path / "redis.log")
    redis.start()
    run = up(DATABASE_URL=database_url, REDIS_URL=redis.url()).wait_until_ready()
    family = run.family()
    assert not {"postgres", "redis-server"} & {process.name() for process in family}
    assert run.call().status_code == 200
    run.process.kill()
    until(lambda: not any(alive(process) for process in family), seconds=60)
    assert redis.running
    redis.stop()


def test_it_replaces_a_lost_key_and_moves_a_taken_sandbox(up: Callable[..., Up], server_path: Path) -> None:
    first = up().wait_until_ready()
    lost = first.demo["api_key"]
    first.stop()
    (first.home / "demo.json").unlink()
    sandbox_port = json.loads((first.home / "done.json").read_text())["sandbox_port"]
    squatter = EmbeddedRedis(server_path / "squatter", server_path / "squatter.log")
    squatter.port = sandbox_port
    squatter.start()
    second = up().wait_until_ready()
    assert second.demo["api_key"] not in ("", lost)
    assert second.call().status_code == 200
    squatter.stop()


def test_the_servers_alone_can_be_run(up: Callable[..., Up], test_servers: TestServers) -> None:
    run = up(command=(sys.executable, "-m", "portal.stack", "servers"))
    until(lambda: "Servers are ready." in run.printed, seconds=60)
    addresses = json.loads((run.home / "runtime.json").read_text())
    assert set(addresses) == {"database_url", "redis_url"}
    assert stat.S_IMODE((run.home / "runtime.json").stat().st_mode) == 0o600
    assert test_servers.postgres.running or not test_servers.owner
    assert run.stop() == 0
