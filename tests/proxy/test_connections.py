"""What happens to connections on both sides: kept when they may be, closed when they must be, never confused."""

from __future__ import annotations

import asyncio
import resource
import time

import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    Deaf,
    End,
    Fin,
    Head,
    NextByte,
    Pause,
    Request,
    Reset,
    Script,
    Send,
    Stall,
    chat,
    chat_json,
    chat_stream,
    delta,
    error_json,
    finish,
    interim,
    like_openai,
    request,
    stream_head,
)
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied, until
from tests.proxy.test_hang_up import form


async def test_a_connection_is_kept_for_the_next_call() -> None:
    """Streams and plain answers take turns on one connection, on both sides of the gateway."""
    async with proxied(like_openai("Hi")) as (running, (upstream,)), Client(running.port) as client:
        for number in range(20):
            await client.send(chat(model=ROLE_NAME, stream=bool(number % 2)))
            assert (await client.response()).complete
        assert len(upstream.connections) == 1
        assert [seen.reuse for seen in upstream.requests] == list(range(20))


async def test_as_many_connections_as_calls_at_once_and_no_more() -> None:
    """A second wave finds the connections of the first."""
    async with proxied((Pause(0.05), *chat_json())) as (running, (upstream,)):
        for _ in range(3):
            await asyncio.gather(*(ask(running, chat(model=ROLE_NAME)) for _ in range(30)))
        assert len(upstream.connections) == 30


STALE_ENDINGS: dict[str, Script] = {"FIN": (NextByte(), Fin()), "RST": (NextByte(), Reset())}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("ending", STALE_ENDINGS)
async def test_the_keep_alive_race_is_lost_invisibly(ending: str, stream: bool) -> None:
    """A kept connection that dies under the next request: once more on a fresh one, and only the header tells."""
    good = chat_stream("Hel", "lo") if stream else chat_json()

    def answer(seen: Request) -> Script:
        return (*good, *STALE_ENDINGS[ending]) if not seen.reuse else (Stall(),)

    async with proxied(answer, error_json(500)) as (running, (upstream, other)), Client(running.port) as client:
        for number in range(20):
            await client.send(chat(f"{number}", model=ROLE_NAME, stream=stream))
            response = await client.response()
            assert response.status == 200
            assert response.complete
            assert response.headers["x-gateway-attempts"] == ("2" if number else "1")
        assert other.requests == []
        line = 'gateway_attempts_total{model="first/m",outcome="stale",provider="first"}'
        assert running.metric(line) == 19
        assert len(upstream.connections) == 20


async def test_after_a_stale_connection_no_other_kept_one_is_taken() -> None:
    """Several are kept, and all may be as dead: the call goes over a new one, so it is sent twice at most."""
    ending = STALE_ENDINGS["FIN"]

    def answer(seen: Request) -> Script:
        return (Pause(0.05), *chat_json(), *ending) if not seen.reuse else (Stall(),)

    async with proxied(answer) as (running, (upstream,)):
        await asyncio.gather(*(ask(running, chat(model=ROLE_NAME)) for _ in range(3)))
        assert len(upstream.connections) == 3
        response = await ask(running, chat(model=ROLE_NAME))
        assert (response.status, response.headers["x-gateway-attempts"]) == (200, "2")
        assert len(upstream.connections) == 4


async def test_a_form_that_cannot_be_sent_again_goes_over_a_fresh_connection() -> None:
    """A kept one may be dead, and what has flowed through is gone."""
    head, body = form(6 << 20)
    async with proxied(chat_json()) as (running, (upstream,)):
        for _ in range(2):
            assert (await ask(running, chat(model=ROLE_NAME))).status == 200
        assert len(upstream.connections) == 1
        assert (await ask(running, head + body)).status == 200
        assert [request.connection.number for request in upstream.requests] == [0, 0, 1]


async def test_a_fresh_connection_that_dies_is_not_stale() -> None:
    """It may have been paid for, so the same upstream is not asked again."""
    async with proxied((Reset(),)) as (running, (upstream,)):
        response = await ask(running)
        assert response.status == 502
        assert response.headers["x-gateway-attempts"] == "1"
        assert len(upstream.requests) == 1


async def test_a_kept_connection_that_answers_in_part_is_not_stale() -> None:
    """The upstream had begun to work; a second request would be a second bill."""

    def answer(seen: Request) -> Script:
        return (Send(b"HTTP/1.1 2"), Fin()) if seen.reuse else chat_json()

    async with proxied(answer) as (running, (upstream,)):
        assert (await ask(running, chat(model=ROLE_NAME))).status == 200
        assert (await ask(running, chat(model=ROLE_NAME))).status == 502
        assert len(upstream.requests) == 2


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    """Its FIN had arrived, so there is nothing to race."""
    async with proxied((*chat_json(), Pause(0.02), Fin())) as (running, (upstream,)):
        for _ in range(3):
            response = await ask(running, chat(model=ROLE_NAME))
            assert response.headers["x-gateway-attempts"] == "1"
            await asyncio.sleep(0.05)
        assert len(upstream.connections) == 3


