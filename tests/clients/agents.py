"""Install the agents at their pinned versions, and run them: headless, in a home of their own, on loopback alone."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.installed import installed

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
# What npm has done is as good as the lock file it was done for.
_DONE = MODULES / ".installed-for"
INSTALL_S = 500.0
RUN_S = 90.0

KEY = "sk-a-client-of-the-gateway"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of an agent."""

    code: int | None
    """Its exit code; None if it had to be killed, because it would not end."""
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it showed."""
        return f"{self.out}\n{self.err}"


def install() -> None:
    """Install what package-lock.json says, once. Without npm or a registry: skip, or fail in CI."""
    lock = (HERE / "package-lock.json").read_text()
    if _DONE.exists() and _DONE.read_text() == lock:
        return
    npm = installed("npm", package="npm")
    # No scripts: opencode's would only copy its program, which is found here where it lies. Not `npm ci`: it insists on
    # the programs for all other systems being in the lock file, and not every registry has them.
    command = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        reason = f"npm cannot install the agents: {done.stderr[-800:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    _DONE.write_text(lock)


def opencode_command() -> list[str]:
    """Return how opencode is started. The baseline build runs on every x86 processor."""
    machine = {"x86_64": "x64-baseline", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = MODULES / f"opencode-linux-{machine}" / "bin" / "opencode"
    if not program.exists():
        pytest.skip(f"opencode has no program for this machine ({program.parts[-3]})")
    return [str(program)]


def codex_command() -> list[str]:
    """Return how Codex is started."""
    return [installed("node", package="nodejs"), str(MODULES / "@openai" / "codex" / "bin" / "codex.js")]


def workspace(directory: Path) -> Path:
    """Return a new project with one file in it. It is a repository, which Codex insists on."""
    project = directory / "project"
    project.mkdir(parents=True)
    (project / "notes.txt").write_text("The password is swordfish.\n")
    if git := shutil.which("git"):
        subprocess.run([git, "init", "-q", str(project)], check=True)
    return project


async def run_opencode(base_url: str, directory: Path, prompt: str, *, with_title: bool = True) -> Run:
    """Let opencode answer a prompt in a new project below `directory`. It asks for a title of the conversation too."""
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "permission": {"*": "allow"},
        "provider": {
            "gateway": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": base_url, "apiKey": KEY},
                "models": {"main": {}},
            }
        },
        "agent": {"title": {"disable": not with_title}},
    }
    flags = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE", "CLAUDE_CODE")
    environment = {
        "OPENCODE_CONFIG_CONTENT": json.dumps(settings),
        **{f"OPENCODE_DISABLE_{flag}": "1" for flag in flags},
    }
    command = [*opencode_command(), "run", "--model", "gateway/main", prompt]
    return await _run(command, directory, environment)


async def run_codex(base_url: str, directory: Path, prompt: str) -> Run:
    """Let Codex answer a prompt in a new project below `directory`."""
    settings = f"""
model = "main"
model_provider = "gateway"
check_for_update_on_startup = false
[model_providers.gateway]
name = "gateway"
base_url = "{base_url}"
env_key = "GATEWAY_KEY"
wire_api = "responses"
[analytics]
enabled = false
[feedback]
enabled = false
"""
    home = directory / "codex"
    home.mkdir(parents=True)
    (home / "config.toml").write_text(settings)
    environment = {"CODEX_HOME": str(home), "GATEWAY_KEY": KEY}
    flags = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--color", "never"]
    return await _run([*codex_command(), *flags, prompt], directory, environment)


async def _run(command: list[str], directory: Path, environment: dict[str, str]) -> Run:
    """Run a program to its end, in a project and a home of its own; kill it if it has none."""
    home = directory / "home"
    home.mkdir(parents=True)
    # Whatever it wants of other hosts goes to a port that nobody listens on, at once.
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")},
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
        "TERM": "dumb",
        **environment,
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=workspace(directory),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    reading = asyncio.ensure_future(process.communicate())
    code: int | None = None
    try:
        await asyncio.wait((reading,), timeout=RUN_S)
        code = process.returncode if reading.done() else None
    finally:
        if not reading.done():
            os.killpg(process.pid, 9)
    out, err = await reading
    return Run(code, out.decode(errors="replace"), err.decode(errors="replace"))
