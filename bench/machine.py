"""Say which machine and which versions a result belongs to."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from timeit import repeat


def first_line(*argv: str) -> str:
    """Return the first line a command prints, or an empty string if it cannot be run."""
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (ran.stdout or ran.stderr).strip().partition("\n")[0]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)


def _loop_ms() -> float:
    """How long this Python takes for a fixed loop: builds without PGO and LTO take longer, and do not say so."""
    return round(min(repeat("for i in range(200_000): total = i * i", number=1, repeat=5)) * 1000, 2)


def facts() -> dict[str, str | int | float]:
    """Return what a reader needs to judge the numbers. The load shows whether the machine was busy elsewhere."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_mb": _memory_mb(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_loop_ms": _loop_ms(),
        "wrk": first_line("wrk", "-v").partition(" [")[0].removeprefix("wrk ").strip(),
        "load_1m_before": round(os.getloadavg()[0], 2),
    }