async def test_a_keep_alive_header_is_believed() -> None:
    """llama.cpp says how long it keeps a connection; later use would lose the race."""
    async with proxied(chat_json(headers={"keep-alive": "timeout=1, max=100"})) as (running, (upstream,)):
        for _ in range(2):
            assert (await ask(running, chat(model=ROLE_NAME))).headers["x-gateway-attempts"] == "1"
            await asyncio.sleep(0.05)
        assert len(upstream.connections) == 2


SMUGGLED = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled"


@pytest.mark.parametrize(
    "extra",
    [SMUGGLED, b"x", b"\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["an answer", "a byte", "after empty lines", "an interim answer"],
)
@pytest.mark.parametrize("together", [True, False])
async def test_bytes_after_an_answer_are_never_the_next_answer(extra: bytes, together: bool) -> None:
    """The connection is not used again; what nobody asked for is nobody's."""
    raw = b"".join(step.content for step in chat_json() if isinstance(step, Body))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(raw)
    steps: Script = (Send(head + raw + extra),) if together else (Send(head + raw), Pause(0.02), Send(extra))
    async with proxied(steps) as (running, (upstream,)), Client(running.port) as client:
        for number in range(3):
            await client.send(chat(model=ROLE_NAME))
            response = await client.response()
            assert response.status == 200
            assert response.body == raw
            await asyncio.sleep(0.05)
            assert len(upstream.connections) == number + 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_connection_that_the_upstream_will_close_is_not_kept(version: bytes) -> None:
    """By `connection: close`, or by HTTP/1.0, whatever it does then."""
    raw = b"".join(step.content for step in chat_json() if isinstance(step, Body))
    close = b"connection: close\r\n" if version == b"1.1" else b""
    head = b"HTTP/%b 200 OK\r\n%bcontent-length: %d\r\n\r\n" % (version, close, len(raw))
    async with proxied((Send(head + raw),)) as (running, (upstream,)):
        for number in range(3):
            assert (await ask(running, chat(model=ROLE_NAME))).body == raw
            assert len(upstream.connections) == number + 1
        await until(lambda: upstream.open_connections == 0, 1)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_ends_with_its_head(status: int) -> None:
    """Nothing is waited for, and the connection can be used again."""
    script = (Head(status, {"x-a": "b"}),)
    async with proxied(script, chat_json(), timeouts="first_byte: 5s, idle: 5s") as (running, (upstream, _)):
        for _ in range(2):
            started_at = time.monotonic()
            response = await ask(running, chat(model=ROLE_NAME))
            assert response.headers["x-gateway-provider"] == "second"
            assert time.monotonic() - started_at < 0.5
        assert len(upstream.connections) == 1


async def test_interim_answers_are_swallowed() -> None:
    """100, 102 and 103 are between the gateway and the upstream."""
    script = (interim(100), interim(102), interim(103, {"link": "</x>; rel=preload", "x-early": "1"}), *chat_json())
    async with proxied(script) as (running, (upstream,)):
        for _ in range(2):
            response = await ask(running, chat(model=ROLE_NAME))
            assert response.status == 200
            assert response.interim == []
            assert not {"link", "x-early"} & response.headers.keys()
        assert len(upstream.connections) == 1


async def test_an_open_body_after_the_last_event_keeps_nobody_waiting() -> None:
    """The client is done within 100 ms of [DONE]; the upstream, which never ends, is cut off after a second."""
    async with proxied(chat_stream("Hel", "lo", end=False)) as (running, (upstream,)), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True))
        response = await client.head()
        while not response.body.endswith(DONE.content):
            await client.chunk(response)
        done_at = time.monotonic()
        await client.finish(response)
        assert response.complete
        assert time.monotonic() - done_at < 0.1
        await exchange_is_over(running)
        closed_at = await upstream.wait_closed(within_s=3)
        assert 0.8 < closed_at - done_at < 1.3


async def test_two_hundred_open_bodies_leak_nothing() -> None:
    """Each is closed in its time; the gateway keeps neither sockets nor tasks."""
    async with proxied(chat_stream("Hel", "lo", end=False)) as (running, (upstream,)):

        async def work() -> None:
            async with Client(running.port) as client:
                for _ in range(10):
                    await client.send(chat(model=ROLE_NAME, stream=True))
                    assert (await client.response()).complete

        await asyncio.gather(*(work() for _ in range(20)))
        assert len(upstream.requests) == 200
        await exchange_is_over(running)
        await until(lambda: upstream.open_connections == 0, 2)
        assert running.metric('gateway_attempts_total{model="first/m",outcome="ok",provider="first"}') == 200


