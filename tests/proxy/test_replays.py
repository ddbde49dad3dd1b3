"""Only whole answers are kept, and neither slow clients nor a slow Redis harm anybody else."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.caching import Entry
from gateway.proxy.caching import Caching, Hit
from gateway.stores.cache import DEADLINE_S, MemoryCache, RedisCache
from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    FaultyUpstream,
    Pause,
    Stall,
    chat,
    chat_json,
    chat_stream,
    cut,
    delta,
    error_event,
    error_json,
    finish,
    json_answer,
    stream_head,
)
from tests.proxy.keeping import (
    ALWAYS,
    CHAT,
    NOW,
    STREAM,
    Clock,
    Scene,
    configured,
    keeping,
    posted,
    responses_stream,
)
from tests.proxy.scene import ROLE_NAME, exchange_is_over, until
from tests.proxy.test_recording import Scripted
from tests.serving import serving
from tests.stores.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults import Script

BROKEN: dict[str, tuple[bytes, Script]] = {
    "an error in the stream": (STREAM, (stream_head(), ROLE, delta("a"), error_event(), End())),
    "an error, then an end": (STREAM, (stream_head(), ROLE, delta("a"), error_event(), DONE, End())),
    "no end, perhaps with a choice missing": (STREAM, chat_stream("Hel", "lo", done=False)),
    "a reason that is none": (STREAM, (stream_head(), ROLE, delta("a"), finish("error"), DONE, End())),
    "no reason": (STREAM, (stream_head(), ROLE, delta("a"), DONE, End())),
    "silence": (STREAM, (stream_head(), ROLE, delta("a"), Stall())),
    "a coding": (STREAM, chat_stream("Hel", "lo", compress=True)),
    "a coding of JSON": (CHAT, chat_json("Hello", compress=True)),
    "an error instead": (CHAT, error_json(400)),
    "an error in the answer": (CHAT, json_answer({"error": {"message": "no"}})),
    "a plain answer with a reason that is none": (CHAT, json_answer({"choices": [{"finish_reason": "error"}]})),
    "another status": (CHAT, json_answer({"id": 1}, 202)),
    "a response that failed": (posted("responses", {"input": "", "stream": True}), responses_stream("response.failed")),
    "a response without an end": (
        posted("responses", {"input": "", "stream": True}),
        (*responses_stream()[:-2], End()),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_not_whole_is_not_kept(name: str) -> None:
    """Each call goes to the upstream anew, and gets what that says then."""
    sent, answer = BROKEN[name]
    async with keeping(answer) as scene:
        await scene.ask(sent)
        await exchange_is_over(scene.running)
        assert (await scene.ask(sent)).headers.get("x-gateway-cache") in ("miss", None)
        assert scene.asked >= 2
        assert scene.hits == 0


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_a_stream_that_breaks_anywhere_is_not_kept(framing: Any) -> None:
    """Wherever it is cut; what is kept in the end is what was whole."""
    whole = chat_stream("Hel", "lo", framing=framing)
    async with keeping(whole) as scene:
        (upstream,) = scene.upstreams
        size = sum(len(step.content) for step in whole if isinstance(step, Body))
        for number, at in enumerate(range(200, 200 + size, 17)):
            upstream.script(cut(whole, at))
            sent = chat(f"{number}", model=ROLE_NAME, stream=True)
            response = await scene.ask(sent)
            await exchange_is_over(scene.running)
            asked = scene.asked
            upstream.script(whole)
            again = await scene.ask(sent)
            assert again.complete
            if again.headers["x-gateway-cache"] == "hit":  # then all of it had come, and only the framing was missing
                assert response.complete
                assert again.body == response.body
                assert b"[DONE]" in again.body
            else:
                assert scene.asked == asked + 1


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_stream_that_nobody_heard_to_its_end_is_not_kept(how: str) -> None:
    """A client that hangs up ends the upstream's answer too."""
    slow: Script = (stream_head(), ROLE, delta("a"), Pause(0.2), delta("b"), finish(), DONE, End())
    async with keeping(slow) as scene:
        async with Client(scene.running.port) as client:
            await client.send(STREAM)
            response = await client.head()
            await client.chunk(response)
            client.fin() if how == "fin" else client.reset()
        await exchange_is_over(scene.running)
        assert await scene.states(STREAM, STREAM) == ["miss", "hit"]


