"""`gateway login` with a browser and a provider that play their parts: a key is kept and used, or why there is none."""

from __future__ import annotations

import asyncio
import re
import stat
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from tests.cli.command import environment, gateway, gateway_async, serving
from tests.cli.test_init import Terminal
from tests.faults import Client, FaultyUpstream, Reset, chat_json, json_answer, request
from tests.faults.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "sk-or-v1-fedcba9876543210"
YAML = """
providers:
  openrouter: {{base_url: "{0}/api/v1", models: [x/y], probe: false}}
roles: {{main: {{models: [openrouter/x/y]}}}}
"""
# What a browser does, and nothing more.
BROWSER = "import sys, urllib.request as r; r.urlopen(sys.argv[1]).read()"


class Provider:
    """Shows a page that sends the browser back with `answer`, and gives a key for the code if the proof is right."""

    def __init__(self, answer: str = "code=abc") -> None:
        self.answer = answer
        self.exchange = json_answer({"key": KEY, "user_id": "user_1"})
        self.challenge = ""
        self.keys_seen: list[str] = []

    def __call__(self, seen: Any) -> Any:
        target = urlsplit(seen.target)
        if target.path == "/auth":
            asked = {name: value for name, (value,) in parse_qs(target.query).items()}
            assert asked["code_challenge_method"] == "S256"
            self.challenge = asked["code_challenge"]
            back = f"{asked['callback_url'].replace('localhost', '127.0.0.1')}?{self.answer}"
            return json_answer(b"", 302, {"location": back})
        if target.path == "/api/v1/auth/keys":
            said = seen.json
            proven = urlsafe_b64encode(sha256(said["code_verifier"].encode()).digest()).rstrip(b"=").decode()
            assert (said["code"], proven) == ("abc", self.challenge)
            return self.exchange
        if seen.method == "POST":
            self.keys_seen.append(seen.headers.get("authorization", ""))
        return chat_json("Hi")


def opening(folder: Path, script: str = BROWSER) -> dict[str, str]:
    (folder / "browser.py").write_text(script)
    return {"BROWSER": f"{sys.executable} {folder / 'browser.py'} %s"}


async def called(port: int) -> int:
    async with Client(port) as client:
        body = {"model": "role:main", "messages": [{"role": "user", "content": "Hi"}]}
        await client.send(request("POST", "/v1/chat/completions", body))
        return (await client.response()).status


async def test_a_key_is_kept_and_used_at_once(tmp_path: Path) -> None:
    """The running gateway has none; afterwards calls have it. It is in a file of its owner, and in no output."""
    provider = Provider()
    async with FaultyUpstream(provider, strict=False) as upstream:
        (tmp_path / "gateway.yaml").write_text(YAML.format(upstream.base_url.removesuffix("/v1")))
        async with serving(cwd=tmp_path) as running:
            assert await called(running.port) == 200
            assert provider.keys_seen.pop() == ""
            done = await gateway_async("login", cwd=tmp_path, env=opening(tmp_path))
            assert (done.status, done.err) == (0, "")
            assert "openrouter: its key is kept" in done.out
            assert "the running gateway uses it" in done.out
            assert await called(running.port) == 200
            assert provider.keys_seen == [f"Bearer {KEY}"]
    assert KEY not in done.out
    holders = [file for file in (tmp_path / ".state").rglob("*") if file.is_file() and KEY in file.read_text("latin-1")]
    assert holders
    assert {stat.S_IMODE(file.stat().st_mode) for file in holders} == {0o600}


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda one: setattr(one, "answer", "error=access_denied"), "OpenRouter gave no key: access_denied"),
        (
            lambda one: setattr(one, "exchange", json_answer({"error": {"message": "Invalid code"}}, 403)),
            "OpenRouter gave no key: it answers the exchange of the code with status 403 and no key: Invalid code",
        ),
        (lambda one: setattr(one, "exchange", [Reset()]), "/api/v1/auth/keys cannot be reached: "),
    ],
)
async def test_no_key(tmp_path: Path, change: Callable[[Provider], None], said: str) -> None:
    """Nothing is changed, and the reason is told."""
    provider = Provider()
    change(provider)
    async with FaultyUpstream(provider, strict=False) as upstream:
        (tmp_path / "gateway.yaml").write_text(YAML.format(upstream.base_url.removesuffix("/v1")))
        done = await gateway_async("login", "openrouter", cwd=tmp_path, env=opening(tmp_path))
    assert (done.status, said in done.err) == (1, True)
    assert KEY not in done.out + done.err
    assert gateway("config", "diff", cwd=tmp_path).out == ""


async def test_a_port_that_is_forwarded(tmp_path: Path) -> None:
    """No browser is opened; strangers and silent connections on the port end nothing; a taken port is said."""
    provider = Provider()
    async with FaultyUpstream(provider, strict=False) as upstream:
        taken, free = upstream.port, free_port()
        (tmp_path / "gateway.yaml").write_text(YAML.format(upstream.base_url.removesuffix("/v1")))
        done = await gateway_async("login", "--port", str(taken), cwd=tmp_path)
        assert (done.status, f"port {taken} cannot be used" in done.err) == (1, True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "login", "--port", str(free), "--no-browser",
            cwd=tmp_path, env=environment(opening(tmp_path, "raise SystemExit('opened')"), cwd=tmp_path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        shown = ""
        async with asyncio.timeout(20):
            while "Waiting" not in shown:
                shown += (await process.stdout.readline()).decode()
        (address,) = re.findall(r"http://\S+/auth\?\S+", shown)
        async with Client(free):
            for target in ("/", "/callback/guess?code=evil"):
                async with Client(free) as stranger:
                    await stranger.send(request("GET", target))
                    assert (await stranger.response()).status == 404
            page = await asyncio.to_thread(lambda: urlopen(address).read().decode())  # noqa: S310  # http, as matched
        assert "You can close this page" in page
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    assert KEY not in shown


def test_who_gives_no_keys_to_programs(tmp_path: Path) -> None:
    done = gateway("login", "gemini", cwd=tmp_path)
    assert (done.status, "Google Gemini gives no keys to programs" in done.err) == (1, True)
    assert "`gateway login` knows: openrouter." in done.err
    done = gateway("login", "openruter", cwd=tmp_path)
    assert (done.status, 'did you mean "openrouter"' in done.err) == (1, True)


def test_the_first_run_offers_it(tmp_path: Path) -> None:
    """An empty line in place of a key goes to the browser; one that comes back with a refusal leaves the question."""
    refusing = (
        "import sys, urllib.parse as p, urllib.request as r\n"
        "asked = p.parse_qs(p.urlsplit(sys.argv[1]).query)\n"
        "back = asked['callback_url'][0].replace('localhost', '127.0.0.1')\n"
        "r.urlopen(back + '?error=access_denied').read()\n"
    )
    terminal = Terminal(cwd=tmp_path, env=opening(tmp_path, refusing))
    terminal.reply("How to begin", "1")
    terminal.reply("Its key (not shown): ", "")
    terminal.reply("Its key (not shown): ", KEY)
    status, shown = terminal.end()
    assert status == 0, shown
    assert (tmp_path / ".env").read_text() == f"OPENROUTER_API_KEY={KEY}\n"
