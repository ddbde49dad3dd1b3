"""opencode and Codex as users install them: nothing is refused that the upstream alone would serve.

The local models here have a small context and read only text, which is what people without a GPU have. opencode asks
for 32,000 tokens on every call; Codex describes to every model a tool with a property called `image_url`.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest

from tests.clients import scripted
from tests.clients.agents import run_codex, run_opencode
from tests.clients.tap import Tap
from tests.faults import FaultyUpstream
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.clients.agents import Run
    from tests.real.llamacpp import LlamaServer

YAML = """
providers:
  local: {{kind: llamacpp, base_url: "{base_url}"}}
models:
  main: {{model: local/tiny, lacks: [vision, audio], context: {context}}}
"""


class Agent(NamedTuple):
    """How an agent is run, and what it calls."""

    name: str
    run: Callable[..., Awaitable[Run]]
    path: str


OPENCODE = Agent("opencode", run_opencode, "/v1/chat/completions")
CODEX = Agent("codex", run_codex, "/v1/responses")
pytestmark = pytest.mark.deadline(120)
agents = pytest.mark.parametrize("agent", [OPENCODE, CODEX], ids=lambda agent: agent.name)


@asynccontextmanager
async def between(port: int, context: int) -> AsyncIterator[tuple[Tap, Tap]]:
    """Yield what a client is pointed at, and what the gateway asks: a listener on either side of it."""
    async with (
        Tap(port) as behind,
        serving(YAML.format(base_url=behind.base_url, context=context)) as running,
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


@agents
async def test_tools(agent: Agent, tmp_path: Path) -> None:
    """An agent calls its tool, sends the result, and ends with the answer. What it sent arrived, but for the model."""
    async with FaultyUpstream(scripted.answer) as upstream, between(upstream.port, 32_768) as (before, behind):
        run = await agent.run(before.base_url, tmp_path, "What is the password in notes.txt?")
        assert (run.code, scripted.WORDS in run.out) == (0, True), run.text
        assert set(before.statuses) == {200}
        sent, arrived = before.calls(agent.path), behind.calls(agent.path)
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


# What the gateway is told of the context decides who refuses: itself, or llama.cpp.
@pytest.mark.parametrize("context", [2048, 16_384], ids=["known", "overstated"])
@agents
async def test_too_long(small_llama: LlamaServer, agent: Agent, context: int, tmp_path: Path) -> None:
    """An agent whose prompt does not fit ends with a message. The server alone would have refused the same calls."""
    async with between(small_llama.port, context) as (before, behind):
        run = await agent.run(before.base_url, tmp_path, "hi")
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
