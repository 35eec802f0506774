"""What every test can use: databases, a sandbox, a whole running product. Settings point at servers of the session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import TestServers

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
DATABASE = f"test_{WORKER}"
SERVERS = TestServers()
INDEX = 1 + int(WORKER.removeprefix("gw")) if WORKER.startswith("gw") else 0

# Before anything imports the settings: they read the environment once.
if "portal.settings" in sys.modules:
    raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests load the settings with servers of their own.")
os.environ.update(
    DJANGO_SETTINGS_MODULE="portal.settings",
    TOLLGATE_HOME=str(SERVERS.folder / "home"),
    TOLLGATE_EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
    TOLLGATE_ROLE="portal",
    DATABASE_URL=SERVERS.postgres.url(DATABASE),
    REDIS_URL=SERVERS.redis.url(INDEX),
)

from tests.billing.receiver import Receiver  # noqa: E402
from tests.product import Product  # noqa: E402
from tests.sandbox_process import SandboxProcess  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers in the process that owns them, and set Django up for pytest-django to find."""
    if SERVERS.owner and not config.option.collectonly:
        SERVERS.start()
    import django

    django.setup()
    # xdist's workers inherit our environment, and pytest-django would load the settings there before this file is read.
    del os.environ["DJANGO_SETTINGS_MODULE"]
    from django.test import TransactionTestCase

    TransactionTestCase._fixture_teardown = _renew_database  # type: ignore[attr-defined]


def pytest_report_header() -> str:
    """Whether the JavaScript clients are tried here."""
    from tests.clients import nodejs

    tried = "tried" if nodejs.PRESENT else f"left out, for want of Node {nodejs.OLDEST} and npm"
    return f"JavaScript clients: {tried}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop them at the very end."""
    if SERVERS.owner:
        SERVERS.stop()


def _renew_database(self: object) -> None:
    """After a test that commits: a new copy of the template, for the portal's role may not truncate ledgers."""
    from django.db import connections

    connections.close_all()
    SERVERS.create(DATABASE)


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: object) -> None:
    """The database of this worker, instead of pytest-django's: the settings already name it."""
    SERVERS.create(DATABASE)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of this test alone, for code that connects by itself; connecting as its owner."""
    name = f"{DATABASE}_own"
    yield SERVERS.create(name)
    SERVERS.drop(name)


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The Redis database of this worker."""
    return SERVERS.redis.url(INDEX)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox upstream of this test alone."""
    process = SandboxProcess(tmp_path / "sandbox").start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def test_servers() -> TestServers:
    """The servers of the session."""
    return SERVERS


@pytest.fixture
def server_path() -> Path:
    """A folder like ``tmp_path`` for the data of servers.

    Any pytest that starts closes the folders above ``tmp_path`` to other users, and PostgreSQL may run as one.
    """
    return SERVERS.new_folder()


@pytest.fixture
def product(server_path: Path) -> Iterator[Callable[..., Product]]:
    """Makes whole running products, each on a database of its own; see ``Product`` for the options."""
    made: list[Product] = []

    def make(**options: object) -> Product:
        made.append(Product(SERVERS, server_path / f"product{len(made)}", **options))  # type: ignore[arg-type]
        return made[-1].start()

    yield make
    for one in reversed(made):
        one.stop()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A tenant's own system on this machine, which messages may be sent to."""
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    one = Receiver()
    yield one
    one.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Product]:
    """One running product for all tests of a module: two gateway processes and a sandbox, no jobs."""
    one = Product(SERVERS, SERVERS.new_folder(), workers=2)
    try:
        yield one.start()
    finally:
        one.stop()
