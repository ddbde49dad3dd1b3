"""`gateway init` as a newcomer runs it: in a terminal, in a script, and where something is there already."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import stat
import subprocess
import termios
import time
from contextlib import suppress
from select import select
from typing import TYPE_CHECKING

import pytest

from gateway.config import load
from tests.cli.command import WITHIN_S, command, environment, gateway
from tests.upstream.test_detect import OLLAMA_ROOT, OLLAMA_VERSION, TAGS, answer, models, pages
from tests.upstream.test_detect import serving as listening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEY = "sk-or-v1-0123456789abcdef"
CTRL_C = "\x03"


def _take_terminal() -> None:
    """Make standard input the terminal of this session, so that Ctrl-C in it interrupts."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A terminal in which `gateway init` runs."""

    def __init__(self, *args: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._terminal, end = pty.openpty()
        try:
            self._process = subprocess.Popen(
                command("init", "--no-test", *args),
                cwd=cwd, env=environment({"TERM": "xterm", **(env or {})}, cwd=cwd), stdin=end, stdout=end, stderr=end,
                start_new_session=True, preexec_fn=_take_terminal,  # noqa: PLW1509  # no other thread runs here
            )  # fmt: skip
        finally:
            os.close(end)
        self.shown = ""

    def reply(self, prompt: str, said: str) -> None:
        """Wait for a prompt, and type something."""
        self._read(lambda: prompt in self.shown)
        self.shown = self.shown.rpartition(prompt)[2]
        os.write(self._terminal, (said if said == CTRL_C else f"{said}\n").encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what was shown since the last prompt."""
        self._read(lambda: False)
        status = self._process.wait(WITHIN_S)
        os.close(self._terminal)
        return status, self.shown

    def _read(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        with suppress(OSError):  # Linux reports the end of the other side as an error
            while not until():
                assert time.monotonic() < deadline, self.shown
                if select([self._terminal], [], [], 0.1)[0]:
                    piece = os.read(self._terminal, 4096)
                    if not piece:
                        return
                    self.shown += piece.decode()


def program(folder: Path, name: str, script: str) -> dict[str, str]:
    """Put a program on the path, and return the environment with it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_a_script_takes_what_is_there(tmp_path: Path) -> None:
    """Without keys and servers, the file names the provider to begin with; a second run changes nothing."""
    done = gateway("init", "--yes", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "Found: no model server on this machine, and no API key." in done.out
    assert "not used: openrouter: no key; set OPENROUTER_API_KEY" in done.out
    written = (tmp_path / "gateway.yaml").read_text()
    assert "Made by `gateway init`" in written
    assert not (tmp_path / ".env").exists()
    again = gateway("init", "--yes", cwd=tmp_path)
    assert (again.status, "gateway.yaml exists; `gateway check` checks it" in again.err) == (2, True)
    assert (tmp_path / "gateway.yaml").read_text() == written


async def test_a_server_that_runs_here_is_used_and_tested(tmp_path: Path) -> None:
    """The file has its address and models, and what it says leads there."""
    found = {"__": OLLAMA_ROOT, "__api__version": OLLAMA_VERSION, "__api__tags": answer(TAGS)}
    async with listening(pages(**found, __v1__models=answer(models("gemma3:4b")))) as port:
        env = {"OLLAMA_HOST": f"127.0.0.1:{port}", "ANTHROPIC_API_KEY": ""}
        done = await asyncio.to_thread(gateway, "init", "--yes", cwd=tmp_path, env=env)
        assert (done.status, done.err) == (0, "")
        assert f"Found: Ollama at http://127.0.0.1:{port}/v1 (1 model)." in done.out
        assert "1 passed, 0 failed" in done.out
    config = load(tmp_path / "gateway.yaml", {})
    assert config.directory.providers["ollama"].base_url == f"http://127.0.0.1:{port}/v1"
    leads = {name: [one.upstream.id for one in route.candidates] for name, route in config.directory.routes.items()}
    assert leads["role:main"] == leads["role:planner"] == leads["role:memory"] == ["ollama/gemma3:4b"]


def test_a_provider_that_cannot_be_used_fails_the_test(tmp_path: Path) -> None:
    """The file is written all the same; the exit status tells."""
    env = {"CUSTOM_LLM_BASE_URL": "http://127.0.0.1:9/v1", "CUSTOM_LLM_MODEL": "m"}
    done = gateway("init", "--yes", cwd=tmp_path, env=env)
    assert (done.status, "0 passed, 1 failed" in done.out) == (1, True)
    assert (tmp_path / "gateway.yaml").exists()
    assert gateway("init", "--yes", "--no-test", "--output", "other.yaml", cwd=tmp_path, env=env).status == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "there is no terminal to ask on; --yes uses what is found"),
        (("--way", "openrouter"), "OPENROUTER_API_KEY is not set"),
        (("--way", "openrouter", "--yes"), "OPENROUTER_API_KEY is not set"),
        (("--yes", "--output", "nowhere/gateway.yaml"), "nowhere/gateway.yaml cannot be written"),
    ],
)
def test_what_cannot_be_done_writes_nothing(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    """The message says what to do instead."""
    done = gateway("init", *args, cwd=tmp_path)
    assert (done.status, said in done.err) == (2, True)
    assert [one.name for one in tmp_path.iterdir() if one.name != ".state"] == []


def test_a_key_is_typed_hidden_and_kept_for_its_owner(tmp_path: Path) -> None:
    """The first way: the key goes into .env and nowhere else."""
    terminal = Terminal(cwd=tmp_path)
    terminal.reply("How to begin (1, 2, 3) [1]:", "")
    terminal.reply("Its key (not shown):", "two words")
    terminal.reply("Its key (not shown):", KEY)
    status, shown = terminal.end()
    assert status == 0, shown
    assert KEY not in shown
    assert "1 provider (1 usable)" in shown
    assert (tmp_path / ".env").read_text() == f"OPENROUTER_API_KEY={KEY}\n"
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert KEY not in (tmp_path / "gateway.yaml").read_text()


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        ("A=1", "y", f"A=1\nOPENROUTER_API_KEY={KEY}\n"),
        ("A=1\n", "", f"A=1\nOPENROUTER_API_KEY={KEY}\n"),
        ("A=1\n", "n", "A=1\n"),
    ],
)
def test_an_env_file_is_only_added_to_on_consent(tmp_path: Path, before: str, said: str, after: str) -> None:
    """Nothing in it is replaced."""
    (tmp_path / ".env").write_text(before)
    terminal = Terminal("--way", "openrouter", cwd=tmp_path)
    terminal.reply("Its key (not shown):", KEY)
    terminal.reply("Add a line with OPENROUTER_API_KEY to it? [Y/n]:", said)
    status, shown = terminal.end()
    assert status == 0, shown
    assert (tmp_path / ".env").read_text() == after
    assert ("not kept" in shown) == (said == "n")