async def test_an_end_that_comes_late_still_keeps_the_connection() -> None:
    """Within the second, the rest is read and the connection used again."""
    late = (*chat_stream("Hel", "lo", end=False), Pause(0.15), End())
    async with proxied(late) as (running, (upstream,)):
        for _ in range(2):
            assert (await ask(running)).complete
            await asyncio.sleep(0.25)
        assert len(upstream.connections) == 1


async def test_a_flood_after_done_is_cut_off() -> None:
    """What follows the last event is not the client's, and is not read without end."""
    flood: Script = (Pause(0.1), Body(b": " + b"x" * 65536, times=2000), Stall())
    async with proxied((*chat_stream("Hel", "lo", end=False), *flood)) as (running, (upstream,)):
        response = await ask(running)
        assert response.complete
        assert response.body.endswith(DONE.content)
        await upstream.wait_closed(within_s=0.8)
        assert upstream.requests[0].bytes_sent < 16 << 20


# -- request bodies


async def test_an_answer_that_comes_before_the_form_was_sent() -> None:
    """The client gets it although it is still sending, and the half-used connection is not used again."""
    head, body = form(12 << 20)
    refusal = error_json(413, headers={"x-from": "early"})

    async with proxied(chat_json(), strict=False) as (running, (upstream,)):
        upstream.on_connect(Deaf(), Pause(0.05), *refusal, Stall())
        async with Client(running.port) as client:
            sending = asyncio.ensure_future(client.send(head + body))
            response = await client.response()
            assert response.status == 413
            assert response.headers["x-from"] == "early"
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        upstream.on_connect()
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 200
        assert len(upstream.connections) == 2


async def test_a_deaf_upstream_does_not_make_the_gateway_hold_the_form() -> None:
    """The upload stops where the upstream stops reading, and the client feels it."""
    head, body = form(64 << 20)
    async with proxied(chat_json()) as (running, (upstream,)):
        upstream.on_connect(Deaf(), Stall())
        async with Client(running.port) as client:
            sending = asyncio.ensure_future(client.send(head + body))
            await asyncio.sleep(0.4)
            assert not sending.done()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


# -- readers


async def test_a_slow_reader_stops_the_upstream_and_memory_is_bounded() -> None:
    """Two hundred megabytes for a client that does not read: they stay where they are made."""
    flood: Script = (stream_head(), ROLE, Body(delta("x" * 60_000).content, times=3500), finish(), DONE, End())
    async with proxied(flood) as (running, (upstream,)), Client(running.port, receive_buffer=4096) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await client.send(chat(model=ROLE_NAME, stream=True))
        await upstream.wait_blocked()
        await asyncio.sleep(0.2)
        assert upstream.requests[0].bytes_sent < 20 << 20
        response = await client.head()
        received = 0
        for _ in range(50):
            received += len(await client.chunk(response) or b"")
            response.chunks.clear()
        assert received > 1 << 20
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 30_000


async def test_a_slow_reader_gets_every_byte() -> None:
    """Pausing and resuming loses nothing and repeats nothing."""
    events = [delta(f"{number} " + "x" * 5000) for number in range(2000)]
    script: Script = (stream_head(), ROLE, *events, finish(), DONE, End())
    async with proxied(script) as (running, (upstream,)), Client(running.port, receive_buffer=4096) as client:
        await client.send(chat(model=ROLE_NAME, stream=True))
        await upstream.wait_blocked()
        response = await client.response()
        assert response.complete
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))


async def test_a_reader_that_stops_is_cut_off() -> None:
    """After the write timeout its socket is closed, and the upstream with it."""
    flood: Script = (stream_head(), ROLE, Body(delta("x" * 60_000).content, times=3500), Stall())
    async with proxied(flood, server="{timeouts: {write: 300ms}}") as (running, (upstream,)):
        client = Client(running.port, receive_buffer=4096)
        async with client:
            await client.send(chat(model=ROLE_NAME, stream=True))
            blocked_at = await upstream.wait_blocked()
            assert 0.2 < await upstream.wait_closed() - blocked_at < 1.5
            await exchange_is_over(running)
            assert not running.server.server_state.connections


# -- headers