async def test_an_answer_that_is_too_long_passes_and_is_not_kept() -> None:
    """However it comes."""
    text = "x" * 40_000
    for sent, answer in ((CHAT, chat_json(text)), (STREAM, chat_stream(*[text[:1000]] * 40))):
        async with keeping(answer, policy="{nondeterministic: true, max_entry: 32KB}") as scene:
            first, second = await scene.ask(sent), await scene.ask(sent)
            assert (first.headers["x-gateway-cache"], second.headers["x-gateway-cache"]) == ("miss", "miss")
            assert first.body == second.body
            assert len(first.body) > 40_000


async def test_calls_at_the_same_time_each_go_upstream() -> None:
    """Nobody waits for another's answer: it might never be whole."""
    slow: Script = (*chat_stream("Hel", "lo")[:2], Pause(0.1), *chat_stream("Hel", "lo")[2:])
    async with keeping(slow) as scene:
        found = await asyncio.gather(*(scene.states(STREAM) for _ in range(5)))
        assert [one for (one,) in found] == ["miss"] * 5
        assert scene.asked == 5
        assert await scene.states(STREAM) == ["hit"]


# -- clients that leave, and that do not read

# More than the kernel takes off the gateway's hands.
MANY = ["y" * 20_000] * 1000


@asynccontextmanager
async def with_a_long_stream() -> AsyncIterator[tuple[Scene, bytes]]:
    """Run a gateway that keeps a stream of 20 MB, and yield that too."""
    policy, clock = "{nondeterministic: true, max_entry: 32MB}", Clock()
    cache = MemoryCache(64 << 20, clock)
    async with keeping(chat_stream(*MANY), policy=policy, cache=cache, clock=clock) as scene:
        first = await scene.ask(STREAM)
        assert len(first.body) > 20_000_000
        yield scene, first.body


async def test_a_client_that_does_not_read_is_waited_for() -> None:
    """Little of the answer is ever in the connection's buffer, and all of it arrives when it reads again."""
    async with with_a_long_stream() as (scene, expected):
        async with Client(scene.running.port, receive_buffer=8192) as client:
            await client.send(STREAM)
            response = await client.head()
            assert response.headers["x-gateway-cache"] == "hit"
            await asyncio.sleep(0.1)
            assert len(scene.running.server.server_state.tasks) == 1
            (connection,) = scene.running.server.server_state.connections
            assert connection.transport.get_write_buffer_size() < 200_000
            await client.finish(response)
            assert response.complete
            assert response.body == expected
            await client.send(STREAM)
            assert (await client.response()).body == expected
        assert scene.asked == 1


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_client_that_hangs_up_during_a_replay(how: str) -> None:
    """Nothing of it is left, and the answer is there for the next."""
    async with with_a_long_stream() as (scene, expected):
        async with Client(scene.running.port, receive_buffer=8192) as client:
            await client.send(STREAM)
            await client.chunk(await client.head())
            client.fin() if how == "fin" else client.reset()
        await until(lambda: not scene.running.server.server_state.tasks, 2.0, "the end of the replay")
        left = scene.running.audit.settlements[-1]
        assert (left.status, left.hung_up, left.cached) == (499, True, True)
        again = await scene.ask(STREAM)
        assert (again.body, again.headers["x-gateway-cache"]) == (expected, "hit")
        assert scene.asked == 1


