"""A configuration that is read again is used by new calls; those under way end as they began."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.background.reloading import FAILED, LOADED, UNCHANGED, Feed, News, Reader, Reloading
from gateway.errors import ConfigError
from gateway.proxy.ruleset import Reading
from gateway.types import Ability
from tests.faults import Client, FaultyUpstream, Pause, chat, chat_json, chat_stream, error_json, request
from tests.proxy.scene import until
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Sequence

    from gateway.config import Config
    from gateway.proxy.ruleset import Ruleset
    from tests.faults import Response
    from tests.serving import Running

KEY, OTHER = "sk-gateway-0123456789abcdef", "sk-gateway-fedcba9876543210"
STREAM = chat_stream("Hel", "lo")
SLOW = (*STREAM[:3], Pause(0.3), *STREAM[3:])
A, B = config_of("models: {main: demo/echo}"), config_of("models: {main: demo/echo, more: demo/echo}")


class Files:
    """A source whose files are what a test says they are."""

    def __init__(self, *versions: Config | Exception, waits: tuple[str, ...] = ()) -> None:
        self.stamps = 0
        self._versions = iter(versions)
        self._waits = waits

    def stamp(self) -> Hashable:
        return self.stamps

    def load(self) -> tuple[Config, tuple[str, ...]]:
        self.stamps += isinstance(version := next(self._versions), Exception)  # somebody goes on writing
        if isinstance(version, Exception):
            raise version
        return version, self._waits


def reader(files: Files, config: Config = A) -> Reader:
    return Reader(files, config, files.stamp(), News(loaded_at=1.0), lambda: 100.0)


@pytest.mark.parametrize(
    ("stamps", "changed"),
    [
        ([0, 0], [False, False]),
        ([1, 1, 1], [False, True, True]),  # until it is read
        ([1, 2, 3, 3], [False, False, False, True]),  # it is still being written
        ([1, 0, 0], [False, False, False]),  # an editor has moved it away and back
    ],
)  # fmt: skip
def test_files_are_read_once_they_are_written(stamps: list[int], changed: list[bool]) -> None:
    files = Files()
    found = reader(files)
    for stamp, expected in zip(stamps, changed, strict=True):
        files.stamps = stamp
        assert found.has_changed() is expected


def test_what_changes_while_it_is_read_is_read_again() -> None:
    files = Files(ConfigError(["gateway.yaml:1:1: half of it"]), A)
    found = reader(files)
    found.read()
    assert [found.has_changed(), found.has_changed()] == [False, True]
    found.read()
    assert [found.has_changed(), found.has_changed()] == [False, False]


MISTAKE = ConfigError(["gateway.yaml:3:1: unknown key", "gateway.yaml:4:1: another"])


@pytest.mark.parametrize(
    ("versions", "version", "result", "error", "loaded_at"),
    [
        ([A], 1, UNCHANGED, "", 1.0),
        ([B], 2, LOADED, "", 100.0),
        ([B, A], 3, LOADED, "", 100.0),
        ([B, B], 2, UNCHANGED, "", 100.0),
        ([MISTAKE], 1, FAILED, "gateway.yaml:3:1: unknown key\ngateway.yaml:4:1: another", 1.0),
        ([B, MISTAKE], 2, FAILED, "gateway.yaml:3:1: unknown key\ngateway.yaml:4:1: another", 100.0),
        ([MISTAKE, A], 1, UNCHANGED, "", 1.0),
        ([ValueError("sk-secret")], 1, FAILED, "it cannot be read: ValueError; the log has the details", 1.0),
    ],
)  # fmt: skip
def test_what_comes_of_a_reading(
    versions: list[Config | Exception], version: int, result: str, error: str, loaded_at: float
) -> None:
    """Only a change makes a version; a mistake leaves the one in use, and is gone with the next reading."""
    found = reader(Files(*versions))
    for _ in versions:
        news = found.read()
    assert (news.version, news.result, news.reading.error, news.loaded_at) == (version, result, error, loaded_at)
    assert (news.config is None) is (result != LOADED)
    assert news.reading.count == len(versions) == sum(news.reading.results.values())
    assert repr(found) == f"<Reader of version {version}, {len(versions)} readings>"


def test_whether_files_are_looked_at_is_the_latest_configurations_to_say() -> None:
    found = reader(Files(replace(A, server=replace(A.server, watch=False))))
    assert found.watches
    found.read()
    assert not found.watches


@pytest.mark.parametrize(
    ("news", "sentences"),
    [
        (News(4), ("version 4 of the configuration is in use",)),
        (News(4, result=UNCHANGED), ("version 4 of the configuration is in use as before: nothing has changed",)),
        (
            News(4, reading=Reading(waits=("server.port: 1 -> 2 takes effect after a restart",))),
            ("version 4 of the configuration is in use", "server.port: 1 -> 2 takes effect after a restart"),
        ),
        (
            News(4, result=FAILED, reading=Reading(error="a.yaml:1:1: x\na.yaml:2:1: y")),
            ("the configuration is not taken over, and version 4 stays in use:\n  a.yaml:1:1: x\n  a.yaml:2:1: y",),
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_it(news: News, sentences: tuple[str, ...]) -> None:
    assert news.sentences() == sentences


def test_news_for_a_worker_that_is_still_starting() -> None:
    """They wait for it, and come in their order."""
    feed = Feed()
    heard: list[News] = []
    feed.put(News(2))
    feed.put(News(3))
    feed.listen(heard.append)
    feed.put(News(4))
    assert [one.version for one in heard] == [2, 3, 4]


async def test_a_worker_takes_over_what_its_supervisor_reads() -> None:
    feed = Feed()
    async with serving(A) as running:
        following = asyncio.get_running_loop().create_task(Reloading(running.gateway, None).follow(feed))
        await asyncio.to_thread(feed.put, News(2, 50.0, LOADED, Reading(1), B))
        await until(lambda: running.gateway.now.version == 2)
        assert "more" in running.gateway.directory.routes
        await asyncio.to_thread(feed.put, News(2, 50.0, FAILED, Reading(2, "a mistake")))
        await until(lambda: running.gateway.reading.error == "a mistake")
        assert running.gateway.now.version == 2
        following.cancel()
        await asyncio.wait([following])


# -- over real sockets


def yaml_of(*ports: int, order: Sequence[int] = (0, 1), more: str = "") -> str:
    """Return a configuration with an upstream for each port, of which the role `rlm` has those of `order`."""
    names = [f"u{number}" for number in range(len(ports))]
    lines = ["providers:"]
    lines += [
        f"  {name}: {{kind: openai-compatible, base_url: 'http://127.0.0.1:{port}/v1', models: [m]}}"
        for name, port in zip(names, ports, strict=True)
    ]
    return "\n".join([*lines, f"roles: {{rlm: {{models: [{', '.join(f'{names[one]}/m' for one in order)}]}}}}", more])


async def reload(running: Running, config: Config | str) -> None:
    """Let a gateway use another configuration, as a reading would."""
    config = config_of(config) if isinstance(config, str) else config
    server = replace(config.server, port=running.gateway.now.config.server.port)
    config = replace(config, server=server, retries=0, source=running.gateway.now.config.source)
    version = running.gateway.now.version + 1
    await Reloading(running.gateway, None).take(News(version, 100.0, LOADED, Reading(version), config))


async def asked(running: Running, *, stream: bool = False, model: str = "role:rlm", key: str = "") -> Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with Client(running.port) as client:
        await client.send(chat(model=model, stream=stream, headers=headers))
        return await client.response()


@asynccontextmanager
async def calling(running: Running, streams: int, plain: int) -> AsyncIterator[list[Response]]:
    """Make calls again and again until the block ends; return what they were answered."""
    answers: list[Response] = []
    ends = asyncio.Event()

    async def call(*, stream: bool) -> None:
        async with Client(running.port) as client:
            while not ends.is_set():
                await client.send(chat(model="role:rlm", stream=stream))
                answers.append(await client.response())

    async with asyncio.TaskGroup() as group:
        for number in range(streams + plain):
            group.create_task(call(stream=number < streams))
        yield answers
        ends.set()


async def test_a_thousand_reloads_drop_no_call_and_leave_nothing_behind() -> None:
    """Each stream is whole, no call is refused, and a ruleset is gone once its calls are over."""

    def answer(seen: Any) -> Any:
        return SLOW if seen.json.get("stream") else chat_json("Hi")

    async with FaultyUpstream(answer) as one, FaultyUpstream(answer) as two:
        configs = [config_of(yaml_of(one.port, two.port, order=order)) for order in ((0, 1), (1, 0))]
        asking: list[Reloading] = []
        async with serving(configs[0]) as running:
            gateway = running.gateway
            before: list[weakref.ref[Ruleset]] = []
            gateway.followers += (lambda old, _: before.append(weakref.ref(old)),)
            versions = (replace(configs[n % 2], retries=0, max_attempts=1 + n // 2 % 10) for n in range(1, 1001))
            found = Reader(Files(*versions), gateway.now.config, 0, News())
            asking.append(Reloading(gateway, found))
            work = asyncio.get_running_loop().create_task(asking[0].run())
            async with calling(running, streams=6, plain=2) as answers:
                for number in range(1, 1001):
                    asking[0].ask()
                    await until(lambda n=number: gateway.reading.count == n)  # type: ignore[misc]  # bound at once
            work.cancel()
            await asyncio.wait([work])
            assert (gateway.now.version, found.news.reading.results) == (1001, {LOADED: 1000})
            assert len(answers) > 50
            assert {answer.status for answer in answers} == {200}
            streams = [one for one in answers if one.headers["content-type"].startswith("text/event-stream")]
            assert len(streams) >= 6
            assert all(one.events[-1] == b"[DONE]" for one in streams)
            assert {answer.headers["x-gateway-provider"] for answer in answers} == {"u0", "u1"}
            assert running.metric('gateway_config_reloads_total{result="loaded"}') == 1000
            assert running.metric("gateway_config_version") == 1001
            await until(lambda: not running.server.server_state.tasks)
            gc.collect()
            assert [one for one in before if one() is not None] == []


async def test_a_stream_keeps_the_ruleset_that_it_began_with() -> None:
    """A role is taken away and its provider too; the stream ends whole, and the next call is refused."""
    async with FaultyUpstream(SLOW) as upstream, serving(yaml_of(upstream.port, order=(0,))) as running:
        async with Client(running.port) as client:
            await client.send(chat(model="role:rlm", stream=True))
            response = await client.head()
            began_by = weakref.ref(running.gateway.now)
            await reload(running, A)
            assert (await asked(running)).status == 404
            assert began_by() is not None
            await client.finish(response)
            assert response.events[-1] == b"[DONE]"
        await until(lambda: not running.server.server_state.tasks)
        gc.collect()
        assert began_by() is None


async def test_a_call_fails_over_by_the_ruleset_that_it_began_with() -> None:
    """The second upstream is no longer configured when the first one refuses."""
    async with (
        FaultyUpstream((Pause(0.3), *error_json(500, {"error": {"message": "no"}}))) as first,
        FaultyUpstream(chat_json("Hi")) as second,
        serving(yaml_of(first.port, second.port)) as running,
    ):
        call = asyncio.get_running_loop().create_task(asked(running))
        await first.wait_request()
        await reload(running, yaml_of(first.port, order=(0,)))
        answer = await call
        assert (answer.status, answer.headers["x-gateway-provider"]) == (200, "u1")


async def test_keys_come_and_go() -> None:
    """A key that is gone is refused, also on a connection that had it a moment ago."""
    async with FaultyUpstream(chat_json("Hi")) as upstream:

        def keyed(*keys: str) -> str:
            return yaml_of(upstream.port, order=(0,), more=f"server: {{api_keys: [{', '.join(keys)}]}}")

        async with serving(keyed(KEY)) as running, Client(running.port) as kept:

            async def status(key: str) -> int:
                headers = {"authorization": f"Bearer {key}"} if key else {}
                await kept.send(chat(model="role:rlm", headers=headers))
                return (await kept.response()).status

            assert [await status(one) for one in (KEY, OTHER, "")] == [200, 401, 401]
            await reload(running, keyed(KEY, OTHER))
            assert [await status(one) for one in (KEY, OTHER, "")] == [200, 200, 401]
            await reload(running, keyed(OTHER))
            assert [await status(one) for one in (KEY, OTHER, "")] == [401, 200, 401]
            await reload(running, keyed())
            assert await status("") == 200


async def test_a_provider_that_moves_is_a_stranger() -> None:
    """No connection to the old server is kept, and no failure of it is held against the new one."""
    async with (
        FaultyUpstream(error_json(401, {"error": {"message": "no such key"}})) as old,
        FaultyUpstream(chat_json("Hi")) as new,
        serving(yaml_of(old.port, order=(0,)), remember=True) as running,
    ):
        assert (await asked(running)).status >= 400
        assert "u0" in running.gateway.memory.facts
        await reload(running, yaml_of(new.port, order=(0,)))
        assert "u0" not in running.gateway.memory.facts
        assert repr(running.gateway.client).count("<Pool") == 0
        answer = await asked(running)
        assert (answer.status, answer.headers["x-gateway-provider"]) == (200, "u0")
        assert len(new.requests) == 1


async def test_models_that_were_found_survive() -> None:
    """Unless their provider is another server now."""
    async with (
        FaultyUpstream(chat_json("Hi")) as upstream,
        FaultyUpstream(chat_json("Hi")) as other,
        serving(yaml_of(upstream.port, order=(0,))) as running,
    ):
        found = {"u0": {"novel": Ability()}}
        running.gateway.learn(running.gateway.now.with_found(found), found)
        await reload(running, yaml_of(upstream.port, order=(0,), more="models: {main: u0/m}"))
        assert (await asked(running, model="novel")).status == 200
        await reload(running, yaml_of(other.port, order=(0,)))
        assert (await asked(running, model="novel")).status == 404


async def test_budgets_of_a_reload_count_from_the_next_call() -> None:
    """One that is spent refuses, and is gone with the next reload."""
    priced = "models: {main: {model: u0/m, price: {input: 1000, output: 1000}}}"
    budget = f"{priced}\nbudgets: [{{scope: total, limit_usd: 0.000001, window: day}}]"
    async with (
        FaultyUpstream(chat_json("Hi")) as upstream,
        serving(yaml_of(upstream.port, order=(0,), more=priced)) as running,
    ):
        assert (await asked(running, model="main")).status == 200
        await reload(running, yaml_of(upstream.port, order=(0,), more=budget))
        assert [(await asked(running, model="main")).status for _ in range(2)][-1] == 429
        await reload(running, yaml_of(upstream.port, order=(0,), more=priced))
        assert (await asked(running, model="main")).status == 200


async def test_settings_of_the_server_reach_open_connections() -> None:
    """Which pages may read answers, and how large a body may be."""
    async with FaultyUpstream(chat_json("Hi")) as upstream, serving(yaml_of(upstream.port, order=(0,))) as running:
        running.gateway.followers += (lambda _, after: running.server.use(after.config.server),)
        async with Client(running.port) as client:
            origin = {"origin": "https://app.example.com"}
            await client.send(request("GET", "/livez", headers=origin))
            assert "access-control-allow-origin" not in (await client.response()).headers
            more = "server: {cors: {origins: ['https://app.example.com']}, max_body: 1KB, max_connections: 7}"
            await reload(running, yaml_of(upstream.port, order=(0,), more=more))
            await client.send(request("GET", "/livez", headers=origin))
            assert (await client.response()).headers["access-control-allow-origin"] == "https://app.example.com"
            await client.send(chat("x" * 2000, model="role:rlm"))
            assert (await client.response()).status == 413
        assert running.server.crowd.most == 7


async def test_what_readyz_says_of_it() -> None:
    """The words of a file are for this machine: through a proxy only that there is something to read in the log."""
    async with serving(A) as running:
        running.gateway.reading = Reading(3, "a.yaml:1:1: unknown key", ("server.port: 1 -> 2 …",))

        async def said(**headers: str) -> dict[str, Any]:
            async with Client(running.port) as client:
                sent = {name.replace("_", "-"): value for name, value in headers.items()}
                await client.send(request("GET", "/readyz", headers=sent))
                answer = await client.response()
            assert answer.status == 200
            configuration: dict[str, Any] = answer.json["configuration"]
            return configuration

        here = await said()
        assert (here["version"], here["readings"], here["error"]) == (1, 3, "a.yaml:1:1: unknown key")
        assert here["after_restart"] == ["server.port: 1 -> 2 …"]
        assert here["source"] == A.source
        there = await said(x_forwarded_for="192.0.2.1")
        assert (there["error"], there["after_restart"]) == ("the gateway's log says what",) * 2
        assert "source" not in there
        assert running.metric("gateway_config_last_reload_successful") == 0


async def test_a_list_that_comes_while_a_ruleset_is_made() -> None:
    """It is in the new ruleset too."""
    async with FaultyUpstream(chat_json("Hi")) as upstream, serving(yaml_of(upstream.port, order=(0,))) as running:
        gateway = running.gateway
        found = {"u0": {"novel": Ability()}}
        taking = asyncio.get_running_loop().create_task(
            reload(running, yaml_of(upstream.port, order=(0,), more="presets: {x: {top_p: 1}}\nmodels: {main: u0/m}"))
        )
        await asyncio.sleep(0)
        gateway.learn(gateway.now.with_found(found), found)
        await taking
        assert gateway.now.version == 2
        assert "novel" in gateway.directory.bare
