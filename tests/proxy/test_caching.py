"""An answer that is kept is served again byte for byte, and only to whom it belongs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import openai
import pytest

from gateway.core.plan import Terms
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import ENDPOINTS
from gateway.proxy.caching import Caching, Hit, Miss
from gateway.proxy.outlet import Outlet
from gateway.stores.cache import MemoryCache
from gateway.types import CachePolicy, Candidate, Provider, Route, RouteKind, Upstream, Usage
from tests.faults import (
    Client,
    FaultyUpstream,
    chat,
    chat_json,
    chat_stream,
    json_answer,
)
from tests.proxy.keeping import (
    ALWAYS,
    CHAT,
    NOW,
    RESPONSE,
    STREAM,
    Clock,
    Scene,
    configured,
    keeping,
    posted,
    responses_stream,
)
from tests.proxy.scene import ROLE_NAME, exchange_is_over
from tests.proxy.test_recording import Scripted
from tests.serving import serving

if TYPE_CHECKING:
    from tests.faults import Request, Script

ONE, TWO = "a-key-of-one-client", "a-key-of-another-one"
EMBEDDINGS = {"object": "list", "data": [{"embedding": [0.1, -0.25e-3], "index": 0}], "usage": {"prompt_tokens": 3}}
MODERATIONS = {"id": "modr-1", "results": [{"flagged": False}]}
RERANK = {"results": [{"index": 0, "relevance_score": 0.98}]}
# -- the same bytes


@pytest.mark.parametrize("stream", [False, True])
async def test_a_translated_answer_is_kept(stream: bool) -> None:
    """In the client's dialect, id and all."""
    answer = chat_stream("Hel", "lo") if stream else chat_json("Hello")
    asked = {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    async with keeping(answer, speaks="chat") as scene:
        first, second = await scene.ask(posted("messages", asked)), await scene.ask(posted("messages", asked))
        assert scene.asked == 1
        assert first.status == 200
        assert b"end_turn" in first.body
        assert second.body == first.body
        assert second.headers["x-gateway-cache"].startswith("hit")


@pytest.mark.parametrize(
    "sent, answer",
    [
        (CHAT, chat_json("Hello 👩‍👩‍👧 \u2028")),
        (STREAM, chat_stream("Hel", "lo", "日本語", "a\u2028b")),
        (STREAM, chat_stream("Hel", "lo", framing="length")),
        (STREAM, chat_stream("Hel", "lo", framing="close")),
        (chat(model=ROLE_NAME, stream=True, stream_options=None), chat_stream("Hel", "lo")),
        (chat(model=ROLE_NAME, n=2), chat_json("Hello")),
        (posted("completions", {"prompt": "Hi"}), chat_json("Hello")),
        (posted("embeddings", {"input": "Hi"}), json_answer(EMBEDDINGS)),
        (posted("moderations", {"input": "Hi"}), json_answer(MODERATIONS)),
        (posted("rerank", {"query": "Hi", "documents": []}), json_answer(RERANK)),
        (posted("rerank", {"query": "Hi", "texts": []}), json_answer([{"index": 0, "score": 0.98}])),
        (posted("responses", {"input": "Hi"}), json_answer(RESPONSE)),
        (posted("responses", {"input": "Hi", "stream": True}), responses_stream()),
        (posted("responses", {"input": "Hi", "stream": True}), responses_stream("response.incomplete")),
    ],
)
async def test_a_hit_equals_the_first_answer(sent: bytes, answer: Script) -> None:
    """Byte for byte and chunk for chunk; only what is true of one answer is different, and no upstream is asked."""
    async with keeping(answer) as scene:
        first, second = await scene.ask(sent), await scene.ask(sent)
        assert scene.asked == 1
        assert first.status == second.status == 200
        assert first.complete
        assert second.complete
        assert first.body
        assert sha256(second.body).digest() == sha256(first.body).digest()
        if "transfer-encoding" in first.headers:
            assert [one.content for one in second.chunks] == [one.content for one in first.chunks]
        assert (first.headers["x-gateway-cache"], second.headers["x-gateway-cache"]) == ("miss", "hit")
        assert second.headers["x-request-id"] != first.headers["x-request-id"]
        assert second.headers["age"] == "0"
        only_first = {"x-gateway-attempts": "1", "x-gateway-cache": "miss"}
        same = {name: value for name, value in first.headers.items() if name not in {*only_first, "x-request-id"}}
        again = {name: value for name, value in second.headers.items() if name not in {"x-request-id", "age"}}
        assert again == {**same, "x-gateway-cache": "hit"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_hit_is_counted_as_a_request(stream: bool) -> None:
    """With its status and its duration, so that rates and objectives stay true; tokens are counted where they cost."""
    script = chat_stream("Hel", "lo") if stream else chat_json("Hello")
    async with keeping(script) as scene:
        for _ in range(3):
            assert (await scene.ask(chat(model=ROLE_NAME, stream=stream))).status == 200
        await exchange_is_over(scene.running)
        metric, labels = scene.running.metric, 'endpoint="chat",route="role:rlm"'
        assert metric(f'gateway_requests_total{{code="200",{labels}}}') == 3
        assert metric(f"gateway_request_duration_seconds_count{{{labels}}}") == 3
        assert metric('gateway_attempts_total{model="first/m",outcome="ok",provider="first"}') == 1
        assert metric('gateway_tokens_total{direction="output",model="first/m",provider="first"}') == 2
        assert metric('gateway_overhead_seconds_count{endpoint="chat"}') == 1
        assert scene.hits == 2
        hits = scene.running.audit.settlements[1:]
        assert [(one.status, one.cached, one.attempts, one.usage, one.hung_up) for one in hits] == [
            (200, True, (), None, False)
        ] * 2


async def test_what_was_true_of_one_answer_is_not_said_again() -> None:
    """Limits, times and ids."""
    said = {
        "date": "Mon, 01 Jan 2024 00:00:00 GMT", "x-request-id": "theirs", "x-ratelimit-remaining-requests": "7",
        "openai-processing-ms": "12", "openai-version": "2020-10-01",
    }  # fmt: skip
    async with keeping(chat_json("Hi", headers=said)) as scene:
        first = await scene.ask(CHAT)
        second = await scene.ask(chat(model=ROLE_NAME, headers={"x-request-id": "mine"}))
    assert {*said} - {*first.headers} == set()
    assert first.headers["x-upstream-request-id"] == "theirs"
    assert {*second.headers} & {*said, "x-upstream-request-id"} == {"x-request-id", "openai-version"}
    assert second.headers["x-request-id"] == "mine"


async def test_usage_is_kept_with_an_answer() -> None:
    """As the answer says it, be it a stream or not."""
    for sent, answer in ((STREAM, chat_stream("Hel", "lo")), (CHAT, chat_json("Hello"))):
        async with keeping(answer) as scene:
            assert await scene.states(sent, sent) == ["miss", "hit"]
            (entry,) = scene.kept
            assert (usage := entry.usage) is not None
            assert (usage.input_tokens, usage.output_tokens) == (7, 2)


async def test_the_openai_sdk_sees_no_difference() -> None:
    """Plain, stream and embeddings, as users call it."""

    def answer(seen: Request) -> Script:
        if seen.target.endswith("/embeddings"):
            return json_answer(EMBEDDINGS)
        return chat_stream("Hel", "lo") if seen.json.get("stream") else chat_json("Hello")

    asked: dict[str, Any] = {"model": ROLE_NAME, "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    async with (
        keeping(answer, policy="true") as scene,
        openai.AsyncOpenAI(base_url=scene.running.base_url, api_key="unused") as sdk,
    ):
        plain = [await sdk.chat.completions.create(**asked) for _ in range(2)]
        streams = [[one async for one in await sdk.chat.completions.create(**asked, stream=True)] for _ in range(2)]
        vectors = [await sdk.embeddings.create(model=ROLE_NAME, input="Hi", encoding_format="float") for _ in range(2)]
        assert scene.asked == 3
        assert scene.hits == 3
    assert plain[0] == plain[1]
    assert streams[0] == streams[1]
    assert "".join(one.choices[0].delta.content or "" for one in streams[1] if one.choices) == "Hello"
    assert vectors[0].data == vectors[1].data


async def test_a_connection_goes_on_after_a_hit() -> None:
    """Also with requests that were sent before it was over."""
    async with keeping(chat_stream("Hel", "lo")) as scene:
        expected = (await scene.ask(STREAM)).body
        async with Client(scene.running.port) as client:
            await client.send(STREAM * 5)
            found = [await client.response() for _ in range(5)]
        assert [one.body for one in found] == [expected] * 5
        assert scene.asked == 1


# -- whose it is, and until when


@pytest.mark.parametrize(
    "policy, expected",
    [
        ("{nondeterministic: true}", ["miss", "miss", "hit", "hit", "hit"]),
        ("{nondeterministic: true, shared: true}", ["miss", "hit", "hit", "hit", "hit"]),
    ],
)
async def test_whose_answers_a_key_sees(policy: str, expected: list[str]) -> None:
    """Its own, whichever way it shows itself; those of others only where the route says so."""
    ways = (
        {"authorization": f"Bearer {ONE}"}, {"authorization": f"Bearer {TWO}"}, {"authorization": f"Bearer {ONE}"},
        {"x-api-key": TWO}, {"api-key": ONE},
    )  # fmt: skip
    async with keeping(chat_json(), policy=policy, server=f"{{api_keys: [{ONE}, {TWO}]}}") as scene:
        assert await scene.states(*(chat(model=ROLE_NAME, headers=way) for way in ways)) == expected


async def test_an_answer_is_served_until_it_is_too_old() -> None:
    """Its age is said in whole seconds; then a new one takes its place."""
    clock = Clock()
    async with keeping(chat_json(), policy="{ttl: 10s, nondeterministic: true}", clock=clock) as scene:
        seen = []
        for passed in (0.0, 0.0, 9.9, 10.0, 10.5, 20.0):
            clock.now = NOW + passed
            response = await scene.ask(CHAT)
            seen.append((response.headers["x-gateway-cache"], response.headers.get("age")))
        assert seen == [("miss", None), ("hit", "0"), ("hit", "9"), ("miss", None), ("hit", "0"), ("miss", None)]


class Outliving(MemoryCache):
    """A cache that one gateway leaves to the next."""

    async def close(self) -> None:
        """Keep everything."""


async def test_a_shorter_life_holds_for_what_is_kept_already() -> None:
    """A reload of the configuration does not have to empty anything."""
    clock = Clock()
    cache = Outliving(1 << 20, clock)
    async with FaultyUpstream(chat_json()) as upstream:
        seen = []
        for ttl in ("1h", "20s", "10s"):
            config = configured([upstream], f"{{nondeterministic: true, ttl: {ttl}}}")
            async with serving(config) as running:
                seen += await Scene(running, [upstream], Caching(cache, clock)).states(CHAT)
            clock.now += 6.0
        assert seen == ["miss", "hit", "miss"]


@pytest.mark.parametrize(
    "role, again",
    [
        ("", "hit"),
        (", params: {top_p: 0.5}", "miss"),
        (", params: {force: {top_p: 0.5}}", "miss"),
        (", needs: [tools]", "miss"),
        (", max_price: 2", "miss"),
    ],
)
async def test_a_changed_configuration_serves_no_old_answer(role: str, again: str) -> None:
    """Whatever about the route it is that changed."""
    clock = Clock()
    cache = Outliving(1 << 20, clock)
    async with FaultyUpstream(chat_json(), chat_json("other")) as upstream:
        seen = []
        for added in ("", role):
            async with serving(configured([upstream], ALWAYS, role=added)) as running:
                seen += await Scene(running, [upstream], Caching(cache, clock)).states(CHAT)
        assert seen == ["miss", again]


async def test_each_call_has_its_own_answer() -> None:
    """Another text, stream or parameter, and another way to choose, are other calls."""
    calls = [
        CHAT,
        STREAM,
        chat("Ho", model=ROLE_NAME),
        chat(model=ROLE_NAME, temperature=0),
        chat(model=ROLE_NAME, headers={"x-gateway-order": "cheapest"}),
        chat(model=ROLE_NAME, headers={"x-gateway-fallback": "first/other"}),
        chat(model=ROLE_NAME, headers={"accept-language": "de"}),
    ]

    def answer(seen: Request) -> Script:
        text = f"answer {seen.number}"
        return chat_stream(text) if seen.json.get("stream") else chat_json(text)

    async with keeping(answer, answer) as scene:
        first = [(await scene.ask(one)).body for one in calls]
        assert len(set(first)) == len(calls)
        assert [(await scene.ask(one)).body for one in calls] == first
        assert scene.asked == len(calls)


# -- what is not kept


@pytest.mark.parametrize(
    "policy, sent, expected",
    [
        ("true", CHAT, ["", ""]),
        ("true", chat(model=ROLE_NAME, temperature=0), ["miss", "hit"]),
        ("true", chat(model=ROLE_NAME, seed=1, store=True), ["", ""]),
        ("false", chat(model=ROLE_NAME, temperature=0), ["", ""]),
        (ALWAYS, chat(model="main", temperature=0), ["", ""]),
        (ALWAYS, chat(model="first/m", temperature=0), ["", ""]),
        (ALWAYS, chat(model="auto", temperature=0), ["", ""]),
        (ALWAYS, chat(model=ROLE_NAME, headers={"x-gateway-cache": "off"}), ["", ""]),
        (ALWAYS, chat(model=ROLE_NAME, headers={"cache-control": "no-store"}), ["", ""]),
        (ALWAYS, chat(model=ROLE_NAME, headers={"cache-control": "no-cache"}), ["miss", "miss"]),
        (ALWAYS, chat(model=ROLE_NAME, headers={"x-gateway-explain": "1"}), ["miss", "miss"]),
        (ALWAYS, posted("images/generations", {"prompt": "x"}), ["", ""]),
    ],
)
async def test_which_calls_are_looked_up(policy: str, sent: bytes, expected: list[str]) -> None:
    """Only where the route says so and the client does not object; what is not looked up says nothing of a cache."""
    async with keeping(chat_json(), policy=policy) as scene:
        assert await scene.states(sent, sent) == expected


async def test_what_is_fetched_anew_is_kept() -> None:
    """`no-cache` replaces what was there; `no-store` leaves it."""
    async with keeping(lambda seen: chat_json(f"{seen.number}")) as scene:
        said = []
        for value in ("", "no-cache", "", "no-store", ""):
            headers = {"cache-control": value} if value else {}
            response = await scene.ask(chat(model=ROLE_NAME, headers=headers))
            said.append(response.json["choices"][0]["message"]["content"])
        assert said == ["0", "1", "1", "2", "1"]


@pytest.mark.parametrize("by, kept", [(b"role:r", True), (b"role:cheap", False)])
async def test_only_its_own_answers_are_a_routes(by: bytes, kept: bool) -> None:
    """A budget that is spent may have another route answer; that is not what is asked for next time."""
    call = read_call(ENDPOINTS[0], b'{"model":"role:r","seed":1}')
    one = Candidate(Upstream(Provider("a", "vllm", "http://a.test"), "m"))
    route = Route("role:r", RouteKind.ROLE, (one,), cache=CachePolicy(60.0))
    clock = Clock()
    caching, usage = Caching(MemoryCache(1 << 20, clock), clock), Usage(input_tokens=3)
    miss = await caching.lookup(call, route, Terms(1), one, "", {}, b"")
    assert isinstance(miss, Miss)
    outlet = Outlet(Scripted(asyncio.get_running_loop()))
    miss.watch(outlet)
    outlet.respond(200, b"x-gateway-route: %b\r\n" % by, b"{}")
    assert miss.keep(one, usage) is kept
    found = await caching.lookup(call, route, Terms(1), one, "", {}, b"")
    assert isinstance(found, Hit if kept else Miss)
    if isinstance(found, Hit):
        assert found.entry.usage == usage


# -- under whose name


@pytest.mark.parametrize(
    ("sent", "of_first", "of_second"),
    [
        (CHAT, chat_json("first"), chat_json("second")),
        (STREAM, chat_stream("first"), chat_stream("second")),
        (
            posted("embeddings", {"input": "Hi"}),
            json_answer({"data": [{"embedding": [0.1, 0.2, 0.3]}]}),
            json_answer({"data": [{"embedding": [0.1, 0.2, 0.3, 0.4, 0.5]}]}),
        ),
    ],
)
async def test_an_answer_is_kept_under_the_candidate_that_gave_it(
    sent: bytes, of_first: Script, of_second: Script
) -> None:
    """The answer of a fallback is not served once the first candidate is back, vectors least of all."""

    def down_once(seen: Request) -> Script:
        return json_answer({"error": {"message": "down"}}, status=500) if seen.number == 0 else of_first

    async with keeping(down_once, of_second) as scene:
        said = [await scene.ask(sent) for _ in range(3)]
        assert [one.headers["x-gateway-cache"] for one in said] == ["miss", "miss", "hit"]
        assert [one.headers["x-gateway-provider"] for one in said] == ["second", "first", "first"]
        assert said[1].body == said[2].body != said[0].body


async def test_the_answer_of_a_fallback_serves_while_its_turn_lasts() -> None:
    """A candidate that is out of action is not the one that would be asked."""
    answers = json_answer({"error": {"message": "down"}}, status=500), chat_json("second")
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream(one, strict=False)) for one in answers]
        running = await stack.enter_async_context(serving(configured(upstreams, ALWAYS), remember=True))
        scene = Scene(running, upstreams, Caching(MemoryCache(8 << 20, Clock()), Clock()))
        states = await scene.states(*(chat(f"call {n}", model=ROLE_NAME) for n in range(8)))
        assert set(states) == {"miss"}
        assert await scene.states(chat("call 1", model=ROLE_NAME)) == ["hit"]