async def test_a_replay_waits_for_its_client_and_leaves_nothing_with_it() -> None:
    """It goes on when it may, ends when the client leaves, and then nobody calls it any more."""
    entry = Entry(NOW, NOW + 60, b"a: b\r\n", (b"one", b"two", b"three"), None)
    for leaves in (False, True):
        client = Scripted(asyncio.get_running_loop(), full_after=3)
        replay = asyncio.get_running_loop().create_task(Hit(entry, 7.9).replay(client, b"req_1"))
        head = b"a: b\r\nx-request-id: req_1\r\nx-gateway-cache: hit\r\nage: 7\r\n"
        expected: list[tuple[object, ...]] = [("start", 200, head, None), ("write", b"one"), ("write", b"two")]
        for more in ((), (("write", b"three"),)):
            await asyncio.sleep(0.01)
            expected += more
            assert client.calls == expected
            client.gone = leaves
            wake = client.on_hang_up if leaves else client.on_writable
            if wake is not None:
                wake()
            if leaves:
                break
        await replay
        assert client.calls == expected + [("finish",)] * (not leaves)
        assert (client.on_hang_up, client.on_writable) == (None, None)


async def test_a_replay_that_is_cut_short_by_the_gateway_does_not_look_whole() -> None:
    """Whoever ends it ends the connection too."""
    async with with_a_long_stream() as (scene, _), Client(scene.running.port, receive_buffer=8192) as client:
        await client.send(STREAM)
        response = await client.head()
        await asyncio.sleep(0.05)
        (task,) = scene.running.server.server_state.tasks
        task.cancel()
        await client.finish(response)
        assert not response.complete
        assert response.broken_by is not None
        ended = scene.running.audit.settlements[-1]
        assert (ended.status, ended.hung_up, ended.cached) == (503, False, True)


# -- Redis


async def test_gateways_share_answers_through_redis(tmp_path: Path) -> None:
    """One asks and both serve; without Redis each goes on with what it has, and nobody waits."""
    with redis_server(tmp_path) as server:
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(FaultyUpstream(chat_stream("Hel", "lo")))
            scenes = []
            for _ in range(2):
                cache = RedisCache(MemoryCache(1 << 20), server.url)
                stack.push_async_callback(cache.close)
                running = await stack.enter_async_context(serving(configured([upstream], ALWAYS)))
                scenes.append(Scene(running, [upstream], Caching(cache)))
            one, two = scenes
            expected = (await one.ask(STREAM)).body
            # The write is not waited for, and neither is the second gateway's first connection.
            deadline = monotonic() + 5.0
            while (await two.ask(STREAM)).headers["x-gateway-cache"] == "miss" and monotonic() < deadline:
                await one.ask(chat(model=ROLE_NAME, stream=True, headers={"cache-control": "no-cache"}))
            assert (await two.ask(STREAM)).body == expected
            with server.stopped():
                await goes_on(two)
            server.kill()
            await goes_on(one)
            assert await one.states(STREAM) == await two.states(STREAM) == ["hit"]


async def test_a_client_that_leaves_during_a_look_up_costs_nothing(tmp_path: Path) -> None:
    """Nobody would tell the exchange that it has."""
    with redis_server(tmp_path) as server:
        cache = RedisCache(MemoryCache(1 << 20), server.url)
        async with keeping(chat_json(), cache=cache) as scene:
            with server.stopped():
                async with Client(scene.running.port) as client:
                    await client.send(CHAT)
                    client.reset()
                await asyncio.sleep(0.05)
            await until(lambda: not scene.running.server.server_state.tasks, 2.0, "the end of the call")
            assert scene.asked == 0
            await cache.close()


async def goes_on(scene: Scene) -> None:
    """Ask for what nobody kept, again and again: the slowest is about as fast as an upstream and a look-up."""
    for number in range(20):
        started = monotonic()
        response = await scene.ask(chat(f"{id(scene)} {number}", model=ROLE_NAME, stream=True))
        assert response.complete
        assert response.headers["x-gateway-cache"] == "miss"
        assert monotonic() - started < DEADLINE_S + 0.2
