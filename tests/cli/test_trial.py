"""`gateway test` asks each provider for its models, a chat and a stream, and says which of them work."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.cli.trial import Subject, chats, try_out
from gateway.types import Candidate, Provider, Upstream
from tests.cli.command import gateway, gateway_async
from tests.faults import FaultyUpstream, error_json, json_answer, like_openai, refuse_port
from tests.real.conftest import llama
from tests.real.llamacpp import MODEL, LlamaServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults import Request, Script

__all__ = ["llama"]  # a fixture


def like_a_provider(*models: str) -> Callable[[Request], Script]:
    """Return an answer that lists models, chats and streams."""
    answer = like_openai()
    return lambda asked: (
        json_answer({"data": [{"id": one} for one in models]}) if asked.method == "GET" else answer(asked)
    )


async def test_a_real_server(llama: LlamaServer, tmp_path: Path) -> None:
    """A real llama.cpp server passes, found in the configuration by nothing but its address."""
    (tmp_path / "gateway.yaml").write_text(
        f"providers: {{local: {{kind: llamacpp, base_url: '{llama.base_url}'}}}}\nroles: {{main: local/{MODEL}}}\n"
    )
    for args in (("test",), ("test", "role:main")):
        done = await gateway_async(*args, cwd=tmp_path)
        assert (done.status, done.err) == (0, "")
        head, models, chat, stream, _, summary = done.out.splitlines()
        assert head == f"local/{MODEL}  {llama.base_url}"
        assert models.split()[:2] == ["models", "ok"]
        assert models.endswith("1 listed")
        assert chat.split()[:2] == ["chat", "ok"]
        assert chat.endswith("+ 64 tokens")
        assert stream.split()[:2] == ["stream", "ok"]
        assert "first token after" in stream
        assert "67 chunks" in stream
        assert summary == "1 passed, 0 failed"


def test_the_demo(tmp_path: Path) -> None:
    """The built-in model can be tried too, by its name and where there is nothing else."""
    (tmp_path / "gateway.yaml").write_text("providers: {openai: {api_key: ''}}")
    for args in (("test",), ("test", "demo/echo")):
        done = gateway(*args, cwd=tmp_path)
        assert done.status == 0
        assert "demo/echo  built in\n" in done.out
        assert "1 passed, 0 failed" in done.out


async def test_one_good_one_bad_one_without_its_key(tmp_path: Path) -> None:
    """Each provider has its lines, each failure its remedy; the summary counts, and the status says it too."""
    async with FaultyUpstream(like_a_provider("m")) as good, FaultyUpstream(error_json(401)) as bad:
        (tmp_path / "gateway.yaml").write_text(
            "providers:\n"
            f"  good: {{base_url: '{good.base_url}', models: [m]}}\n"
            f"  bad: {{base_url: '{bad.base_url}', api_key: sk-bad-0123456789, models: [m]}}\n"
            "  openai: {api_key: '${OPENAI_API_KEY:-}'}\n"
        )
        done = await gateway_async("test", cwd=tmp_path)
        told = await gateway_async("test", "--json", cwd=tmp_path)
        assert (done.status, done.err) == (1, "")
        assert "bad did not accept the key (HTTP 401: scripted); check its api_key\n" in done.out
        assert "openai: skipped, no key; set OPENAI_API_KEY\n" in done.out
        assert done.out.endswith("\n1 passed, 1 failed, 1 skipped\n")
        assert "sk-bad" not in done.out + told.out
        assert (told.json["passed"], told.json["failed"]) == (1, 1)
        assert told.json["skipped"] == [{"upstream": "openai", "reason": "no key; set OPENAI_API_KEY"}]
        [passed] = [one for one in told.json["tests"] if one["passed"]]
        assert passed["stream"]["chunks"] == 4
        assert passed["chat"]["usage"]["output_tokens"] == 2
        # One list, one chat, one stream; twice, because it was run twice.
        assert [request.method for request in good.requests] == ["GET", "POST", "POST"] * 2


async def test_a_name_is_tried_with_all_its_candidates(tmp_path: Path) -> None:
    """What NAME leads to is tried in its order, with its parameters; nothing else is asked anything."""
    async with FaultyUpstream(like_a_provider("x", "y")) as upstream, FaultyUpstream() as other:
        (tmp_path / "gateway.yaml").write_text(
            "providers:\n"
            f"  a: {{base_url: '{upstream.base_url}'}}\n"
            f"  b: {{base_url: '{other.base_url}', models: [z]}}\n"
            "roles: {r: {models: [a/x, a/y], params: {temperature: 0.5}}}\n"
        )
        done = await gateway_async("test", "role:r", cwd=tmp_path)
        assert done.status == 0
        assert done.out.endswith("2 passed, 0 failed\n")
        assert [one.json["model"] for one in upstream.requests if one.method == "POST"] == ["x", "x", "y", "y"]
        assert upstream.requests[1].json["temperature"] == 0.5
        assert other.requests == []


def test_a_name_that_nobody_answers(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("providers: {openai: {api_key: ''}}\nroles: {r: openai/gpt-5}")
    done = gateway("test", "role:r", cwd=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith('"role:r" has no usable upstream (openai/gpt-5: no key')


async def test_whoever_cannot_be_reached_is_asked_once() -> None:
    """One refused connection says it all."""
    with refuse_port() as port:
        gone = Provider("gone", "openai", f"http://127.0.0.1:{port}/v1")
        [trial] = await try_out([Subject(gone, Candidate(Upstream(gone, "m")))], tell=lambda _: None)
    assert not trial.passed
    assert [(line.what, line.ok) for line in trial.lines] == [("models", False), ("chat", None), ("stream", None)]


async def test_a_model_that_is_not_configured() -> None:
    """On this machine any model of the list will do; elsewhere nobody's expensive one is called unasked."""
    async with FaultyUpstream(like_a_provider("nomic-embed-text", "big")) as upstream:
        here = Provider("here", "ollama", upstream.base_url, local=True)
        elsewhere = replace(here, name="elsewhere", local=False)
        trials = await try_out([Subject(here), Subject(elsewhere)], tell=lambda _: None)
        assert [trial.name for trial in trials] == ["here/big", "elsewhere"]
        assert [trial.passed for trial in trials] == [True, True]
        assert trials[1].lines[1].detail.startswith("not asked: none of its models is configured")
        assert {one.json["model"] for one in upstream.requests if one.method == "POST"} == {"big"}


