"""Run the agents: headless, each in a home of its own, on loopback alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.clients import processes
from tests.clients.installing import MACHINE, MODULES, node

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.processes import Run

RUN_S = 90.0

KEY = "sk-a-client-of-the-gateway"


def opencode_command() -> list[str]:
    """Return how opencode is started. The baseline build runs on every x86 processor."""
    machine = "x64-baseline" if MACHINE == "x64" else MACHINE
    program = MODULES / f"opencode-linux-{machine}" / "bin" / "opencode"
    if not program.exists():
        pytest.skip(f"opencode has no program for this machine ({program.parts[-3]})")
    return [str(program)]


def codex_command() -> list[str]:
    """Return how Codex is started."""
    return [node(), str(MODULES / "@openai" / "codex" / "bin" / "codex.js")]


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


async def run_claude_code(base_url: str, directory: Path, prompt: str) -> Run:
    """Let Claude Code answer a prompt in a new project below `directory`. It shows a JSON document."""
    environment = {
        "ANTHROPIC_BASE_URL": base_url.removesuffix("/v1"),
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "ANTHROPIC_MODEL": "main",
        "ANTHROPIC_SMALL_FAST_MODEL": "main",
        "CLAUDE_CONFIG_DIR": str(directory / "claude"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "32000",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }
    program = MODULES / "@anthropic-ai" / f"claude-code-linux-{MACHINE}" / "claude"
    if not program.exists():
        pytest.skip(f"Claude Code has no program for this machine ({program.parts[-2]})")
    # Not --dangerously-skip-permissions, which it refuses to root.
    flags = ["--output-format", "json", "--allowedTools", "Bash"]
    return await _run([str(program), "-p", prompt, *flags], directory, environment)


async def _run(command: list[str], directory: Path, environment: dict[str, str]) -> Run:
    """Run an agent in a new project, with a home of its own."""
    home = directory / "home"
    home.mkdir(parents=True)
    project = workspace(directory)
    return await processes.run(command, environment, home=home, directory=project, patience_s=RUN_S)
