"""Run the real command in its own process, in a directory and an environment that hold nothing but what is given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.client import Client, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0

_URL = re.compile(r"http://\S+:(\d+)/v1\b")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command that has ended left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # whatever was printed
        return json.loads(self.out)


def environment(extra: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> dict[str, str]:
    """Return an environment without anybody's keys and settings. What is kept goes below `cwd`."""
    if cwd is not None:
        extra = {"XDG_STATE_HOME": str(cwd / ".state"), **(extra or {})}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **(extra or {})}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *args]


def gateway(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        command(*args),
        cwd=cwd,
        env=environment(env, cwd=cwd),
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )
    return Done(done.returncode, done.stdout, done.stderr)


async def gateway_async(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run a command to its end while this loop plays the upstreams."""
    return await asyncio.to_thread(gateway, *args, cwd=cwd, env=env)


@dataclass(slots=True)
class Running:
    """A gateway that serves."""

    process: asyncio.subprocess.Process
    port: int = 0
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    async def get(self, path: str) -> int:
        """Return the status of a GET."""
        async with Client(self.port) as client:
            await client.send(request(target=path))
            return (await client.response()).status

    async def wait_ready(self) -> None:
        """Return when `/readyz` answers. Before the banner nobody listens, and the port is not known."""
        async with asyncio.timeout(WITHIN_S):
            while not (found := _URL.search(self.banner)):  # what another process prints
                assert self.process.returncode is None, "".join(self.out + self.err)
                await asyncio.sleep(0.01)
            self.port = int(found[1])
            assert await self.get("/readyz") == 200

    async def end(self) -> int:
        """Ask it to end, and return its exit status."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(WITHIN_S):
            return await self.process.wait()

    @property
    def banner(self) -> str:
        return "".join(self.out)


@contextlib.asynccontextmanager
async def serving(
    *args: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    descriptors: int | None = None,
    through: Sequence[str] = (),
    stdin: int | None = None,
) -> AsyncIterator[Running]:
    """Run `gateway …` on a free port until the block ends, and wait until it is ready.

    `descriptors`: the limit of its files and sockets. `through`: a command that becomes it.
    `stdin`: the descriptor of its standard input, else there is none.
    """
    process = await asyncio.create_subprocess_exec(
        *through,
        *command(*args),
        cwd=cwd,
        env=environment({"GATEWAY_PORT": "0", **(env or {})}, cwd=cwd),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if descriptors is not None:  # long before it has read it
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
    running = Running(process)
    readers = asyncio.gather(_collect(process.stdout, running.out), _collect(process.stderr, running.err))
    try:
        await running.wait_ready()
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await readers


async def _collect(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    assert stream is not None
    while line := await stream.readline():
        lines.append(line.decode())
