"""What is read from /proc, and that nothing outlives its block."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench import proc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

_TICKS = os.sysconf("SC_CLK_TCK")


def test_a_command_name_may_contain_anything() -> None:
    """proc(5): the name stands in parentheses and is not escaped."""
    line = "42 (a (b) c) S 7 9 42 0 -1 0 0 0 0 0 100 50 20 30 20 0 1 0 0 0"
    assert proc.read_stat(line) == proc.Stat(parent=7, group=9, cpu_s=200 / _TICKS)


def test_cpu_time_is_that_of_the_process() -> None:
    """The two sources agree with what the process knows about itself."""
    begin, own = proc.cpu_s([os.getpid()]), time.process_time()
    while time.process_time() < own + 0.2:
        pass
    # Children reaped by other tests are in both samples; a tick is 10 ms.
    assert 0.15 < proc.cpu_s([os.getpid()]) - begin < 0.4


def test_a_process_ends_with_its_block_and_takes_its_children(tmp_path: Path) -> None:
    """Even if they ignore SIGTERM's usual way and the block is left by an error."""
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    pids: tuple[int, ...] = ()
    cores = frozenset(os.sched_getaffinity(0))
    with (
        pytest.raises(KeyboardInterrupt),
        proc.process((sys.executable, "-c", code), log=tmp_path / "log", cores=cores) as child,
    ):
        deadline = time.monotonic() + 10
        while len(pids := proc.tree(child.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert proc.rss_bytes(pids) > 1_000_000
        raise KeyboardInterrupt
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)