def test_a_key_in_the_env_file_needs_no_question(tmp_path: Path) -> None:
    """It is found beside the file to be written."""
    (tmp_path / ".env").write_text(f"OPENROUTER_API_KEY={KEY}\n")
    done = gateway("init", "--way", "openrouter", "--no-test", cwd=tmp_path)
    assert (done.status, "Found: OPENROUTER_API_KEY." in done.out) == (0, True)
    assert "1 provider (1 usable)" in done.out


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """Everything is asked before anything is written."""
    terminal = Terminal(cwd=tmp_path)
    terminal.reply("[1]:", "1")
    terminal.reply("Its key (not shown):", CTRL_C)
    status, _ = terminal.end()
    assert status in (1, 130, -signal.SIGINT)
    assert [one.name for one in tmp_path.iterdir() if one.name != ".state"] == []


@pytest.mark.parametrize(("said", "ran"), [("y", "pull hf.co/mradermacher/Nanbeige4.1-3B-GGUF:Q4_K_M\n"), ("n", "")])
def test_ollama_gets_a_small_model_on_consent(tmp_path: Path, said: str, ran: str) -> None:
    """The second way with no server: one command, which is run only if wanted."""
    env = program(tmp_path / "bin", "ollama", f'echo "$@" >> {tmp_path}/ran')
    terminal = Terminal(cwd=tmp_path, env=env)
    terminal.reply("[1]:", "2")
    terminal.reply("Run this now? [y/N]:", said)
    status, shown = terminal.end()
    assert status == 0, shown
    log = tmp_path / "ran"
    assert (log.read_text() if log.exists() else "") == ran
    config = load(tmp_path / "gateway.yaml", {})
    assert [one.upstream.model for one in config.directory.routes["role:main"].candidates] == [
        "hf.co/mradermacher/Nanbeige4.1-3B-GGUF:Q4_K_M"
    ]


@pytest.mark.parametrize(
    ("installed", "provider", "words"),
    [
        (
            "llama-server",
            "llamacpp",
            ("llama-server -hf mradermacher/Nanbeige4.1-3B-GGUF:Q4_K_M --port 8080", "in a terminal of its own"),
        ),
        (
            "other",
            "ollama",
            ("ollama pull hf.co/", "Ollama is not installed; it comes from https://ollama.com/download"),
        ),
    ],
)
def test_what_cannot_be_run_is_said(tmp_path: Path, installed: str, provider: str, words: tuple[str, ...]) -> None:
    """llama.cpp's server does not end, so its command is for another terminal; what is missing has a source."""
    env = program(tmp_path / "bin", installed, "exit 0")
    done = gateway("init", "--way", "local", "--yes", "--no-test", cwd=tmp_path, env=env)
    assert (done.status, done.err) == (0, "")
    assert all(one in done.out for one in words), done.out
    assert [one for one in load(tmp_path / "gateway.yaml", {}).directory.providers if one != "demo"] == [provider]
