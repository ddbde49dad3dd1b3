"""A real PostgreSQL for tests, on a socket in a directory of its own; it can be killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 20.0
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
# As little as it runs with. What survives a crash of the machine is not asked here, so nothing is flushed.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "deadlock_timeout": "100ms",
    "autovacuum": "off",
}
USER = "gateway"


class PostgresServer:
    """A server, as whoever may run one: it refuses to be run by root."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.socket = directory / ".s.PGSQL.5432"
        self._programs = programs
        self._directory = directory
        self._names = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = _unprivileged()
            shutil.chown(directory, owner)
            self._as = {"user": owner, "extra_groups": []}

    def make(self) -> None:
        """Make its data directory."""
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._directory / "data", "-k", self._directory, *options],
                cwd=self._directory,
                stdout=log,
                stderr=log,
                **self._as,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                said = (self._directory / "log").read_text(encoding="utf-8")
                assert self._process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.02)

    def end(self) -> None:
        """End it as an operator does. Nothing happens to one that has ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(START_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            self._process = None

    def kill(self) -> None:
        """End it and all its sessions without a word, as kill -9 does."""
        assert self._process is not None
        _signal((self._process.pid, *self._sessions()), signal.SIGKILL)
        self._process.wait()
        self._process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it hang: it keeps its connections, takes new ones and says nothing."""
        assert self._process is not None
        processes = (self._process.pid, *self._sessions())
        _signal(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(processes, signal.SIGCONT)

    def _sessions(self) -> list[int]:
        """Return the processes that it has started."""
        return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal() and self._has_started(one)]

    def _has_started(self, process: Path) -> bool:
        try:
            _state, parent, *_ = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return self._process is not None and int(parent) == self._process.pid

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self._directory}"

    def database(self) -> str:
        """Return the URL of a database that is new and empty."""
        name = f"ledger_{next(self._names)}"
        self.tell("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def tell(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """Have a statement done, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self._directory / "data", *arguments],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stderr


def _signal(processes: tuple[int, ...], number: signal.Signals) -> None:
    for process in processes:
        # A session may end by itself at any time.
        with suppress(ProcessLookupError):
            os.kill(process, number)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server that is ended and forgotten at the end. Where there is none to run, skip; in CI, fail."""
    programs = _programs()
    # Not below pytest's directory: that is for its owner only, who may be root, and then the server is another.
    with tempfile.TemporaryDirectory(prefix="gateway-pg-", ignore_cleanup_errors=True) as directory:
        server = PostgresServer(programs, Path(directory))
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.end()


def _programs() -> Path:
    found = [
        place for pattern in _PLACES for place in sorted(Path("/").glob(pattern[1:])) if (place / "initdb").exists()
    ]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).parent)
    if found:
        return found[-1]
    reason = "PostgreSQL is not installed (Debian package: postgresql)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _unprivileged() -> str:
    import pwd

    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
