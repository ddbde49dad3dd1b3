"""`gateway models`: the catalog for people and for programs, and the promotion of what was found."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway.catalog import Row
from gateway.cli import main
from gateway.cli.models import _price, _tokens, _usual_alias
from gateway.stores.lists import Lists
from gateway.types import Capability, Price
from tests.cli.command import gateway_async
from tests.faults import FaultyUpstream, error_json, json_answer
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.faults.script import Script

YAML = """
providers:
  local: {{kind: llamacpp, base_url: "{0}"}}
  cloud: {{kind: openrouter, base_url: "{0}", api_key: k}}
  openai: {{api_key: "${{OPENAI_API_KEY:-}}"}}
models:
  main: {1}
  big: openai/gpt-5
roles:
  sight: {{models: [main], needs: [vision]}}
"""
NOWHERE = "http://127.0.0.1:9/v1"
NOBODY = "no gateway answers on this machine; --online asks the providers"


def models_listed() -> Script:
    """Return what a provider lists."""
    entries = [
        {"id": "acme/eagle-7b", "context_length": 32_768, "supported_parameters": ["tools"]},
        {"id": "acme/owl-7b:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "qwen3-vl-8b-instruct"},
    ]
    return json_answer({"object": "list", "data": entries})


def write(file: Path, base_url: str, main: str = "local/qwen3-vl-8b-instruct") -> str:
    """Write a configuration whose providers are at a URL, and return it."""
    text = YAML.format(base_url, main)
    file.write_text(text)
    return text


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["models", *args], catch_exceptions=False)


@pytest.fixture
def file(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_PORT", "9")
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(here / "state"))
    path = here / "gateway.yaml"
    write(path, NOWHERE)
    return path


def test_the_models_of_the_configuration(file: Path) -> None:
    """With what can be known of them, who serves them, and why one cannot be used."""
    done = run("--curated", "--json")
    rows = {row["model"]: row for row in json.loads(done.output)["curated"]}
    assert set(rows) == {"qwen3-vl-8b-instruct", "gpt-5"}
    assert rows["qwen3-vl-8b-instruct"]["used_by"] == ["main", "role:sight"]
    assert rows["qwen3-vl-8b-instruct"]["free"] is True
    assert rows["gpt-5"]["error"] == "no key; set OPENAI_API_KEY"
    assert rows["gpt-5"]["display_name"] == "GPT-5"


def test_for_people(file: Path) -> None:
    lines = run("--curated").output.splitlines()
    assert lines[0] == "In the configuration"
    assert lines[1].split("  ")[0] == "MODEL"
    assert any(line.startswith("qwen3-vl-8b-instruct") and "free" in line for line in lines)


def test_without_anybody_to_ask(file: Path) -> None:
    """What to do about it is said, and it is no failure."""
    done = run("--free")
    assert done.exit_code == 0
    assert f"In providers' lists\n{NOBODY}\n" in done.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--needs", "tols"), 'unknown capability "tols"; did you mean "tools"?\n'),
        (("--needs", "zzz"), f'unknown capability "zzz"; there are {", ".join(Capability)}\n'),
        (("--provider", "opnai"), 'no provider "opnai" is configured; did you mean "openai"?\n'),
        (("promote", "openai/gpt-4o", "--as", "main"),
         '"main" is already in use: it leads to local/qwen3-vl-8b-instruct; choose another with --as\n'),
        (("promote", "openai/gpt-4o", "--as", "role:x"),
         '"role:x" cannot name an alias: "role:" and "auto" are reserved; choose another with --as\n'),
        (("promote", "nobody-has-this"), f'no provider is known to serve "nobody-has-this"\n{NOBODY}\n'),
    ],
)  # fmt: skip
def test_mistakes(file: Path, args: tuple[str, ...], said: str) -> None:
    """Each is answered with a remedy, on standard error, and status 1."""
    done = run(*args)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", said)


def test_search_and_filters(file: Path) -> None:
    def found(*args: str) -> list[str]:
        return [row["model"] for row in json.loads(run("--curated", "--json", *args).output)["curated"]]

    assert found("--search", "GPT") == ["gpt-5"]
    assert found("--free") == ["qwen3-vl-8b-instruct"]
    assert found("--provider", "openai") == ["gpt-5"]
    assert found("--search", "nothing like it") == []


async def test_online(file: Path) -> None:
    """The providers are asked; what they say of their models is shown, and who could not be asked."""
    async with FaultyUpstream(lambda _: models_listed()) as upstream:
        write(file, upstream.base_url)
        env = {"GATEWAY_PORT": "9"}
        done = await gateway_async("models", "--online", "--discovered", "--json", cwd=file.parent, env=env)
        rows = {row["model"]: row for row in done.json["discovered"]}
        assert set(rows) == {"eagle-7b", "owl-7b:free"}
        assert rows["eagle-7b"]["context_tokens"] == 32_768
        assert rows["eagle-7b"]["upstreams"] == ["local/acme/eagle-7b", "cloud/acme/eagle-7b"]
        assert rows["owl-7b:free"]["free"] is True
        assert rows["owl-7b:free"]["refreshed_at"] > 0
        done = await gateway_async("models", "--online", "--needs", "tools", cwd=file.parent, env=env)
        assert "eagle-7b" in done.out
        assert "owl" not in done.out
    done = await gateway_async("models", "--online", cwd=file.parent, env=env)
    assert done.status == 0
    assert done.err.startswith("local: ")


async def test_a_gateway_that_runs_is_asked(file: Path) -> None:
    """It knows what its providers list; nobody else is asked."""
    async with FaultyUpstream(lambda _: models_listed()) as upstream:
        yaml = write(file, upstream.base_url)
        async with serving(yaml, discover=True) as running:
            async with asyncio.timeout(10):
                while "acme/eagle-7b" not in running.gateway.directory.bare:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.01)
            env = {"GATEWAY_PORT": str(running.port)}
            done = await gateway_async("models", "--discovered", "--json", cwd=file.parent, env=env)
            plain = (await gateway_async("models", cwd=file.parent, env=env)).out
    assert re.search(r"lists: local as of \d+ s ago, cloud as of \d+ s ago", plain)
    assert all(row["refreshed_at"] for row in done.json["discovered"])
    names, _, found = plain.partition("In providers' lists")
    assert names.startswith("NAME")
    assert "eagle-7b" not in names
    assert "eagle-7b" in found
    assert {row["model"] for row in done.json["discovered"]} == {"eagle-7b", "owl-7b:free"}


async def test_models_that_end(file: Path) -> None:
    """Those that a list has an end for, and those of the configuration that a list has no more."""
    listed = [{"id": "acme/owl-7b", "expiration_date": "2099-12-31"}, {"id": "acme/eagle-7b"}]
    async with FaultyUpstream(lambda _: json_answer({"object": "list", "data": listed})) as upstream:
        yaml = write(file, upstream.base_url, main="cloud/acme/gone")
        async with serving(yaml, discover=True) as running:
            async with asyncio.timeout(10):
                while "acme/eagle-7b" not in running.gateway.directory.bare:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.01)
            env = {"GATEWAY_PORT": str(running.port)}
            told = await gateway_async("models", "--ending", "--json", cwd=file.parent, env=env)
            shown = (await gateway_async("models", "--ending", cwd=file.parent, env=env)).out
        env = {"GATEWAY_PORT": "9"}
        asked = await gateway_async("models", "--ending", "--online", "--json", cwd=file.parent, env=env)
    for found in (told.json, asked.json):
        (gone,) = found["curated"]
        assert (gone["model"], gone["endings"][0]["is_gone"]) == ("gone", True)
        (ends,) = found["discovered"]
        assert {one["at"] for one in ends["endings"]} == {4_102_358_400.0}
    assert "retires on 2099-12-31" in shown
    assert "not in its provider's list since 20" in shown


async def test_lists_that_were_kept(file: Path) -> None:
    """Without a gateway that runs, the lists count that one has kept, with their age."""
    yaml = write(file, "http://127.0.0.1:9/v1")
    (file.parent / "state").mkdir(exist_ok=True)
    provider = config_of(yaml).directory.providers["local"]
    Lists(file.parent / "state").write(provider, ({"id": "acme/eagle-7b"},), time.time() - 200)
    done = run("--discovered")
    assert "eagle-7b" in done.output
    assert "lists: local as of 3 min" in done.output


async def test_a_gateway_that_wants_a_key(file: Path) -> None:
    async with FaultyUpstream(error_json(401)) as upstream:
        env = {"GATEWAY_PORT": upstream.base_url.removesuffix("/v1").rpartition(":")[2]}
        done = await gateway_async("models", "--discovered", cwd=file.parent, env=env)
        assert "the gateway on this machine requires a key; set GATEWAY_API_KEY" in done.out


def test_promote(file: Path, here: Path) -> None:
    """The alias is there at once, named after the model or as one likes."""
    done = run("promote", "cloud/acme/eagle-7b:free")
    assert done.exit_code == 0
    (overlay,) = (here / "state").glob("overlays/*/overlay.yaml")
    assert done.output == (
        f"eagle-7b leads to cloud/acme/eagle-7b:free ({overlay}); "
        "no gateway runs on it now, so it counts from the next start\n"
    )
    said = json.loads(run("promote", "openai/gpt-4o", "--as", "quick", "--json").output)
    assert (said["alias"], said["target"], said["stored"]) == ("quick", "openai/gpt-4o", True)
    assert "quick: openai/gpt-4o" in overlay.read_text()


def test_demote(file: Path, here: Path) -> None:
    """What was promoted is taken out again."""
    run("promote", "cloud/acme/eagle-7b:free")
    (overlay,) = (here / "state").glob("overlays/*/overlay.yaml")
    done = run("demote", "eagle-7c")
    assert (done.exit_code, done.stderr) == (1, 'no alias "eagle-7c" was promoted; did you mean "eagle-7b"?\n')
    done = run("demote", "eagle-7b")
    assert (done.exit_code, done.output.startswith(f"eagle-7b is removed from {overlay}; ")) == (0, True)
    assert "eagle" not in overlay.read_text()
    assert run("demote", "--json", "eagle-7b").exit_code == 1


def test_an_alias_of_another_project_is_no_obstacle(file: Path, here: Path) -> None:
    """Every command works, says what is left over, and how to be rid of it; the alias says why it is unusable."""
    run("promote", "cloud/acme/eagle-7b:free")
    file.write_text("providers: {local: {kind: ollama}}\nmodels: {main: local/m}\n")
    done = CliRunner().invoke(main, ["check"], catch_exceptions=False)
    assert done.exit_code == 0
    assert (
        'overlay.yaml:4:13: unknown model "cloud/acme/eagle-7b:free": no provider "cloud" is configured; the '
        "name has no upstream. Fix it, or remove it: gateway models demote eagle-7b" in done.output
    )
    assert "no usable upstream: eagle-7b" in done.output
    done = CliRunner().invoke(main, ["explain", "eagle-7b"], catch_exceptions=False)
    assert 'no provider "cloud" is configured' in done.output
    done = CliRunner().invoke(main, ["explain", "main"], catch_exceptions=False)
    assert (done.exit_code, "local/m" in done.output) == (0, True)


async def test_promote_what_somebody_lists(file: Path) -> None:
    """A bare id is enough where one provider has it; where several do they are named."""
    async with FaultyUpstream(lambda _: models_listed()) as upstream:
        env = {"GATEWAY_PORT": "9", "GATEWAY_STATE_DIR": str(file.parent / "state")}
        write(file, upstream.base_url)
        done = await gateway_async("models", "promote", "acme/eagle-7b", "--online", cwd=file.parent, env=env)
        assert done.status == 1
        assert done.err.splitlines()[1:] == ["  local/acme/eagle-7b", "  cloud/acme/eagle-7b"]
        done = await gateway_async("models", "promote", "gpt-5", "--as", "five", "--online", cwd=file.parent, env=env)
        assert done.out.startswith("five leads to openai/gpt-5 (")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, "?"), (4096, "4096"), (131_072, "131k"), (1_000_000, "1M"), (1_048_576, "1049k"), (2_000_000, "2M")],
)
def test_tokens(count: int | None, shown: str) -> None:
    assert _tokens(count) == shown


def test_prices() -> None:
    def row(price: Price | None, *, free: bool = False) -> Row:
        return Row("m", "m", "", (), None, None, price, free, True, (), ())

    assert _price(row(Price(150_000_000, 37_500_000))) == "0.15 in, 0.0375 out"
    assert _price(row(Price(75_000_000_000, 0))) == "75.00 in, 0.00 out"
    assert _price(row(None)) == "?"
    assert _price(row(None, free=True)) == "free"


@pytest.mark.parametrize(
    ("target", "alias"),
    [("openrouter/google/gemma-3-27b-it:free", "gemma-3-27b-it"), ("ollama/qwen3:8b", "qwen3"), ("openai/o3", "o3")],
)
def test_usual_alias(target: str, alias: str) -> None:
    assert _usual_alias(target) == alias
