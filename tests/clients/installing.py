"""Install the clients at their pinned versions: once for each state of a lock file."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import sys
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.installed import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
ENVIRONMENTS = ("recent", "older")
INSTALL_S = 500.0

MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
"""The processor, as npm's packages name it."""


def install_packages() -> None:
    """Install what package-lock.json says. Without npm or a registry: skip, or fail in CI."""
    lock = HERE / "package-lock.json"
    with _once(lock, MODULES) as needed:
        if needed:
            npm = installed("npm", package="npm")
            # No scripts: opencode's and Claude Code's would only copy their programs, which are found where they lie.
            # Not `npm ci`: it insists on the programs for all other systems being in the lock file, and not every
            # registry has them.
            command = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            _run(command)


def install_environments() -> None:
    """Install what the lock files in environments/ say, each apart. Without a registry: skip, or fail in CI."""
    for name in ENVIRONMENTS:
        lock, target = HERE / "environments" / f"{name}.lock", _environment(name)
        with _once(lock, target) as needed:
            if needed:
                venv.create(target, clear=True, with_pip=False)
                # uv needs 15 s for these hundred packages where pip needs 150.
                where = ["--quiet", "--python", python(name), "--require-hashes", "-r", str(lock)]
                _run([sys.executable, "-m", "uv", "pip", "install", *where])


def python(environment: str) -> str:
    """Return the Python of an environment."""
    return str(_environment(environment) / "bin" / "python")


def node() -> str:
    """Return the Node that runs the clients. It comes with them: they want a newer one than many systems have."""
    return str(MODULES / f"node-linux-{MACHINE}" / "bin" / "node")


def _environment(name: str) -> Path:
    return HERE / "environments" / f".{name}"


@contextmanager
def _once(lock: Path, target: Path) -> Iterator[bool]:
    """Yield whether `target` must be made for the present state of a lock file; note it as made if nothing is raised.

    Two processes of one test run may want it at once: the second waits for the first.
    """
    done = target / ".installed-for"
    target.mkdir(exist_ok=True)
    with target.with_name(f".{lock.stem}.busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        needed = not done.exists() or done.read_text() != lock.read_text()
        yield needed
        if needed:
            done.write_text(lock.read_text())


def _run(command: list[str]) -> None:
    environment = dict(os.environ)
    if mirror := environment.get("PIP_INDEX_URL"):  # uv reads none of pip's settings
        environment.setdefault("UV_DEFAULT_INDEX", mirror)
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    if done.returncode:
        reason = f"the clients cannot be installed: {done.stderr[-800:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
