"""The commands that read: what they print for people and for programs, and how they end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import main
from gateway.config import schema
from tests.cli.command import gateway

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

FILE = """
providers:
  local: {kind: llamacpp, base_url: "http://127.0.0.1:9/v1"}
  openai: {api_key: "${OPENAI_API_KEY:-}"}
models:
  main: local/tiny
  big: openai/gpt-5
presets:
  precise: {temperature: 0.1}
roles:
  main: {models: [main, openai/gpt-5], params: precise}
  embedding: openai/text-embedding-3-small
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


@pytest.fixture
def file(here: Path) -> Path:
    """Return a configuration in the current directory: one provider that can be used, one without its key."""
    path = here / "gateway.yaml"
    path.write_text(FILE)
    return path


def test_help_names_the_commands_in_the_order_they_are_needed(here: Path) -> None:
    """Whoever asks for help is told everything there is."""
    shown = run("--help").output
    places = [shown.index(f"\n  {name}  ") for name in ("run", "check", "models", "explain", "test", "schema")]
    assert places == sorted(places)
    assert run("-h").output == shown


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_version(here: Path, args: list[str]) -> None:
    assert run(*args).output == f"gateway {__version__}\n"


def test_schema(here: Path) -> None:
    """What it prints is the JSON Schema of the file."""
    assert json.loads(run("schema").output) == schema()


def test_check(file: Path) -> None:
    """A good file is counted through; what is not used is named with its remedy."""
    done = run("check")
    assert done.exit_code == 0
    assert done.output == (
        "gateway.yaml: OK, 2 providers (1 usable), 2 roles, 2 aliases, 4 models\n"
        "  not used: openai: no key; set OPENAI_API_KEY\n"
        "  no usable upstream: big, role:embedding (`gateway explain NAME` says why)\n"
    )


def test_check_as_json(file: Path) -> None:
    done = run("check", "--json")
    assert done.exit_code == 0
    assert json.loads(done.output) == {
        "source": "gateway.yaml",
        "ok": True,
        "providers": [
            {"name": "local", "kind": "llamacpp", "unusable": None},
            {"name": "openai", "kind": "openai", "unusable": "no key; set OPENAI_API_KEY"},
        ],
        "roles": 2,
        "aliases": 2,
        "models": 4,
        "vacant": ["big", "role:embedding"],
        "warnings": [],
    }


def test_check_warns(here: Path) -> None:
    """What is legal and probably not meant is said, and does not fail."""
    (here / "gateway.yaml").write_text("providers: {x: {base_url: 'http://api.example.com/v1', api_key: abc}}")
    done = run("check")
    assert done.exit_code == 0
    assert '  warning: provider "x" sends its key over plain http; use https\n' in done.output


BROKEN = "server: {prot: 1}\nroles:\n  main: nobody\n"


@pytest.mark.parametrize("args", [["check"], ["run"], [], ["models"], ["explain", "main"], ["test"]])
def test_every_mistake_is_named_at_once(here: Path, args: list[str]) -> None:
    """A broken file ends every command with status 2, and all its mistakes are on standard error with their place."""
    (here / "gateway.yaml").write_text(BROKEN)
    done = run(*args)
    assert done.exit_code == 2
    assert done.stdout == ""
    first, second, last = done.stderr.splitlines()
    assert first.startswith("gateway.yaml:1:10: ")
    assert "port" in first
    assert second.startswith("gateway.yaml:3:9: unknown model or alias")
    assert last == "gateway.yaml: 2 mistakes"


def test_check_tells_programs_about_mistakes(here: Path) -> None:
    (here / "gateway.yaml").write_text(BROKEN)
    done = run("check", "--json")
    assert done.exit_code == 2
    said = json.loads(done.output)
    assert (said["ok"], said["source"], len(said["problems"])) == (False, "gateway.yaml", 2)


def test_which_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, else $GATEWAY_CONFIG, else ./gateway.yaml."""
    for name in ("a.yaml", "b.yaml", "gateway.yaml"):
        (here / name).write_text(FILE)
    assert run("check").output.startswith("gateway.yaml: OK")
    monkeypatch.setenv("GATEWAY_CONFIG", "a.yaml")
    assert run("check").output.startswith("a.yaml: OK")
    assert run("check", "--config", "b.yaml").output.startswith("b.yaml: OK")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_file_that_is_asked_for_must_be_there(file: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Nobody who names a file means another one."""
    monkeypatch.setenv("GATEWAY_CONFIG", "gone.yaml" if how == "variable" else "")
    done = run("check", *(["--config", "gone.yaml"] if how == "option" else []))
    assert done.exit_code == 2
    assert done.stderr.startswith("gone.yaml: cannot be read: No such file or directory\n")


def test_without_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command works with what the environment has."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_very_secret")
    for args in (["check"], ["models"], ["explain", "role:main"]):
        done = run(*args)
        assert done.exit_code == 0
        assert "groq" in done.output or "zero configuration: OK" in done.output
        assert "gsk_very_secret" not in done.output


def test_a_mistake_in_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "eighty")
    done = run("check")
    assert done.exit_code == 2
    assert "GATEWAY_PORT" in done.stderr


