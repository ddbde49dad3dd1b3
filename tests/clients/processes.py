"""Run a program to its end, with a home of its own and without a way to the internet."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a program."""

    code: int | None
    """Its exit code; None if it had to be killed, because it would not end."""
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it showed."""
        return f"{self.out}\n{self.err}"


async def run(
    command: list[str], environment: Mapping[str, str], *, home: Path, directory: Path, patience_s: float
) -> Run:
    """Run a command in a directory; kill it and its children if it takes longer than `patience_s`."""
    # Whatever it wants of other hosts goes to a port that nobody listens on, at once.
    nowhere = "http://127.0.0.1:9"
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")},
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1,localhost",
            "TERM": "dumb",
            **environment,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    reading = asyncio.ensure_future(process.communicate())
    code: int | None = None
    try:
        await asyncio.wait((reading,), timeout=patience_s)
        code = process.returncode if reading.done() else None
    finally:
        if not reading.done():
            os.killpg(process.pid, 9)
    out, err = await reading
    return Run(code, out.decode(errors="replace"), err.decode(errors="replace"))
