"""PostgreSQL and Redis of one test session, and a database per worker copied from a migrated template.

The process pytest was started in owns the servers; xdist's workers find them through the environment. The template is
migrated in a process of its own while tests are collected, and whoever needs a database first waits for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from psycopg import sql

from portal.environment import ROOT
from portal.stack.postgres import DATABASE, OWNER, SUPERUSER, EmbeddedPostgres
from portal.stack.redis import EmbeddedRedis
from portal.stack.sockets import free_port
from tests.deadline import until

FOLDER, PORT, PASSWORD = "TOLLGATE_TEST_FOLDER", "TOLLGATE_TEST_REDIS_PORT", "TOLLGATE_TEST_REDIS_PASSWORD"
MIGRATE_SECONDS = 180.0


class TestServers:
    """The servers of a session, as seen from any of its processes."""

    __test__ = False

    def __init__(self) -> None:
        self.owner = FOLDER not in os.environ
        if self.owner:
            os.environ[FOLDER] = tempfile.mkdtemp(prefix="tollgate-tests-")
            os.environ[PORT] = str(free_port())
            os.environ[PASSWORD] = os.urandom(16).hex()
        self.folder = Path(os.environ[FOLDER])
        self.postgres = EmbeddedPostgres(self.folder / "postgres", self.folder / "postgres.log", durable=False)
        self.redis = EmbeddedRedis(self.folder / "redis", self.folder / "redis.log")
        self.redis.port, self.redis.password = int(os.environ[PORT]), os.environ[PASSWORD]
        self.migrated, self.failed = self.folder / "migrated", self.folder / "migrate-failed"

    def start(self) -> None:
        """Start both and begin to migrate the template; only the owner does."""
        self.postgres.start()
        self.redis.start()
        threading.Thread(target=self._migrate, daemon=True).start()

    def stop(self) -> None:
        """Stop both and remove what they wrote."""
        self.postgres.stop()
        self.redis.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in (FOLDER, PORT, PASSWORD):
            os.environ.pop(name, None)

    def new_folder(self) -> Path:
        """A folder of the session's that every user may pass through."""
        return Path(tempfile.mkdtemp(prefix="f", dir=self.folder))

    def wait_for_template(self) -> None:
        """Return once there is a migrated database to copy; fail with the log if migrating failed."""
        until(lambda: self.migrated.exists() or self.failed.exists(), seconds=MIGRATE_SECONDS)
        if self.failed.exists():
            raise AssertionError(f"The migrations failed:\n{self.failed.read_text()}")

    def create(self, name: str) -> str:
        """A fresh migrated database of that name, in place of an older one; returns its URL."""
        self.wait_for_template()
        self.drop(name)
        names = {key: sql.Identifier(value) for key, value in (("name", name), ("owner", OWNER), ("from_", DATABASE))}
        statement = sql.SQL("CREATE DATABASE {name} OWNER {owner} TEMPLATE {from_} STRATEGY file_copy").format(**names)
        with self.postgres.connect(SUPERUSER, SUPERUSER) as connection:
            # Copying waits for nobody who is connected to the template, so copies are made one at a time.
            connection.execute("SELECT pg_advisory_lock(1)")
            connection.execute(statement)
        return self.postgres.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        with self.postgres.connect(SUPERUSER, SUPERUSER) as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(statement)

    def _migrate(self) -> None:
        variables = {**os.environ, "DATABASE_URL": self.postgres.url(), "TOLLGATE_ROLE": "owner"}
        command = [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            self.migrated.touch()
        else:
            self.failed.write_text(done.stdout + done.stderr)
