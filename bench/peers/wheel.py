"""Install a peer that comes as a Python wheel into a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.machine import first_line
from bench.targets import PEERS

if TYPE_CHECKING:
    from pathlib import Path

INSTALL_S = 300


def command(peer: str, name: str) -> Path:
    """Return where a peer's command is, whether or not it is installed."""
    return PEERS / peer / "bin" / name


def install(peer: str, *requirements: str) -> None:
    """Create the environment and install into it.

    Raises:
        subprocess.SubprocessError: pip failed or took too long.
    """
    subprocess.run((sys.executable, "-m", "venv", str(PEERS / peer)), check=True, timeout=INSTALL_S)
    python = str(command(peer, "python"))
    # In a directory of its own: `-m` puts the current one in front of the environment's packages.
    subprocess.run((python, "-m", "pip", "install", "-q", *requirements), check=True, timeout=INSTALL_S, cwd=PEERS)


def missing(peer: str, name: str) -> str | None:
    """Return why a peer cannot run, or None."""
    return None if os.access(command(peer, name), os.X_OK) else "not installed (python -m bench install-peers)"


def version(peer: str, distribution: str) -> str:
    """Return the version of an installed distribution."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    return first_line(str(command(peer, "python")), "-c", code)