@pytest.mark.parametrize(("model", "chat"), [("gpt-5", True), ("text-embedding-3-small", False), ("whisper-1", False)])
async def test_models_that_do_not_chat(model: str, chat: bool) -> None:
    """A model for something else is not asked to chat, which would only fail."""
    assert chats(model) is chat
    async with FaultyUpstream(like_a_provider(model)) as upstream:
        provider = Provider("p", "openai", upstream.base_url)
        [trial] = await try_out([Subject(provider, Candidate(Upstream(provider, model)))], tell=lambda _: None)
        assert trial.passed
        assert any(one.method == "POST" for one in upstream.requests) is chat


async def test_where_there_is_nothing_to_ask(tmp_path: Path) -> None:
    """A provider without a list and without a model is neither passed nor failed."""
    async with FaultyUpstream(error_json(404)) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{p: {{base_url: '{upstream.base_url}'}}}}")
        done = await asyncio.to_thread(gateway, "test", cwd=tmp_path)
        assert (done.status, done.out.splitlines()[-1]) == (0, "0 passed, 0 failed, 1 skipped")


async def test_verbose(tmp_path: Path) -> None:
    """The key with its last four characters only, the models' names, the answer and the chunks."""
    async with FaultyUpstream(like_a_provider("m", "n")) as upstream:
        (tmp_path / "gateway.yaml").write_text(
            f"providers: {{p: {{base_url: '{upstream.base_url}', api_key: sk-not-to-be-shown-wxyz, models: [m]}}}}\n"
        )
        done = await gateway_async("test", "--verbose", cwd=tmp_path)
        plain = await gateway_async("test", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    shown = {line.split()[0]: line[10:] for line in done.out.splitlines() if line.startswith("  ")}
    assert shown["key"] == "…wxyz"
    assert shown["names"] == "m, n"
    assert shown["answer"] == "'Hello!'"
    assert shown["chunks"] == "'Hel' 'lo'"
    assert "not-to-be-shown" not in done.out
    assert "answer" not in plain.out


async def test_without_a_configuration(tmp_path: Path) -> None:
    """A kind, its endpoint and a model on the command line, the key in the environment."""
    env = {"RUNPOD_API_KEY": "rpa_0123456789abcd"}
    async with FaultyUpstream(like_a_provider("m")) as upstream:
        at = ("--kind", "runpod", "--base-url", upstream.base_url, "--model", "m")
        done = await gateway_async("test", *at, "--verbose", cwd=tmp_path, env=env)
    assert (done.status, done.err) == (0, "")
    assert f"runpod/m  {upstream.base_url}" in done.out
    assert "  models  ok" in done.out
    assert "…abcd" in done.out
    assert "1 passed, 0 failed" in done.out


@pytest.mark.parametrize(
    ("args", "env", "status", "said"),
    [
        (("--kind", "runpod", "--endpoint-id", "abc", "--model", "m"), {}, 1, "no key; set RUNPOD_API_KEY"),
        (("--kind", "runpot"), {}, 2, 'unknown kind "runpot"; did you mean "runpod"?'),
        (("--model", "m"), {}, 2, "belong to --kind"),
        (("--kind", "openai", "role:x"), {}, 2, "takes no NAME"),
    ],
)
def test_mistakes_without_a_configuration(
    tmp_path: Path, args: tuple[str, ...], env: dict[str, str], status: int, said: str
) -> None:
    done = gateway("test", *args, cwd=tmp_path, env=env)
    assert (done.status, said in done.err) == (status, True), done.err
