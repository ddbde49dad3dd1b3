"""A real Redis for one test, on a socket in its directory; it can be killed, stopped and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_S = 10.0


class RedisServer:
    """`redis-server` without persistence, unless somebody saves. What `save` wrote is there after `start`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "redis.sock"
        self.url = f"unix://{self.path}"
        self.client = Redis.from_url(self.url, decode_responses=True)
        """For the test to look at what is there."""
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--dir", str(self._directory),
             "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.client.ping()
                return
            except NotThere:
                assert self._process.poll() is None, "redis-server ended at once"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)

    def kill(self) -> None:
        """End it without a word, as kill -9 does. Nothing happens to one that has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.client.close()

    def tell(self, *command: str) -> None:
        """Run a command for its effect."""
        self.client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's own is not annotated

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Take connections and answer nothing meanwhile."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """Yield a Redis that answers. Skips the test where there is none; where tests must be complete it fails."""
    if shutil.which("redis-server") is None:
        missing = "redis-server is not installed (Debian: redis-server)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    server = RedisServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()
