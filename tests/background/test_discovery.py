"""What providers list becomes callable by its bare name."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, cast

from gateway.background.discovery import EVERY_S, OTHERS_AGAIN_S, OWN_AGAIN_S, Discovery, is_asked
from gateway.background.rounds import JITTER
from gateway.core.explain import Problem
from gateway.proxy.ruleset import make_ruleset
from gateway.stores.lists import Lists as KeptLists
from gateway.types import Capability, Price, Provider
from gateway.upstream.ask import Asker, Listing
from tests.faults import Client, FaultyUpstream, chat, chat_json, error_json, json_answer, like_openai, request
from tests.serving import Running, config_of, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest

    from gateway.core.names import Directory
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Found, Ruleset
    from tests.faults.script import Script
    from tests.faults.upstream import Answer, Request

YAML = """
providers:
  one: {{kind: openai-compatible, base_url: "{0}"}}
models: {{main: one/configured}}
"""


def lists(*models: str) -> Answer:
    """An upstream that lists models, and answers chats."""
    answer = like_openai("Hi")

    def answers(asked: Request) -> Script:
        if asked.target.endswith("/models"):
            return json_answer({"object": "list", "data": [{"id": model} for model in models]})
        return answer(asked)

    return answers


async def knows(running: Running, model: str) -> None:
    """Wait until the gateway has heard of a model."""
    while model not in running.gateway.directory.bare:  # noqa: ASYNC110  # a directory tells nobody it was replaced
        await asyncio.sleep(0.01)


async def test_a_listed_model_can_be_called_by_its_bare_name() -> None:
    """Before discovery it is unknown, after it is routed to whoever lists it, and it is listed to clients too."""
    async with (
        FaultyUpstream(lists("tiny", "configured")) as upstream,
        serving(YAML.format(upstream.base_url), discover=True) as running,
        Client(running.port) as client,
    ):
        await asyncio.wait_for(knows(running, "tiny"), 5)
        await client.send(chat("Hi", model="tiny"))
        response = await client.response()
        assert response.status == 200
        assert response.headers["x-gateway-model"] == "tiny"
        await client.send(request("GET", "/v1/models"))
        listed = [entry["id"] for entry in (await client.response()).json["data"]]
        assert [name for name in listed if not name.startswith("auto")] == ["main", "one/configured", "one/tiny"]


async def test_a_provider_that_lists_nothing_changes_nothing() -> None:
    """An error on the list is no reason to forget what is configured."""
    async with (
        FaultyUpstream(error_json(500), like_openai("Hi")) as upstream,
        serving(YAML.format(upstream.base_url), discover=True) as running,
        Client(running.port) as client,
    ):
        await upstream.wait_request(0)
        await client.send(chat("Hi", model="one/configured"))
        assert (await client.response()).status == 200


class Holder:
    """As much of a gateway as discovery knows."""

    def __init__(self, yaml: str) -> None:
        self.now = ruleset_of(yaml)
        self.learnt = 0

    @property
    def directory(self) -> Directory:
        return self.now.directory

    def learn(self, ruleset: Ruleset, found: Found) -> None:
        self.now = ruleset
        self.learnt += bool(found)


def ruleset_of(yaml: str) -> Ruleset:
    return make_ruleset(config_of(yaml), {}, version=1, loaded_at=0.0)


class Lists:
    """Answers with what it was given for a provider."""

    def __init__(self, **listings: Listing) -> None:
        self.listings: Mapping[str, Listing] = listings
        self.asked: list[str] = []

    async def models(self, provider: Provider) -> Listing:
        self.asked.append(provider.name)
        return self.listings[provider.name]


def listing(*entries: object) -> Listing:
    return Listing(None, 0.1, 200, entries=entries)


def failing(message: str) -> Listing:
    return Listing(Problem("server_error", message, "wait"), 0.1, 500)


TWO = """
providers:
  one: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}
  two: {kind: openrouter, api_key: k, base_url: "http://127.0.0.1:9/v1"}
  off: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", enabled: false}
