"""opencode, Codex and Claude Code as users install them: nothing is refused that the upstream alone would serve.

The local models here have a small context and read only text, which is what people without a GPU have. opencode asks
for 32,000 tokens on every call; Codex describes to every model a tool with a property called `image_url`.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.clients import provider
from tests.clients.agents import run_claude_code, run_codex, run_opencode
from tests.clients.matrix import AGENTS, CLAUDE_CODE, CODEX, OPENCODE
from tests.clients.provider.replies import WORDS
from tests.clients.tap import Tap
from tests.faults import FaultyUpstream
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from tests.clients.matrix import Agent
    from tests.clients.processes import Run
    from tests.real.llamacpp import LlamaServer

YAML = """
providers:
  local: {{kind: llamacpp, base_url: "{base_url}"{speaks}}}
models:
  main: {{model: local/tiny, lacks: [vision, audio], context: {context}}}
"""


RUN: Mapping[Agent, Callable[..., Awaitable[Run]]] = {
    OPENCODE: run_opencode,
    CODEX: run_codex,
    CLAUDE_CODE: run_claude_code,
}
pytestmark = [pytest.mark.deadline(120), pytest.mark.usefixtures("packages")]
agents = pytest.mark.parametrize("agent", [OPENCODE, CODEX], ids=lambda agent: agent.name)


@asynccontextmanager
async def between(port: int, context: int, speaks: str = "chat, responses") -> AsyncIterator[tuple[Tap, Tap]]:
    """Yield what a client is pointed at, and what the gateway asks: a listener on either side of it.

    llama.cpp's Responses are good enough for Codex, whose bytes pass unchanged if `speaks` names them.
    """
    async with (
        Tap(port) as behind,
        serving(YAML.format(base_url=behind.base_url, context=context, speaks=f", speaks: [{speaks}]")) as running,
        Tap(running.port) as before,
    ):
        yield before, behind


def renamed(body: bytes) -> bytes:
    """A client's body as the upstream knows the model."""
    return body.replace(b'"model":"main"', b'"model":"tiny"', 1)


async def status_of(server: LlamaServer, path: str, body: bytes) -> int:
    """Return how the server answers a body without a gateway, as soon as it begins to."""
    async with (
        httpx.AsyncClient() as client,
        client.stream(
            "POST", f"http://127.0.0.1:{server.port}{path}", content=body, headers={"content-type": "application/json"}
        ) as response,
    ):
        return response.status_code


def with_upstreams() -> list[object]:
    """Each agent with each of its upstreams."""
    pairs = [(agent, upstream) for agent in AGENTS for upstream in agent.upstreams]
    return [pytest.param(agent, dialect, id=f"{agent.name}-{dialect}") for agent, dialect in pairs]


KINDS = {"chat": "openai-compatible", "messages": "anthropic", "responses": "openai"}


@pytest.mark.parametrize(("agent", "upstream_speaks"), with_upstreams(), ids=str)
async def test_tools(agent: Agent, upstream_speaks: str, tmp_path: Path) -> None:
    """An agent calls its tool, sends the result, and ends with the answer.

    If the upstream speaks the agent's dialect, then what the agent sent arrived, but for the model.
    """
    yaml = f"""
    providers:
      one: {{{{kind: {KINDS[upstream_speaks]}, base_url: "{{base_url}}", api_key: sk-1}}}}
    models:
      main: {{{{model: one/tiny, context: 100k}}}}
    """
    async with (
        FaultyUpstream(provider.speaking(upstream_speaks)) as upstream,
        serving(yaml.format(base_url=upstream.base_url)) as running,
        Tap(running.port) as before,
    ):
        run = await RUN[agent](before.base_url, tmp_path, "What is the password in notes.txt?")
        assert (run.code, WORDS in run.out) == (0, True), run.text
        assert set(before.statuses) == {200}
        assert {one.target for one in upstream.requests} <= provider.targets_of(upstream_speaks)
        sent = before.calls(agent.path)
        arrived = [one.body for one in upstream.requests]
        if upstream_speaks == agent.dialect:
            assert sorted(map(renamed, sent)) == sorted(arrived)
        assert any(b"The password is swordfish." in body for body in arrived), "it never read the file"


async def test_opencode_on_a_tight_context(tight_llama: LlamaServer, tmp_path: Path) -> None:
    """It asks for three times as many tokens as the model has, and is served."""
    async with between(tight_llama.port, 9_984) as (before, behind):
        run = await run_opencode(before.base_url, tmp_path, "hi", with_title=False)
        assert run.code == 0, run.text
        assert set(before.statuses) == {200}
        sent = before.calls(OPENCODE.path)
        assert {json.loads(body)["max_tokens"] for body in sent} == {32_000}
        assert [renamed(body) for body in sent] == behind.calls(OPENCODE.path)


async def test_codex_on_a_model_that_cannot_see(roomy_llama: LlamaServer, tmp_path: Path) -> None:
    """Its tools have a property called `image_url`; that is no picture."""
    async with between(roomy_llama.port, 24_576) as (before, behind):
        run = await run_codex(before.base_url, tmp_path, "hi")
        assert run.code == 0, run.text
        assert set(before.statuses) == {200}
        sent = before.calls(CODEX.path)
        assert all(b'"image_url"' in body for body in sent)
        assert [renamed(body) for body in sent] == behind.calls(CODEX.path)


@pytest.mark.parametrize("context", [4096, 24_576], ids=["too long", "roomy"])
async def test_codex_over_a_bridge(roomy_llama: LlamaServer, context: int, tmp_path: Path) -> None:
    """An old llama.cpp has only chat. Codex hears in its own dialect of a full context and of an answer cut short."""
    async with between(roomy_llama.port, context, "chat") as (before, behind):
        run = await run_codex(before.base_url, tmp_path, "hi")
        assert run.code is not None, "it tried for ever"
        assert set(before.statuses) == ({200} if context == 24_576 else {400})
        if context == 24_576:
            assert run.code == 0 or "max_output_tokens" in run.err, run.text
            assert behind.calls(OPENCODE.path)
        else:
            assert "context" in run.err
            assert {error["code"] for error in before.refusals} == {"context_length_exceeded"}


# What the gateway is told of the context decides who refuses: itself, or llama.cpp.
@pytest.mark.parametrize("context", [2048, 16_384], ids=["known", "overstated"])
@agents
async def test_too_long(small_llama: LlamaServer, agent: Agent, context: int, tmp_path: Path) -> None:
    """An agent whose prompt does not fit ends with a message. The server alone would have refused the same calls."""
    async with between(small_llama.port, context) as (before, behind):
        run = await RUN[agent](before.base_url, tmp_path, "hi")
        assert run.code == 1, "it tried for ever" if run.code is None else run.text
        assert "context" in run.err
        sent, arrived = before.calls(agent.path), behind.calls(agent.path)
        assert len(sent) < 8
        assert set(before.statuses) <= {200, 400}
        assert {renamed(body) for body in sent} >= set(arrived)
        assert {error["code"] for error in before.refusals} == {"context_length_exceeded"}
        kept_back = {renamed(body) for body in sent} - set(arrived)
        assert bool(kept_back) == (context == 2048)
        for body in kept_back:
            assert await status_of(small_llama, agent.path, body) == 400
