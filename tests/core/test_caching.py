"""Which answers may be kept, and that no two calls share a key unless they are the same call."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.core.caching import (
    CHUNK_OVERHEAD,
    ENTRY_OVERHEAD,
    Entry,
    Wish,
    fingerprint,
    kept_lines,
    key_of,
    may_keep,
    size_of,
    wish_of,
)
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT, EMBEDDINGS, ENDPOINTS, RESPONSES
from gateway.types import (
    Ability,
    Bounds,
    CachePolicy,
    Call,
    Candidate,
    Capability,
    Params,
    Provider,
    Route,
    RouteKind,
    Upstream,
)

if TYPE_CHECKING:
    from gateway.types import Endpoint

KEEPS = CachePolicy(3600.0)
KEEPS_ALL = CachePolicy(3600.0, nondeterministic=True)
NO_PARAMS = Params()
FORWARDED = b"accept: application/json\r\n"


def candidate(model: str = "a/m", params: Params | None = None, **provider: str) -> Candidate:
    name, _, model = model.partition("/")
    base_url = provider.get("base_url", "http://a.test/v1")
    headers = (
        (b"authorization", provider.get("key", "Bearer k").encode()),
        (b"x-org", provider.get("org", "").encode()),
    )
    return Candidate(Upstream(Provider(name, "vllm", base_url, headers=headers), model), params or Params())


def route(*candidates: Candidate, policy: CachePolicy | None = KEEPS, name: str = "role:r") -> Route:
    return Route(name, RouteKind.ROLE, candidates or (candidate(),), cache=policy)


def call(more: str = "", endpoint: Endpoint = CHAT, model: str = "role:r") -> Call:
    body = f'{{"model":"{model}","messages":[]{more}}}'
    if endpoint.body == "json":
        return read_call(endpoint, body.encode())
    return Call(endpoint, model, body.encode(), (0, 0))


SEEDED = ',"seed":1'


@pytest.mark.parametrize(
    "more, kept",
    [
        ("", False),
        (',"temperature":0', True),
        (',"temperature":0.0', True),
        (',"temperature": -0 ', True),
        (',"temperature":0e3', True),
        (',"temp\\u0065rature":0', True),
        (',"temperature":0.1', False),
        (',"temperature":1e-9', False),
        (',"temperature":null', False),
        (',"temperature":"0"', False),
        (',"temperature":false', False),
        (',"temperature":[0]', False),
        (SEEDED, True),
        (',"seed":0,"temperature":1', True),
        (',"seed":null', False),
        (SEEDED + ',"n":3,"tools":[{"type":"function"}],"stream":true', True),
        (SEEDED + ',"store":true', False),
        (SEEDED + ',"store":false', True),
        (SEEDED + ',"store":null', True),
        (SEEDED + ',"background":true', False),
        (SEEDED + ',"previous_response_id":"resp_1"', False),
        (SEEDED + ',"previous_response_id":null', True),
        (SEEDED + ',"conversation":{"id":"conv_1"}', False),
    ],
)
@pytest.mark.parametrize("endpoint", ["chat", "completions", "responses"])
def test_what_a_call_must_say(endpoint: str, more: str, kept: bool) -> None:
    """A generated answer is kept if asking again should bring the same, and if the provider remembers nothing of it."""
    found = next(one for one in ENDPOINTS if one.name == endpoint)
    assert may_keep(call(more, found), route(), NO_PARAMS) is kept
    remembers = SEEDED in more and not kept
    assert may_keep(call(more, found), route(policy=KEEPS_ALL), NO_PARAMS) is not remembers


@pytest.mark.parametrize(
    "endpoint, kept",
    [
        ("chat", True), ("completions", True), ("responses", True), ("embeddings", True), ("moderations", True),
        ("rerank", True), ("image_generations", False), ("image_edits", False), ("speech", False),
        ("transcriptions", False), ("translations", False),
    ],
)  # fmt: skip
def test_which_endpoints(endpoint: str, kept: bool) -> None:
    """Text and numbers; never pictures, sound or forms."""
    found = next(one for one in ENDPOINTS if one.name == endpoint)
    assert may_keep(call(SEEDED, found), route(policy=KEEPS_ALL), NO_PARAMS) is kept
    assert may_keep(call(SEEDED, found), route(policy=None), NO_PARAMS) is False


def test_computed_answers_need_no_seed() -> None:
    """Embeddings are the same each time, whatever the call says."""
    assert may_keep(call(endpoint=EMBEDDINGS), route(), NO_PARAMS)


def test_what_cannot_be_kept_at_all() -> None:
    """Half a request has no key, and a route without anybody no answer."""
    assert not may_keep(msgspec.structs.replace(call(SEEDED), rest_bytes=1), route(), NO_PARAMS)


@pytest.mark.parametrize(
    "defaults, forced, more, kept",
    [
        ({"temperature": b"0"}, {}, "", True),
        ({"temperature": b"0"}, {}, ',"temperature":1', False),
        ({"temperature": b"0"}, {}, ',"temperature":null', False),  # sent as it is, so the provider's own counts
        ({"temperature": b"1"}, {}, ',"temperature":0', True),
        ({}, {"temperature": b"0"}, ',"temperature":1', True),
        ({}, {"temperature": b"1"}, ',"temperature":0', False),
        ({"seed": b"7"}, {}, "", True),
        ({}, {"store": b"true"}, SEEDED, False),
        ({"store": b"true"}, {}, SEEDED + ',"store":false', True),
        ({"background": b"true"}, {}, SEEDED, False),
    ],
)
def test_what_the_configuration_adds_counts(
    defaults: dict[str, bytes], forced: dict[str, bytes], more: str, kept: bool
) -> None:
    """It is what the upstream gets that decides, with the parameters of the candidate that answers."""
    assert may_keep(call(more), route(), Params(defaults, forced)) is kept


@pytest.mark.parametrize(
    "params, more, kept",
    [
        (Params(drops=frozenset({"seed"})), SEEDED, False),
        (Params(drops=frozenset({"temperature"})), ',"temperature":0', False),
        (Params(renames={"random": "seed"}), ',"random":1', True),
        (Params(clamps={"temperature": Bounds(0.1, 1)}), ',"temperature":0', False),
        (Params(clamps={"temperature": Bounds(0, 1)}), ',"temperature":0', True),
        (Params(drops=frozenset({"store"})), SEEDED + ',"store":true', True),
    ],
)
def test_what_the_configuration_adapts_counts(params: Params, more: str, kept: bool) -> None:
    """A seed that the upstream does not get makes nothing repeatable."""
    assert may_keep(call(more), route(), params) is kept


@pytest.mark.parametrize(
    "headers, wish",
    [
        ({}, Wish(look=True, keep=True)),
        ({b"cache-control": b"no-cache"}, Wish(look=False, keep=True)),
        ({b"cache-control": b"max-age=3, No-Cache"}, Wish(look=False, keep=True)),
        ({b"cache-control": b"no-store"}, Wish(look=False, keep=False)),
        ({b"cache-control": b"no-cache,no-store"}, Wish(look=False, keep=False)),
        ({b"cache-control": b"max-stale"}, Wish(look=True, keep=True)),
        ({b"x-gateway-cache": b"off"}, Wish(look=False, keep=False)),
        ({b"x-gateway-cache": b" OFF "}, Wish(look=False, keep=False)),
        ({b"x-gateway-cache": b"hit"}, Wish(look=True, keep=True)),  # a gateway behind a gateway
    ],
)
def test_what_a_client_wishes(headers: dict[bytes, bytes], wish: Wish) -> None:
    """`no-cache` fetches anew and keeps that; `no-store` and `off` do neither."""
    assert wish_of(headers) == wish


def key(
    asked: Call | None = None,
    to: Route | None = None,
    *,
    order: tuple[str, ...] = (),
    caller: str | None = "key_1",
    forwarded: bytes = FORWARDED,
    by: Candidate | None = None,
) -> bytes:
    to = to or route()
    return key_of(asked or call(SEEDED), to, fingerprint(to), order, caller, forwarded, by or to.candidates[0])


LOCAL = candidate(params=Params({"top_p": b"0.9"}))
DIFFERENT = {
    "as it is": key(),
    "another endpoint": key(call(SEEDED, RESPONSES)),
    "a stream": key(call(SEEDED + ',"stream":true')),
    "taken for a stream": key(msgspec.structs.replace(call(SEEDED), stream=True)),
    "another value": key(call(',"seed":2')),
    "another spelling": key(call(',"seed": 1')),
    "another key": key(caller="key_2"),
    "no key": key(caller=""),
    "everybody": key(caller=None),
    "an order of its own": key(order=("cheapest",)),
    "another language": key(forwarded=b"accept-language: de\r\n" + FORWARDED),
    "a beta": key(forwarded=b"openai-beta: assistants=v2\r\n" + FORWARDED),
    "another candidate's": key(by=candidate("b/m")),
    "the same with parameters": key(by=candidate(params=Params({"top_p": b"0.9"}))),
    "the same with forced ones": key(by=candidate(params=Params({}, {"top_p": b"0.9"}))),
    "another route": key(to=route(name="role:s")),
    "another model": key(to=route(candidate("a/n"))),
    "another address": key(to=route(candidate(base_url="http://b.test/v1"))),
    "another organisation": key(to=route(candidate(org="o"))),
    "one more candidate": key(to=route(candidate(), candidate("b/m"))),
    "the other order": key(to=route(candidate("b/m"), candidate())),
    "parameters": key(to=route(LOCAL)),
    "forced parameters": key(to=route(replace(LOCAL, params=Params({}, {"top_p": b"0.9"})))),
    "a share": key(to=route(replace(candidate(), weight=2.0))),
    "a rank": key(to=route(replace(candidate(), rank=1))),
    "a policy": key(to=replace(route(), order=("cheapest",))),
    "a need": key(to=replace(route(), needs=frozenset({Capability.TOOLS}))),
    "a ceiling": key(to=replace(route(), max_price=1)),
    "on policy": key(to=replace(route(), fails_over_on_policy=True)),
}


def test_what_makes_a_key_another() -> None:
    """Whatever an answer may depend on."""
    first: dict[bytes, str] = {}
    same = {name: first[one] for name, one in DIFFERENT.items() if first.setdefault(one, name) != name}
    assert same == {}
    assert {len(one) for one in DIFFERENT.values()} == {32}


def test_what_leaves_a_key_the_same() -> None:
    """Another name of the same route, what is learnt of its models, who pays, and which request it is."""
    learnt = Ability(frozenset({Capability.TOOLS}), context_tokens=8192, free=True)
    same = candidate()
    same = replace(same, upstream=replace(same.upstream, ability=learnt))
    assert key(call(SEEDED, model="whatever led here")) == key()
    assert key(to=route(same, policy=CachePolicy(1.0, nondeterministic=True))) == key()
    assert key(to=route(candidate(key="Bearer rotated"))) == key()
    assert key(forwarded=FORWARDED + b"traceparent: 00-1\r\nidempotency-key: 7\r\nx-title: t\r\n") == key()
    by_name = Params({"a": b"1", "b": b"2"}), Params({"b": b"2", "a": b"1"})
    assert len({key(to=route(candidate(params=params))) for params in by_name}) == 1


def test_nothing_slips_from_one_part_of_a_key_into_the_next() -> None:
    """Parts that only together are the same text are different calls."""
    rng = Random(8400)
    seen: dict[bytes, tuple[str, ...]] = {}
    for _ in range(3000):
        cuts = sorted(rng.sample(range(9), 4))
        text = "rsrsrsrs"
        parts = tuple(text[start:end] for start, end in zip((0, *cuts), (*cuts, 8), strict=True))
        before, name, after, order, caller = parts
        body = f"{before}M{after}".encode()
        asked = Call(CHAT, "M", body, (len(before), len(before) + 1))
        found = key_of(asked, route(name=name), b"", (order,), caller, b"", candidate())
        assert seen.setdefault(found, parts) == parts
    assert len(set(seen)) == len(set(seen.values())) > 100


def test_lines_that_are_kept() -> None:
    """What was true of the first answer only is not said of the next."""
    lines = (
        b"content-type: text/event-stream\r\nDate: today\r\nx-request-id: req_1\r\nx-upstream-request-id: u\r\n"
        b"x-gateway-attempts: 2\r\nx-gateway-route: role:r\r\nx-gateway-model: m\r\n"
        b"x-ratelimit-remaining-requests: 1\r\n"
        b"x-ratelimit-reset-tokens: 1s\r\nanthropic-ratelimit-tokens-limit: 3\r\nratelimit: a;r=1\r\nretry-after: 1\r\n"
        b"ratelimit-remaining: 4\r\nage: 4\r\nx-gateway-plan: {}\r\nx-gateway-cost-usd: 1\r\n"
        b"openai-processing-ms: 12\r\nopenai-version: 1\r\n"
    )
    assert kept_lines(lines) == (
        b"content-type: text/event-stream\r\nx-gateway-route: role:r\r\nx-gateway-model: m\r\nopenai-version: 1\r\n"
    )
    assert kept_lines(b"") == b""


def test_the_size_of_an_entry() -> None:
    """Everything is counted that takes memory."""
    entry = Entry(0.0, 1.0, b"a: b\r\n", (b"xyz", b""), None)
    assert size_of(entry) == ENTRY_OVERHEAD + 6 + 3 + 2 * CHUNK_OVERHEAD
    assert repr(entry) == "<Entry of 3 bytes in 2 pieces>"
