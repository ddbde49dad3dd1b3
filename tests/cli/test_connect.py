"""The lines that `gateway connect` prints: each is valid in its language, and says where and what to ask."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import main
from gateway.control.snippets import CLIENTS, NO_KEY
from tests.cli.command import ROOT, environment, serving

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

FILE = """
server: {{host: 0.0.0.0, port: 8411, api_keys: [{key}]}}
providers:
  local: {{kind: llamacpp, base_url: "http://127.0.0.1:9/v1"}}
models:
  coder: {{model: local/coder, context: 32k}}
  tiny: {{model: local/tiny, context: 8k}}
roles:
  embedding: local/embed
  main: {{models: [coder, tiny]}}
  memory: tiny
"""
SECRET = "sk-of-this-gateway-0123456789"
URL = "http://127.0.0.1:8411"
# What a name or a key may hold that some language takes for its own.
AWKWARD = 'it\'s "a" $(name) `x` #: {b} [1m]'


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


@pytest.fixture(params=["", SECRET], ids=["without keys", "with a key"])
def file(here: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a configuration; return its key."""
    monkeypatch.delenv("GATEWAY_PORT")
    key: str = request.param
    (here / "gateway.yaml").write_text(FILE.format(key=key))
    return key


def snippets(client: str, *args: str) -> list[dict[str, str]]:
    done = run("connect", client, "--json", *args)
    assert done.exit_code == 0, done.output
    found: list[dict[str, str]] = json.loads(done.output)["snippets"]
    return found


def read(snippet: dict[str, str]) -> Any:
    """Parse a snippet as its own program would."""
    text = snippet["text"]
    match snippet["language"]:
        case "json":
            return json.loads(text)
        case "toml":
            return tomllib.loads(text)
        case "yaml":
            return yaml.safe_load(text)
        case "python":
            return ast.parse(text)
        case "sh":
            done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            return text
        case other:
            raise AssertionError(other)