async def test_what_is_between_upstream_and_gateway_does_not_reach_the_client() -> None:
    """Cookies, hop-by-hop fields and everything `connection` names stop here; the rest passes."""
    script = chat_json(
        headers=(
            ("set-cookie", "session=1; path=/"),
            ("set-cookie2", "session=1"),
            ("Connection", "keep-alive, X-Internal"),
            ("keep-alive", "timeout=60"),
            ("x-internal", "secret"),
            ("proxy-authenticate", "Basic"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("trailer", "x-checksum"),
            ("upgrade", "h2c"),
            ("alt-svc", 'h3=":443"'),
            ("x-gateway-provider", "forged"),
            ("x-gateway-anything", "forged"),
            ("x-request-id", "req_upstream"),
            ("x-ratelimit-remaining-tokens", "5"),
            ("openai-processing-ms", "7"),
            ("x-latin", "caf\xe9"),
        )
    )
    async with proxied(script) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, headers={"x-request-id": "mine-1"}))
        response = await client.response()
        assert {name for name, _ in response.fields} == {
            "content-type", "content-length", "x-ratelimit-remaining-tokens", "openai-processing-ms", "x-latin",
            "x-upstream-request-id", "x-request-id", "x-gateway-attempts", "x-gateway-route", "x-gateway-provider",
            "x-gateway-model", "x-gateway-cost-usd",
        }  # fmt: skip
        assert len(response.fields) == len(response.headers)
        assert response.headers["x-request-id"] == "mine-1"
        assert response.headers["x-upstream-request-id"] == "req_upstream"
        assert response.headers["x-gateway-provider"] == "first"
        assert response.headers["x-latin"] == "caf\xe9"


async def test_trailers_are_no_headers() -> None:
    """What comes after the body cannot add to what was said before it."""
    body = b"".join(step.content for step in chat_json() if isinstance(step, Body))
    head = Head(200, {"content-type": "application/json"}, "chunked")
    trailers = Send(b"0\r\nx-late: 1\r\nset-cookie: a=b\r\ncontent-encoding: gzip\r\n\r\n")
    async with proxied((head, Body(body), trailers)) as (running, (upstream,)):
        for _ in range(2):
            response = await ask(running, chat(model=ROLE_NAME))
            assert response.body == body
            assert not {"x-late", "set-cookie", "content-encoding"} & response.headers.keys()
        assert len(upstream.connections) == 1


async def test_what_identifies_the_client_does_not_reach_the_upstream() -> None:
    """By permission only: no credential, cookie, address or fingerprint of the client's SDK."""
    sent = {
        "authorization": "Bearer client-secret",
        "x-api-key": "client-secret",
        "api-key": "client-secret",
        "cookie": "session=client-secret",
        "proxy-authorization": "Basic client-secret",
        "x-forwarded-for": "10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "origin": "http://localhost:3000",
        "referer": "http://localhost:3000/secret",
        "user-agent": "OpenAI/Python 3.0",
        "x-stainless-lang": "python",
        "x-stainless-retry-count": "0",
        "openai-organization": "org-client",
        "openai-project": "proj-client",
        "accept-encoding": "gzip, br",
        "connection": "keep-alive, x-title",
        "te": "trailers",
        "x-gateway-explain": "0",
        "expect": "100-continue",
        "accept": "text/event-stream",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "idempotency-key": "abc",
        "http-referer": "https://app.example",
    }
    del sent["x-api-key"], sent["api-key"]
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, headers=sent))
        assert (await client.response()).status == 200
        seen = upstream.requests[0]
        assert set(seen.headers) == {
            "host", "user-agent", "accept-encoding", "content-type", "content-length", "accept", "traceparent",
            "idempotency-key", "http-referer",
        }  # fmt: skip
        assert len(seen.incoming.fields) == len(seen.headers)
        assert seen.headers["host"] == f"127.0.0.1:{upstream.port}"
        assert seen.headers["accept-encoding"] == "identity"
        assert "OpenAI" not in seen.headers["user-agent"]
        assert b"client-secret" not in seen.incoming.head
        assert seen.target == "/v1/chat/completions"


async def test_a_header_that_connection_names_is_not_forwarded() -> None:
    """RFC 9110 section 7.6.1 holds for those that would pass otherwise, too."""
    headers = {"connection": "close, x-title", "x-title": "My app", "accept": "*/*"}
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, headers=headers))
        assert (await client.response()).status == 200
        assert "x-title" not in upstream.requests[0].headers
        assert upstream.requests[0].headers["accept"] == "*/*"


@pytest.mark.parametrize("query", ["?api-version=1", "?base_url=http://evil.example/", "?key=abc"])
async def test_the_clients_query_does_not_reach_the_upstream(query: str) -> None:
    """Callers choose no URL, not even its end."""
    async with proxied(chat_json()) as (running, (upstream,)):
        asked = request("POST", f"/v1/chat/completions{query}", {"model": ROLE_NAME, "messages": []})
        assert (await ask(running, asked)).status == 200
        assert upstream.requests[0].target == "/v1/chat/completions"