models: {main: one/configured}
"""


def discovery(holder: Holder, now: float = 1000.0) -> Discovery:
    return Discovery(cast("Gateway", holder), now=lambda: now)


async def ask(found: Discovery, lists: Lists) -> None:
    await found.refresh(cast("Asker", lists))


async def test_what_a_list_says_becomes_what_is_known_of_a_model() -> None:
    """Also of one that is configured; and how it went is noted."""
    holder = Holder(TWO)
    found = discovery(holder)
    entry = {"id": "acme/echo-7b", "context_length": 4096, "pricing": {"prompt": "0.000001", "completion": "0"}}
    await ask(found, Lists(one=listing({"id": "configured", "max_model_len": 512}), two=listing(entry)))
    (upstream,) = holder.directory.bare["acme/echo-7b"]
    assert upstream.ability.context_tokens == 4096
    assert upstream.ability.price == Price(1_000_000_000, 0)
    assert holder.directory.routes["main"].candidates[0].upstream.ability.context_tokens == 512
    assert {name: (one.at, one.error, one.count) for name, one in found.state.items()} == {
        "one": (1000.0, None, 1),
        "two": (1000.0, None, 1),
    }


async def test_since_when_a_configured_model_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The moment stays while it is missing, through failures, empty lists and a restart, and goes when it is back."""
    clock = [1000.0]

    def begin() -> Discovery:
        return Discovery(cast("Gateway", Holder(TWO)), KeptLists(tmp_path), now=lambda: clock[0])

    found = begin()
    for at, one in ((1000.0, listing({"id": "configured"})), (2000.0, listing({"id": "a"})), (3000.0, failing("no"))):
        clock[0] = at
        await ask(found, Lists(one=one, two=listing({"id": "b"})))
        assert found.state["one"].missing == ({} if at == 1000.0 else {"configured": 2000.0})
    clock[0] = 4000.0
    again = begin()
    await again.recall()
    assert again.state["one"].missing == {"configured": 2000.0}
    await ask(again, Lists(one=listing({"id": "a"}), two=listing()))
    assert again.state["one"].missing == {"configured": 2000.0}
    await ask(again, Lists(one=listing({"id": "configured"}), two=listing()))
    assert again.state["one"].missing == {}
    assert caplog.messages == ["one does not list configured, which the configuration names"]


async def test_who_cannot_be_asked_keeps_what_it_listed() -> None:
    """The error stands beside it, and goes when the list is there again."""
    holder = Holder(TWO)
    found = discovery(holder)
    await ask(found, Lists(one=listing({"id": "a"}, {"id": "b"}), two=listing()))
    await ask(found, Lists(one=failing("it is on fire"), two=listing()))
    assert set(holder.directory.bare) >= {"a", "b"}
    assert "on fire" in str(found.state["one"].error)
    assert found.state["one"].count == 2
    await ask(found, Lists(one=listing({"id": "b"}), two=listing()))
    assert "a" not in holder.directory.bare
    assert (found.state["one"].error, found.state["one"].count) == (None, 1)


async def test_nothing_found_changes_nothing() -> None:
    holder = Holder(TWO)
    await ask(discovery(holder), Lists(one=failing("no"), two=listing()))
    assert holder.learnt == 0


async def test_a_configuration_that_is_replaced_meanwhile_wins() -> None:
    """What was found is told to the new one."""
    holder = Holder(TWO)
    other = ruleset_of(TWO.replace("main:", "second:"))

    class Replacing(Lists):
        async def models(self, provider: Provider) -> Listing:
            holder.now = other
            return await super().models(provider)

    found = discovery(holder)
    await ask(found, Replacing(one=listing({"id": "a"}), two=listing()))
    assert "second" in holder.directory.routes
    assert "a" in holder.directory.bare


async def test_what_another_server_listed_is_not_told() -> None:
    """A reload has given the name to another server while the first one was asked; that one is asked in turn."""
    holder = Holder(TWO)

    class Moving(Lists):
        async def models(self, provider: Provider) -> Listing:
            if provider.base_url == "http://127.0.0.1:9/v1" and provider.name == "one":
                holder.now = ruleset_of(TWO.replace("http://127.0.0.1:9/v1", "http://127.0.0.2:9/v1", 1))
                self.listings = {**self.listings, "one": listing({"id": "new"})}
                self.asked.append("one")
                return listing({"id": "old"})
            return await super().models(provider)

    lists = Moving(one=listing(), two=listing({"id": "b"}))
    await ask(discovery(holder), lists)
    assert lists.asked.count("one") == 2
    assert "new" in holder.directory.bare
    assert "old" not in holder.directory.bare


async def test_a_provider_that_is_gone_is_forgotten() -> None:
    holder = Holder(TWO)
    found = discovery(holder)
    await ask(found, Lists(one=listing({"id": "a"}), two=listing({"id": "b"})))
    holder.now = ruleset_of('providers: {one: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}}')
    await ask(found, Lists(one=listing({"id": "a"})))
    assert set(found.state) == {"one"}


def test_who_is_asked() -> None:
    """Not who is unusable, whose list costs something, or who serves one model under any name."""
    asked = Provider("a", "openai", "http://h/v1")
    assert is_asked(asked)
    others = (
        Provider("a", "openai", "http://h/v1", unusable="no key"),
        Provider("a", "openai", "http://h/v1", discover=False),
        Provider("a", "runpod", "http://h/v1", model_override="m"),
        Provider("demo", "demo", "demo:"),
    )
    assert not any(is_asked(one) for one in others)


async def test_rounds_come_a_little_early_or_late() -> None:
    """With every round a random time apart, gateways that started together part company."""
    drawn: list[float] = []

    class Drawing(Random):
        def uniform(self, a: float, b: float) -> float:
            drawn.append(super().uniform(a, b))
            return drawn[-1]

    async with FaultyUpstream(lists("tiny")) as upstream, serving(YAML.format(upstream.base_url)) as running:
        found = Discovery(running.gateway, every_s=0.01, rng=Drawing(7))
        task = asyncio.get_running_loop().create_task(found.run())
        async with asyncio.timeout(5):
            while len(drawn) < 3:  # noqa: ASYNC110  # a random generator tells nobody that it was asked
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
    assert len(set(drawn)) == len(drawn)
    assert all(1 - JITTER <= one <= 1 + JITTER for one in drawn)
    assert running.gateway.directory.bare["tiny"][0].ability.has == frozenset[Capability]()


