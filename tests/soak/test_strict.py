"""`durability: strict`: in a trace of system calls the end of an answer leaves after its charge is on the disk."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.soak.biller import Biller, call
from tests.soak.cycles import Soak, configuration

if TYPE_CHECKING:
    from pathlib import Path

# `1234 fdatasync(7) = 0`, and of a thread that was interrupted by another: `1234 <... fdatasync resumed>) = 0`
_FLUSHED = re.compile(r"\d+ +(?:fdatasync\(\d+\)|<\.\.\. fdatasync resumed>\)?) += 0")


@pytest.mark.deadline(120)
@pytest.mark.parametrize("durability", ["strict", "process"])
async def test_the_last_byte_leaves_after_the_flush(tmp_path: Path, durability: str) -> None:
    """The other durability shows that the trace can tell."""
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    rng = Random(1)
    trace = tmp_path / "trace"
    async with Biller("first", rng) as first, Biller("second", rng) as second:
        (tmp_path / "gateway.yaml").write_text(configuration(first, second, f"ledger: {{durability: {durability}}}"))
        soak = Soak(tmp_path, rng)
        wrapped = ("strace", "-f", "-o", str(trace), "-s", "2000", "-e", "trace=fdatasync,write,sendto,writev")
        process, port = await soak.start(*wrapped)
        lock = (tmp_path / "state" / "gateway.lock").read_text()
        try:
            for n in range(5):
                assert await call(port, f"call-{n}") == (200, True)
                await asyncio.sleep(0.15)  # the other durability flushes every 100 ms
        finally:
            os.kill(int(lock.splitlines()[0]), 15)  # the gateway, which is a child of strace
            await process.wait()
    found = [flushed_before_the_end(trace.read_text(errors="replace"), f"call-{n}") for n in range(5)]
    # Every 100 ms there is a flush all the same.
    assert found == [True] * 5 if durability == "strict" else sum(found) <= 1


def flushed_before_the_end(trace: str, name: str) -> bool:
    """Tell whether a flush ended between the last event of an answer but one, its usage, and the last."""
    lines = trace.splitlines()
    usage = next(
        at for at, line in enumerate(lines) if "write(" in line and f"first-{name}" in line and "usage" in line
    )
    ended = next(at for at, line in enumerate(lines) if at > usage and "[DONE]" in line)
    return any(_FLUSHED.match(line) for line in lines[usage:ended])