def test_explain(file: Path) -> None:
    """Who is asked in which order, with which parameters; who is not, and why."""
    done = run("explain", "role:main")
    assert done.exit_code == 0
    assert done.output == (
        "role:main is a role\n"
        "\n"
        "asked in this order:\n"
        "  1.  local/tiny  127.0.0.1:9  free  listed=0  temperature=0.1\n"
        "\n"
        "not used:\n"
        "      openai/gpt-5  no key; set OPENAI_API_KEY\n"
    )


def test_explain_what_nobody_answers(file: Path) -> None:
    """A name without anybody behind it is explained like any other."""
    done = run("explain", "big")
    assert done.exit_code == 0
    assert "no upstream can answer it now" in done.output
    assert "no key; set OPENAI_API_KEY" in done.output


def test_explain_as_json(file: Path) -> None:
    """What is configured of a candidate, and what is known of it."""
    said = json.loads(run("explain", "--json", "role:main", "--tokens", "1000").output)
    assert (said["name"], said["kind"], said["live"], said["order"]) == ("role:main", "role", False, ["listed"])
    assert said["rejected"] == [{"upstream": "openai/gpt-5", "reason": "no key; set OPENAI_API_KEY"}]
    (one,) = said["candidates"]
    configured = {
        "upstream": "local/tiny",
        "provider": "local",
        "kind": "llamacpp",
        "speaks": ["chat", "completions", "embeddings", "messages"],
        "model": "tiny",
        "host": "127.0.0.1:9",
        "local": True,
        "params": {"defaults": {"temperature": 0.1}, "forced": {}, "drop": [], "rename": {}, "clamp": {}},
    }
    known = {"free": True, "estimate_usd": 0.0, "success": 1.0, "breaker": "closed", "in_flight": 0}
    assert one.items() >= (configured | known).items()


@pytest.mark.parametrize(("args", "names"), [(["--needs", "telepathy"], "vision"), (["--order", "fancy"], "cheapest")])
def test_explain_what_there_is_not(file: Path, args: list[str], names: str) -> None:
    """An unknown ability or policy is answered with those that there are."""
    done = run("explain", "role:main", *args)
    assert done.exit_code == 1
    assert names in done.stderr


def test_forced_parameters_and_the_limit_of_attempts_are_shown(here: Path) -> None:
    (here / "gateway.yaml").write_text(
        "defaults: {max_attempts: 1}\n"
        "providers: {a: {base_url: 'http://127.0.0.1:9/v1', models: [x, y], params: {force: {seed: 7}, top_p: 0.5,\n"
        "  drop: [user], rename: {max_tokens: max_completion_tokens}, clamp: {temperature: [0, 1.5]}}}}\n"
        "roles: {r: {models: [a/x, a/y]}}\n"
    )
    done = run("explain", "role:r")
    assert "asked in this order, at most 1 attempt for one call:" in done.output
    adapted = "drop user rename max_tokens=max_completion_tokens clamp temperature=0..1.5"
    assert f"top_p=0.5 seed=7 (forced) {adapted}" in done.output


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("role:mian", ['unknown role "mian"; did you mean "role:main"?', "Or did you mean main?"]),
        ("mian", ['unknown model "mian"; did you mean "main"?', "Or did you mean role:main?"]),
        (
            "zzzzzzzzzz",
            [
                'unknown model "zzzzzzzzzz"; set defaults.route to serve every unknown name',
                "`gateway models` lists all names.",
            ],
        ),
        (
            "openai/gpt-6",
            ['provider "openai" has no key; set OPENAI_API_KEY', "Did you mean openai/gpt-5?"],
        ),
    ],
)
def test_an_unknown_name(file: Path, name: str, lines: list[str]) -> None:
    """It is answered with the nearest ones, on standard error, and status 1."""
    done = run("explain", name)
    assert (done.exit_code, done.stdout, done.stderr.splitlines()) == (1, "", lines)
    assert run("test", name).stderr == done.stderr
    said = json.loads(run("explain", name, "--json").stdout)
    assert said["error"] == lines[0]


def test_models(file: Path) -> None:
    """Roles, aliases and models, in columns that other tools can read."""
    done = run("models")
    assert [line for line in done.output.splitlines() if not line.startswith("auto")] == [
        "NAME                           KIND   LEADS TO",
        "role:main                      role   local/tiny",
        "role:embedding                 role   no upstream: openai/text-embedding-3-small: no key; set OPENAI_API_KEY",
        "main                           alias  local/tiny",
        "big                            alias  no upstream: openai/gpt-5: no key; set OPENAI_API_KEY",
        "demo/echo                      model  built in",
        "local/tiny                     model  http://127.0.0.1:9/v1",
        "openai/gpt-5                   model  no upstream: no key; set OPENAI_API_KEY",
        "openai/text-embedding-3-small  model  no upstream: no key; set OPENAI_API_KEY",
    ]
    assert [one["name"] for one in json.loads(run("models", "--json").output)][:2] == ["role:main", "role:embedding"]


@pytest.mark.parametrize("args", [["frobnicate"], ["explain"], ["run", "--port", "70000"], ["check", "--nonsense"]])
def test_a_command_that_is_none(here: Path, args: list[str]) -> None:
    """A wrong command line is status 2 with the usage, never a traceback."""
    done = run(*args)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr


def test_the_module_is_the_command(here: Path) -> None:
    """`python -m gateway` is `gateway`, and calls itself so."""
    assert gateway("version", cwd=here).out == f"gateway {__version__}\n"
    assert gateway("--help", cwd=here).out.startswith("Usage: gateway [OPTIONS]")