async def test_a_model_that_was_just_added_is_found_when_it_is_asked_for() -> None:
    """A bare name that nobody is known to list makes the gateway look again, and the call waits for that."""
    models = ["tiny"]

    def growing(asked: Request) -> Script:
        return cast("Callable[[Request], Script]", lists(*models))(asked)

    async with (
        FaultyUpstream(growing) as upstream,
        serving(YAML.format(upstream.base_url), discover=True) as running,
        Client(running.port) as client,
    ):
        await asyncio.wait_for(knows(running, "tiny"), 5)
        found = cast("Discovery", running.gateway.look.__self__)  # type: ignore[union-attr]  # a bound method
        found._asked.clear()
        models.append("pulled")
        await client.send(chat("Hi", model="pulled"))
        assert (await client.response()).status == 200
        asked = len([one for one in upstream.requests if one.target.endswith("/models")])
        for number in range(20):  # made-up names, one after the other
            await client.send(chat("Hi", model=f"made-up-{number}"))
            assert (await client.response()).status == 404
        assert len([one for one in upstream.requests if one.target.endswith("/models")]) == asked


LOCAL = TWO.replace("one: {kind: openai-compatible,", "one: {kind: openai-compatible, local: true,").replace(
    "api_key: k,", "api_key: k, local: false,"
)


async def test_misses_do_not_hammer_providers() -> None:
    """However often unknown names are asked for, each provider is asked in its own time, and more seldom in vain."""
    holder = Holder(LOCAL)
    clock = [1000.0]
    found = Discovery(cast("Gateway", holder), now=lambda: clock[0])
    asked = Lists(one=listing({"id": "a"}), two=listing({"id": "b"}))
    await ask(found, asked)
    found._asker = cast("Asker", asked)
    asked.asked.clear()
    for _ in range(3600 * 4):  # an hour of four misses a second
        clock[0] += 0.25
        if (look := found.look()) is not None:
            await look
    assert asked.asked.count("one") == 3600 / OWN_AGAIN_S
    # After 1 minute, then 2, 4, 8, and then as often as without anybody asking.
    assert asked.asked.count("two") <= 3600 / EVERY_S + 4
    asked.listings = {"one": listing({"id": "a"}, {"id": "new"}), "two": listing({"id": "b"})}
    clock[0] += OWN_AGAIN_S
    look = found.look()
    assert look is not None
    assert found.look() is look  # who comes meanwhile waits for the same
    await look
    assert "new" in holder.directory.bare
    asked.asked.clear()
    clock[0] += OTHERS_AGAIN_S
    look = found.look()
    assert look is not None
    await look
    assert "two" in asked.asked  # it was not in vain


async def test_a_guess_makes_it_look() -> None:
    """The default provider is asked at once, and by the next call it is known who else has the model."""
    one = lists("pulled")
    async with FaultyUpstream(one) as own, FaultyUpstream(chat_json("Hi")) as default:
        yaml = (
            f"providers:\n  own: {{kind: ollama, base_url: '{own.base_url}'}}\n"
            f"  far: {{kind: openrouter, api_key: k, base_url: '{default.base_url}'}}\ndefaults: {{provider: far}}\n"
        )
        async with serving(yaml) as running, Client(running.port) as client:
            found = Discovery(running.gateway)
            async with Asker() as found._asker:
                running.gateway.look = found.look
                await client.send(chat("Hi", model="pulled"))
                assert (await client.response()).headers["x-gateway-provider"] == "far"
                await asyncio.wait_for(knows(running, "pulled"), 5)
                await client.send(chat("Hi", model="pulled"))
                assert (await client.response()).headers["x-gateway-provider"] == "own"


async def test_lists_outlive_a_restart(tmp_path: Path) -> None:
    """Before a provider answers, its last list counts, with its age."""
    kept = KeptLists(tmp_path)
    async with FaultyUpstream(lists("tiny")) as upstream, serving(YAML.format(upstream.base_url)) as running:
        first = Discovery(running.gateway, kept, now=lambda: 1000.0)
        async with Asker() as asker:
            await first.refresh(asker)
    async with FaultyUpstream(error_json(500)) as silent, serving(YAML.format(silent.base_url)) as running:
        moved = Discovery(running.gateway, kept)
        await moved.recall()
        assert moved.state == {}  # another address
        (provider,) = (one for one in running.gateway.directory.providers.values() if one.name == "one")
        kept.write(provider, ({"id": "tiny"},), 1000.0)
        second = Discovery(running.gateway, kept, now=lambda: 1060.0)
        await second.recall()
        assert "tiny" in running.gateway.directory.bare
        assert (second.state["one"].at, second.state["one"].count) == (1000.0, 1)
        async with Asker() as asker:
            await second.refresh(asker)
        assert "tiny" in running.gateway.directory.bare
        assert second.state["one"].error
