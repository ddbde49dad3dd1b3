"""A gateway that keeps answers, and calls whose answers it may keep."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from gateway.proxy.caching import Caching
from gateway.stores.cache import MemoryCache
from tests.faults import (
    Body,
    Client,
    End,
    FaultyUpstream,
    chat,
    event,
    request,
    stream_head,
)
from tests.proxy.scene import EVERY_DIALECT, ROLE_NAME, url_of
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from gateway.core.caching import Entry
    from gateway.stores.cache import Cache
    from tests.faults import Answer, Response, Script
    from tests.serving import Running

NOW = 1_790_000_000.0
TIMERS = "connect: 500ms, first_byte: 2s, first_token: 2s, idle: 300ms, total: 8s"
ALWAYS = "{ttl: 1h, nondeterministic: true}"


class Clock:
    """Wall-clock seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Scene:
    """A gateway that keeps answers, its upstreams, and what it served from what it kept."""

    def __init__(self, running: Running, upstreams: list[FaultyUpstream], caching: Caching) -> None:
        self.running = running
        self.upstreams = upstreams
        self.caching = running.gateway.caching = caching

    @property
    def kept(self) -> list[Entry]:
        """The answers that are kept in memory."""
        cache = self.caching._cache
        return list(cache._kept.values()) if isinstance(cache, MemoryCache) else []

    @property
    def hits(self) -> float:
        """How many calls were served from what was kept."""
        return sum(self.running.metric(f'gateway_cache_hits_total{{route="{route}"}}') for route in (ROLE_NAME, "main"))

    @property
    def asked(self) -> int:
        """How many requests reached an upstream."""
        return sum(len(one.requests) for one in self.upstreams)

    async def ask(self, sent: bytes) -> Response:
        """Return what a client of its own gets."""
        async with Client(self.running.port) as client:
            await client.send(sent)
            return await client.response()

    async def states(self, *sent: bytes) -> list[str]:
        """Return what each of these is said to be in `x-gateway-cache`, one after the other."""
        return [(await self.ask(one)).headers.get("x-gateway-cache", "") for one in sent]


def configured(
    upstreams: list[FaultyUpstream], cache: str, *, role: str = "", server: str = "{}", speaks: str = EVERY_DIALECT
) -> str:
    """Return a configuration whose role `rlm` keeps answers, and whose alias `main` does not."""
    lines = [f"server: {server}", f"defaults: {{timeouts: {{{TIMERS}}}}}", "providers:"]
    names = ("first", "second")[: len(upstreams)]
    for name, upstream in zip(names, upstreams, strict=True):
        lines.append(
            f'  {name}: {{kind: openai-compatible, base_url: "{url_of(upstream.port)}", stream_usage: true,'
            f" speaks: [{speaks}]}}"
        )
    models = ", ".join(f"{name}/m" for name in names)
    lines += ["models: {main: first/m}", "roles:", f"  rlm: {{models: [{models}], cache: {cache}{role}}}"]
    return "\n".join(lines)


@asynccontextmanager
async def keeping(
    *answers: Answer,
    policy: str = ALWAYS,
    role: str = "",
    server: str = "{}",
    cache: Cache | None = None,
    clock: Callable[[], float] | None = None,
    speaks: str = EVERY_DIALECT,
) -> AsyncIterator[Scene]:
    """Run an upstream for each of `answers`, and a gateway that keeps what they answer.

    Without a `clock` it is always the same moment.
    """
    now = clock or Clock()
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream(one, strict=False)) for one in answers]
        config = configured(upstreams, policy, role=role, server=server, speaks=speaks)
        running = await stack.enter_async_context(serving(config))
        yield Scene(running, upstreams, Caching(cache or MemoryCache(8 << 20, now), now))


def posted(path: str, asked: Mapping[str, object], **headers: str) -> bytes:
    return request("POST", f"/v1/{path}", {"model": ROLE_NAME, **asked}, headers)


CHAT = chat(model=ROLE_NAME)
STREAM = chat(model=ROLE_NAME, stream=True)
RESPONSE = {"id": "resp_1", "status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 1}}


def responses_stream(last: str = "response.completed") -> Script:
    events: dict[str, dict[str, object]] = {
        "response.created": {},
        "response.output_text.delta": {"delta": "Hi"},
        last: {"response": {**RESPONSE, "status": last.removeprefix("response.")}},
    }
    named = (Body(b"event: %b\n" % name.encode() + event({"type": name, **more})) for name, more in events.items())
    return (stream_head(), *named, End())
