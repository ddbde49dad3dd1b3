"""A gateway between a scripted upstream or two and a client, in as few words as possible."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from tests.faults import Client, FaultyUpstream, chat
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.config import Config
    from tests.faults import Answer, Response
    from tests.serving import Running

ROLE_NAME = "role:rlm"
PATIENT = "connect: 500ms, first_byte: 2s, first_token: 2s, idle: 2s, total: 8s"
EVERY_DIALECT = "chat, responses, messages"
"""Calls pass straight, whatever their dialect."""
_NAMES = ("first", "second", "third", "fourth")


def url_of(port: int) -> str:
    """Return the base URL of an upstream on loopback."""
    return f"http://127.0.0.1:{port}/v1"


def config(
    *upstreams: FaultyUpstream | int,
    timeouts: str = PATIENT,
    stream_usage: bool = False,
    server: str = "{}",
    defaults: str = "",
    extra: str = "",
    speaks: str = EVERY_DIALECT,
) -> Config:
    """Return a configuration whose role `rlm` tries `upstreams` (or ports) in order, as first/m, second/m, ..."""
    lines = [f"server: {server}", f"defaults: {{timeouts: {{{timeouts}}}, {defaults}}}", "providers:"]
    names = _NAMES[: len(upstreams)]
    for name, upstream in zip(names, upstreams, strict=True):
        port = upstream if isinstance(upstream, int) else upstream.port
        usage = f", stream_usage: {str(stream_usage).lower()}"
        lines.append(f'  {name}: {{kind: openai-compatible, base_url: "{url_of(port)}", speaks: [{speaks}]{usage}}}')
    models = ", ".join(f"{name}/m" for name in names)
    lines += ["roles:", f"  rlm: {{models: [{models}]}}", extra]
    return config_of("\n".join(lines))


@asynccontextmanager
async def proxied(
    *answers: Answer,
    strict: bool = True,
    timeouts: str = PATIENT,
    stream_usage: bool = False,
    server: str = "{}",
    defaults: str = "",
    extra: str = "",
    speaks: str = EVERY_DIALECT,
) -> AsyncIterator[tuple[Running, list[FaultyUpstream]]]:
    """Run an upstream for each of `answers` (they always give it), and a gateway whose role tries them in order."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream(answer, strict=strict)) for answer in answers]
        configured = config(
            *upstreams, timeouts=timeouts, stream_usage=stream_usage, server=server, defaults=defaults, extra=extra,
            speaks=speaks,
        )  # fmt: skip
        yield await stack.enter_async_context(serving(configured)), upstreams


async def ask(running: Running, request: bytes | None = None, *, within_s: float = 10.0) -> Response:
    """Return what a client of its own gets for one request, a stream of the role unless told."""
    async with Client(running.port) as client:
        await client.send(request or chat(model=ROLE_NAME, stream=True))
        return await client.response(within_s=within_s)


async def until(reached: Callable[[], bool], within_s: float = 5.0, what: str = "it") -> float:
    """Wait until something is true; return when, on `time.monotonic`."""
    end = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < end, f"{what} did not happen within {within_s:g} s"
        await asyncio.sleep(0.001)
    return time.monotonic()


def in_flight(running: Running) -> float:
    """Return how many calls the gateway believes to be under way."""
    # To render all metrics takes 5 ms, and tests ask again and again.
    return sum(running.gateway.metrics._counts.in_flight.values())


async def exchange_is_over(running: Running, within_s: float = 2.0) -> None:
    """Wait until nothing of any call is left in the gateway."""
    await until(lambda: in_flight(running) == 0, within_s, "the end of all calls")
    await until(lambda: not running.server.server_state.tasks, within_s, "the end of all tasks")