def exported(client: str, *args: str) -> dict[str, str]:
    """Return the variables that the lines for a shell set, as a shell sets them."""
    (text,) = (one["text"] for one in snippets(client, *args) if one["language"] == "sh")
    lines = "\n".join(line for line in text.splitlines() if line.startswith("export "))
    done = subprocess.run(
        ["bash", "-c", f"{lines}\nenv -0"],
        env={"PATH": "/usr/bin:/bin", "GATEWAY_API_KEY": SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(one.partition("=")[::2] for one in done.stdout.split("\0") if one)


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client(file: str, client: str) -> None:
    """Its lines are valid, name the gateway, and are what is printed; a key is never written down unasked."""
    found = snippets(client)
    for one in found:
        read(one)
    together = "\n".join(one["text"] for one in found)
    assert URL in together
    assert "role:main" in together or client == "n8n"  # there the model is chosen in each node
    assert SECRET not in together
    if file:
        assert "GATEWAY_API_KEY" in together
    else:
        assert NO_KEY in together or client == "codex"  # which sends no key then
    printed = run("connect", client)
    assert printed.exit_code == 0
    assert CLIENTS[client].page in printed.output
    for one in found:
        assert one["text"] in printed.output
        assert f"{'//' if one['language'] == 'json' else '#'} {one['place']}:\n{one['text']}" in printed.output


@pytest.mark.parametrize("client", CLIENTS)
def test_no_name_breaks_out(here: Path, client: str) -> None:
    """A name or a key with quotes, dollars and braces stays one value in every language."""
    (here / "gateway.yaml").write_text(json.dumps({"models": {AWKWARD: "demo/echo"}}))
    found = [read(one) for one in snippets(client, "--model", AWKWARD, "--key", AWKWARD, "--url", "https://llm.test/")]
    dumped = [ast.unparse(one) if isinstance(one, ast.AST) else str(one) for one in found]
    assert any("https://llm.test" in one for one in dumped)
    for one in snippets(client, "--model", AWKWARD, "--key", AWKWARD):
        if one["language"] == "sh":  # run with no program to be found, so that only the shell itself acts
            script = f"PATH=\n{one['text']}"
            done = subprocess.run(["/bin/bash", "-c", script], cwd=here, capture_output=True, text=True, check=False)
            assert "syntax" not in done.stderr
            assert not (here / "owned").exists()


def test_claude_code(file: str) -> None:
    """Its URL has no /v1, and the length of the context is that of the model."""
    found = exported("claude-code")
    assert found["ANTHROPIC_BASE_URL"] == URL
    assert found["ANTHROPIC_AUTH_TOKEN"] == (SECRET if file else NO_KEY)
    assert (found["ANTHROPIC_MODEL"], found["ANTHROPIC_DEFAULT_HAIKU_MODEL"]) == ("role:main", "role:memory")
    assert found["ANTHROPIC_SMALL_FAST_MODEL"] == "role:memory"
    assert found["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "32000"
    assert exported("claude-code", "--model", "tiny")["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "8000"
    assert exported("claude-code", "--model", "local/other")["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "200000"


def test_codex(file: str) -> None:
    told = read(snippets("codex")[0])
    assert (told["model"], told["model_provider"], told["model_context_window"]) == ("role:main", "gateway", 32_000)
    provider = told["model_providers"]["gateway"]
    assert (provider["base_url"], provider["wire_api"]) == (f"{URL}/v1", "responses")
    assert provider.get("env_key") == ("GATEWAY_API_KEY" if file else None)
    given = read(snippets("codex", "--key", "mine")[0])["model_providers"]["gateway"]
    assert (given["experimental_bearer_token"], "env_key" in given) == ("mine", False)


def test_opencode(file: str) -> None:
    told = read(snippets("opencode")[0])
    assert told["model"] == "gateway/role:main"
    provider = told["provider"]["gateway"]
    assert provider["options"] == {"baseURL": f"{URL}/v1", "apiKey": "{env:GATEWAY_API_KEY}" if file else NO_KEY}
    assert set(provider["models"]) == {"role:main", "role:memory"}


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("https://llm.example.org", "https://llm.example.org"),
        ("https://llm.example.org/v1/", "https://llm.example.org"),
        ("http://[::1]:8400/v1", "http://[::1]:8400"),
        ("https://example.org/llm/v1", "https://example.org/llm"),
    ],
)
def test_a_url_with_or_without_v1(file: str, written: str, root: str) -> None:
    assert exported("anthropic", "--url", written)["ANTHROPIC_BASE_URL"] == root
    assert exported("aider", "--url", written)["OPENAI_API_BASE"] == f"{root}/v1"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("codexx",), 'no lines for "codexx"; did you mean "codex"?'),
        (("qqqq",), "there are openai, anthropic,"),
        (("codex", "--model", "coderr"), 'did you mean "coder"?'),
        (("codex", "--url", "llm.example.org"), "is no URL"),
        (("codex", "--url", "http://h/$(x)"), "is no URL"),
    ],
)
def test_mistakes(file: str, args: tuple[str, ...], message: str) -> None:
    done = run("connect", *args)
    assert done.exit_code == 1
    assert message in done.output


def test_the_list(here: Path) -> None:
    """Without a client it lists them, and needs no configuration."""
    assert [one["client"] for one in json.loads(run("connect", "--json").output)] == list(CLIENTS)
    assert all(name in run("connect").output for name in CLIENTS)


def test_without_a_configuration(here: Path) -> None:
    """The demo answers, so there is always a name."""
    assert exported("claude-code")["ANTHROPIC_MODEL"] == "role:main"


async def test_the_lines_for_openais_sdk_work(tmp_path: Path) -> None:
    """Pasted into a shell and a file as they are printed, against a real gateway."""
    async with serving("run", cwd=tmp_path) as running:
        env = {"GATEWAY_PORT": str(running.port)}
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gateway", "connect", "openai", "--json"],
            cwd=tmp_path, env=environment(env, cwd=tmp_path), capture_output=True, text=True, check=True,
        )  # fmt: skip
        shell, program = json.loads(done.stdout)["snippets"]
        (tmp_path / "hello.py").write_text(program["text"])
        answered = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", f"{shell['text']}\n{sys.executable} hello.py"],
            cwd=tmp_path, env=environment({"PYTHONWARNINGS": "default"}), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answered.returncode == 0, answered.stderr
        assert answered.stdout.strip()


def test_the_page_on_clients_lists_them_all() -> None:
    """With the page that each one's lines were checked against."""
    page = (ROOT / "docs" / "clients.md").read_text()
    page = page.partition("## Connect a client")[2].partition("\n#")[0]
    listed = [line.split("|")[1].strip().strip("`") for line in page.splitlines() if line.startswith("| `")]
    assert listed == list(CLIENTS)
    assert all(f"[{one.title}]({one.page})" in page for one in CLIENTS.values())
