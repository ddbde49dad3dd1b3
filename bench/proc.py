"""Start, pin, account for and end processes. Linux only: everything is read from /proc."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")

TERMINATE_S = 5.0
"""How long a process may take to end before it is killed."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The part of /proc/PID/stat that is used here."""

    parent: int
    group: int
    cpu_s: float
    """User and system time of all its threads, ended ones included, and of its reaped children."""


def read_stat(line: str) -> Stat:
    """Read one /proc/PID/stat line. The command name may contain spaces and parentheses (proc(5))."""
    fields = line[line.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), int(fields[2]), sum(map(int, fields[11:15])) * _TICK_S)


def _stats() -> dict[int, Stat]:
    stats: dict[int, Stat] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended meanwhile
                stats[int(entry.name)] = read_stat((entry / "stat").read_text())
    return stats


def tree(root: int) -> tuple[int, ...]:
    """Return `root` and its living descendants."""
    children: dict[int, list[int]] = {}
    for pid, stat in _stats().items():
        children.setdefault(stat.parent, []).append(pid)
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return tuple(found)


def cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU seconds these processes have used.

    /proc/PID/stat counts in ticks of 10 ms but remembers threads that ended; schedstat counts in
    nanoseconds but only living threads. Neither ever overstates, so the larger one is closer.
    """
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            coarse = read_stat((_PROC / str(pid) / "stat").read_text()).cpu_s
            total += max(coarse, _scheduled_s(pid))
    return total


def _scheduled_s(pid: int) -> float:
    total_ns = 0
    for task in (_PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(OSError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def rss_bytes(pids: Sequence[int]) -> int:
    """Return the resident memory of these processes, pages they share counted once per process."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # statm is a per-CPU estimate that can be some hundred KB off; the rollup walks the page table.
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
    return total


def free_port() -> int:
    """Return a loopback port that nobody uses right now.

    It lies below the ports that outgoing connections are given: thousands of those come and go here, and
    one of them (or a poll that connects to itself) would take the port before the target binds it.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        port = random.randrange(max(1024, lowest - 12_000), max(2048, lowest))
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port below the range of outgoing connections")


def raise_file_limit(wanted: int = 16_384) -> None:
    """Allow this process and those it starts to hold a thousand streams."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@dataclass(frozen=True, slots=True)
class Cores:
    """Where targets run, and where everything that loads them runs."""

    target: frozenset[int]
    load: frozenset[int]

    @classmethod
    def choose(cls) -> Cores:
        """Return the first two usable cores; both roles share one if there is only one."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(frozenset(usable[:1]), frozenset(usable[1:2] or usable[:1]))


@contextlib.contextmanager
def process(
    argv: Sequence[str],
    *,
    log: Path,
    cores: frozenset[int],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on some cores, its output going to `log`; end it and its children when the block is left."""
    mine = os.sched_getaffinity(0)
    with log.open("ab") as output:
        os.sched_setaffinity(0, cores)  # inherited, so that no thread of it ever runs elsewhere
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True
            )
        finally:
            os.sched_setaffinity(0, mine)
    try:
        yield child
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a process started in its own session, and everything left in that session."""
    members = tree(child.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(TERMINATE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    deadline = time.monotonic() + 1.0
    while (left := _still(child.pid, members)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _still(group: int, members: tuple[int, ...]) -> list[int]:
    """Return the members that live on; the group guards against a number that was given to somebody else."""
    stats = _stats()
    return [pid for pid in members if pid != group and pid in stats and stats[pid].group == group]
