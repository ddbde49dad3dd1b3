"""`gateway config` and `gateway alias`: on the files alone, and with a gateway that runs."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import Done, gateway, gateway_async
from tests.cli.test_reload import configuration, everywhere, running_with, status_of
from tests.faults import Client, request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Running

FILE = """\
providers:
  a: {kind: vllm, base_url: "http://a.test/v1", models: [x]}
  b: {kind: vllm, base_url: "https://b.test/v1", api_key: "sk-literal-of-the-file"}
models: {main: a/x, other: b/y}
roles: {rlm: {models: [main, other]}}
"""
SENTINEL = "sk-sentinel-0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(FILE)
    return tmp_path


def config(folder: Path, *args: str) -> Done:
    return gateway("config", *args, cwd=folder)


def alias(folder: Path, *args: str) -> Done:
    return gateway("alias", *args, cwd=folder)


def test_the_life_of_a_change(folder: Path) -> None:
    """Set, shown, compared, exported, told by the history, and reverted."""
    done = config(folder, "set", "providers.a.enabled", "false")
    assert (done.status, "counts from the next start" in done.out) == (0, True)
    assert "main has no upstream: disabled" in done.err
    assert "enabled: false" in config(folder, "show").out
    assert "enabled" not in config(folder, "show", "--layer", "file").out
    assert config(folder, "show", "--layer", "overlay").out == "providers:\n  a:\n    enabled: false\n"
    assert "\n+    enabled: false\n" in config(folder, "diff").out
    assert config(folder, "diff", "--json").json["entries"] == [{"path": "providers.a.enabled", "value": False}]
    assert "enabled: false" in config(folder, "export").out
    assert "providers.a.enabled set" in config(folder, "history").out
    assert config(folder, "revert", "providers.a").status == 0
    assert config(folder, "diff").out == ""
    assert [one["steps"][0]["action"] for one in config(folder, "history", "--json").json] == ["reverted", "set"]


def test_secrets(folder: Path) -> None:
    """A secret comes over standard input, and is in one file only."""
    assert config(folder, "set", "providers.b.api_key", SENTINEL).status == 0
    said = "".join(
        done.out + done.err
        for done in (
            config(folder, "show"), config(folder, "diff"), config(folder, "diff", "--json"), config(folder, "export"),
            config(folder, "history", "--json"), gateway("check", cwd=folder), gateway("models", "--json", cwd=folder),
        )
    )  # fmt: skip
    assert SENTINEL not in said
    assert "sk-literal" not in said
    (holds,) = [one for one in folder.rglob("*") if one.is_file() and SENTINEL in one.read_text(errors="replace")]
    assert (holds.name, stat.S_IMODE(holds.stat().st_mode)) == ("secrets.env", 0o600)


def test_dry_run(folder: Path) -> None:
    """What would change and break is shown, and the exit status says whether it would be refused."""
    done = config(folder, "set", "providers.a.enabled", "false", "--dry-run")
    assert (done.status, "+    enabled: false" in done.out, "main has no upstream" in done.err) == (0, True, True)
    done = alias(folder, "remove", "other", "--dry-run")
    assert (done.status, 'roles.rlm.models.1: unknown model or alias "other"' in done.err) == (1, True)
    assert not list(folder.rglob("overlay.yaml"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("config", "set", "server.port", "1"), "cannot be changed at run time"),
        (("config", "set", "models..x", "1"), "not a path"),
        (("config", "set", "models.x", "[a"), "not YAML"),
        (("config", "revert"), "name the paths to revert, or say --all"),
        (("config", "revert", "models.main"), "models.main was not changed at run time"),
        (("alias", "set", "role:x", "a/x"), "cannot name an alias"),
        (("alias", "set", "x", "gone"), 'unknown model or alias "gone"'),
        (("alias", "remove", "othr"), 'there is no alias "othr"; did you mean "other"?'),
        (("alias", "remove", "other"), "another part needs what this takes away"),
        (("alias", "rename", "othr", "x"), 'there is no alias "othr"'),
    ],
)
def test_mistakes(folder: Path, args: tuple[str, ...], said: str) -> None:
    done = gateway(*args, cwd=folder)
    assert (done.status, said in done.err) == (1, True)


def test_aliases(folder: Path) -> None:
    """An alias is set, renamed with every use, and removed."""
    assert alias(folder, "set", "fast", "a/z").status == 0
    assert alias(folder, "rename", "other", "second").status == 0
    assert [tuple(one.values()) for one in alias(folder, "list", "--json").json] == [
        ("main", "a/x", "gateway.yaml"), ("fast", "a/z", "run time"), ("second", "b/y", "run time"),
    ]  # fmt: skip
    assert "- second" in config(folder, "show").out
    assert alias(folder, "remove", "fast").status == 0
    assert "fast" not in alias(folder, "list").out


def test_a_broken_overlay_is_reverted(folder: Path) -> None:
    """It cannot be changed, but thrown away."""
    alias(folder, "set", "fast", "a/z")
    (file,) = folder.rglob("overlay.yaml")
    file.write_text("a: [")
    assert "not YAML" in alias(folder, "list").err
    assert config(folder, "revert", "--all").status == 0
    assert alias(folder, "list").status == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_running_gateway_uses_it_at_once(tmp_path: Path, workers: str) -> None:
    """The command says so, and a restart keeps it."""
    async with running_with(tmp_path, "--workers", workers) as (running, _):
        assert await status_of(running, "fast") == 404
        done = alias(tmp_path, "set", "fast", "one")
        assert done.out.endswith("the running gateway uses it (version 2)\n")
        if workers == "1":
            assert await status_of(running, "fast") == 200
        done = config(tmp_path, "revert", "--all")
        assert done.out == "all changes are reverted; the running gateway uses it (version 3)\n"
        alias(tmp_path, "set", "kept", "one")
    async with running_with(tmp_path, "--workers", workers) as (running, _):
        assert (await status_of(running, "kept"), await status_of(running, "fast")) == (200, 404)
        assert (await configuration(running))["version"] == 1


async def test_a_gateway_of_another_configuration(tmp_path: Path) -> None:
    """It is named, and left alone."""
    async with running_with(tmp_path):
        (tmp_path / "other.yaml").write_text(FILE)
        done = alias(tmp_path, "set", "fast", "a/x", "--config", "other.yaml")
        assert f"uses {tmp_path / 'gateway.yaml'}" in done.out


def test_kinds(folder: Path) -> None:
    """Every kind with the variable of its key and what it needs."""
    lines = gateway("providers", "--kinds", cwd=folder).out.splitlines()
    runpod = next(line for line in lines if line.startswith("runpod")).split()
    assert runpod[2:] == ["RUNPOD_API_KEY", "api_key,", "endpoint_id", "-"]
    kinds = {one["kind"]: one for one in gateway("providers", "--kinds", "--json", cwd=folder).json}
    assert kinds["groq"]["key_variables"] == ["GROQ_API_KEY"]
    free = {name: kinds[name]["free"] for name in ("openrouter", "groq", "ollama", "openai", "litellm", "runpod")}
    assert free == {
        "openrouter": "models", "groq": "plan", "ollama": "local", "openai": None, "litellm": None, "runpod": None
    }  # fmt: skip


def test_providers_without_a_gateway(folder: Path) -> None:
    """What is configured and why not; nothing is claimed of their health."""
    alias(folder, "set", "fast", "a/x")
    config(folder, "set", "providers.a.enabled", "false")
    done = gateway("providers", cwd=folder)
    assert next(line for line in done.out.splitlines() if line.startswith("a ")).split()[3] == "disabled"
    assert "no gateway runs" in done.err
    assert "sk-literal" not in done.out


async def test_providers_of_a_gateway(tmp_path: Path) -> None:
    """With an admin key, what the running gateway knows is shown; with another one it is not."""
    key = "sk-admin-0123456789abcdef"
    async with running_with(tmp_path, server=f"{{admin_keys: [{key}]}}") as (running, _):
        assert await status_of(running, "one") == 200
        done = await gateway_async("providers", "--json", cwd=tmp_path, env={"GATEWAY_ADMIN_KEY": key})
        assert {one["name"]: one["failing"] for one in done.json}["a"] == []
        done = await gateway_async("providers", cwd=tmp_path, env={"GATEWAY_ADMIN_KEY": f"{key}x"})
        assert "is no admin key of the gateway" in done.err


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_api_of_a_real_process(tmp_path: Path, workers: str) -> None:
    """A change over HTTP counts when it is answered, whichever worker took it, and after a restart."""
    key = "sk-admin-0123456789abcdef"
    server = f"{{admin_keys: [{key}], watch: false}}"

    async def ask(running: Running, method: str, path: str, body: object = None) -> Any:
        async with Client(running.port) as client:
            await client.send(request(method, f"/admin/v1{path}", body, {"x-api-key": key, "if-match": "*"}))
            response = await client.response()
            assert response.status == 200, response.body
            return response.json

    async with running_with(tmp_path, "--workers", workers, server=server) as (running, _):
        done = await ask(running, "PUT", "/aliases/fast", "one")
        assert (done["stored"], done["in_use"]) == (True, True), done
        await everywhere(running, 2)
        assert await status_of(running, "fast") == 200
    async with running_with(tmp_path, "--workers", workers, server=server) as (running, _):
        assert await status_of(running, "fast") == 200
        assert (await ask(running, "GET", "/history"))["data"][0]["by"] == "config"
