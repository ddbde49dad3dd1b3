"""A head that two servers would read differently is refused, whoever sends it and with whatever key."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults import Client, chat, chat_json, request
from tests.faults.client import Hangup
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied

KEY = "client-key-0123456789abcdef"
KEYED = f"{{api_keys: [{KEY}]}}"
BODY = b'{"model":"role:rlm","messages":[]}'
START = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"host: 127.0.0.1\r\n"
AUTH = b"authorization: Bearer " + KEY.encode() + b"\r\n"
TYPE = b"content-type: application/json\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"


def coded(coding: bytes, version: bytes = b"1.1") -> bytes:
    return START.replace(b"1.1", version) + HOST + AUTH + TYPE + coding + b"\r\n" + CHUNKED + b"\r\n"


def plain(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return START.replace(b"1.1", version) + b"".join(lines) + AUTH + TYPE + LENGTH + b"\r\n" + BODY


REFUSED = {
    "no host": (plain(), 400, "invalid_host"),
    "no host on a path for everybody": (b"GET /livez HTTP/1.1\r\n\r\n", 400, "invalid_host"),
    "two hosts": (plain(HOST, b"host: evil.example\r\n"), 400, "repeated_header"),
    "the same host twice": (plain(HOST, HOST), 400, "repeated_header"),
    "an empty host": (plain(b"host: \r\n"), 400, "invalid_host"),
    "a host with a fragment": (plain(b"host: 127.0.0.1#evil.com\r\n"), 400, "invalid_host"),
    "a host with a path": (plain(b"host: 127.0.0.1/evil\r\n"), 400, "invalid_host"),
    "a port that is no number": (plain(b"host: 127.0.0.1:abc\r\n"), 400, "invalid_host"),
    "an address that is none": (plain(b"host: 127.999.1.1\r\n"), 400, "invalid_host"),
    "a host with a user": (plain(b"host: a@127.0.0.1\r\n"), 400, "invalid_host"),
    "a malformed host in HTTP/1.0": (plain(b"host: a b\r\n", version=b"1.0"), 400, "invalid_host"),
    "a target of another host": (
        plain(HOST).replace(b"POST /", b"POST http://evil.example/", 1), 400, "invalid_host",
    ),
    "a target with a user": (plain(HOST).replace(b"POST /", b"POST http://a@127.0.0.1/", 1), 400, "invalid_host"),
    "a coding before chunked": (coded(b"transfer-encoding: gzip, chunked\r\n"), 501, "unsupported_transfer_coding"),
    "in two lines": (
        coded(b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n"), 501, "unsupported_transfer_coding",
    ),
    "an unknown coding": (coded(b"transfer-encoding: x-y, Chunked\r\n"), 501, "unsupported_transfer_coding"),
    "chunked twice": (coded(b"transfer-encoding: chunked, chunked\r\n"), 400, None),
    "chunked not last": (coded(b"transfer-encoding: chunked, gzip\r\n"), 400, None),
    "only gzip": (coded(b"transfer-encoding: gzip\r\n"), 400, None),
    "a parameter of chunked": (coded(b"transfer-encoding: chunked;q=1\r\n"), 400, None),
    "chunked in HTTP/1.0": (coded(b"transfer-encoding: chunked\r\n", b"1.0"), 400, "invalid_transfer_coding"),
    "another expectation": (plain(HOST, b"expect: 200-ok\r\n"), 417, "expectation_failed"),
    "two expectations": (plain(HOST, b"expect: 100-continue, x\r\n"), 417, "expectation_failed"),
    "two lines of them": (plain(HOST, b"expect: x\r\nexpect: 100-continue\r\n"), 417, "expectation_failed"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_can_be_read_in_two_ways_is_refused(name: str) -> None:
    """With a good key too, in OpenAI's shape, and the connection ends: what follows may be part of it."""
    sent, status, code = REFUSED[name]
    async with proxied(chat_json(), server=KEYED) as (running, (upstream,)), Client(running.port) as client:
        await client.send(sent)
        response = await client.response()
        assert response.status == status
        assert response.json["error"]["type"] == "invalid_request_error"
        assert code is None or response.json["error"]["code"] == code
        assert response.headers["connection"] == "close"
        client.half_close()
        await client.closed(within_s=3)
        assert upstream.requests == []


SERVED = {
    "a name": plain(b"host: gateway.example.com\r\n"),
    "a name with a port": plain(b"host: gateway:8400\r\n"),
    "an empty port": plain(b"host: gateway:\r\n"),
    "IPv6": plain(b"host: [2001:db8::1]:8400\r\n"),
    "no host in HTTP/1.0": plain(version=b"1.0"),
    "chunked": coded(b"transfer-encoding: chunked\r\n"),
    "chunked, spelt otherwise": coded(b"Transfer-Encoding: Chunked \r\n"),
    "an expectation that is met": plain(HOST, b"expect: 100-Continue\r\n"),
    "a target with this host": plain(HOST).replace(b"POST /", b"POST http://127.0.0.1:1/", 1),
    "an unknown protocol": plain(HOST, b"connection: upgrade\r\nupgrade: TLS/1.0\r\n"),
}


@pytest.mark.parametrize("name", SERVED)
async def test_what_has_one_meaning_is_served(name: str) -> None:
    async with proxied(chat_json(), server=KEYED) as (running, _):
        assert (await ask(running, SERVED[name])).status == 200


async def test_http_1_0_gets_no_interim_answer() -> None:
    """It does not know 100 (RFC 9110 section 10.1.1)."""
    async with proxied(chat_json(), server=KEYED) as (running, _):
        response = await ask(running, plain(HOST, b"expect: 100-continue\r\n", version=b"1.0"))
        assert (response.status, response.interim) == (200, [])


# -- trailers


async def test_a_trailer_is_no_header() -> None:
    """Neither a key nor anything that is forwarded counts there (RFC 9110 section 6.5.1)."""
    get = b"GET /v1/models HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + AUTH + b"\r\n"
    beta = b"openai-beta: a\r\n"
    post = START + HOST + AUTH + TYPE + beta + b"transfer-encoding: chunked\r\n\r\n" + CHUNKED
    async with proxied(chat_json(), server=KEYED) as (running, (upstream,)):
        assert (await ask(running, get)).status == 401
        trailers = b"openai-beta: b\r\nidempotency-key: c\r\n" + HOST + AUTH + b"\r\n"
        assert (await ask(running, post + trailers)).status == 200
        seen = upstream.requests[0].headers
        assert seen["openai-beta"] == "a"
        assert "idempotency-key" not in seen


TRAILERS = {
    "many": b"x-a: b\r\n" * 101 + b"\r\n",
    "large": b"x-a: " + b"a" * 40_000 + b"\r\n\r\n",
    "one without end": b"x-a: " + b"a" * 2_000_000,
    "without end": b"x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 200_000,
}


@pytest.mark.parametrize("name", TRAILERS)
@pytest.mark.parametrize("offers", [b"", H2C], ids=["", "h2c"])
async def test_trailers_without_end_are_a_431(name: str, offers: bytes) -> None:
    """At once, and no upstream hears of the call."""
    head = START + HOST + TYPE + offers + b"transfer-encoding: chunked\r\n\r\n"
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(head + CHUNKED)
        sending = asyncio.ensure_future(client.send(TRAILERS[name]))
        response = await client.response(within_s=3)
        assert (response.status, response.json["error"]["code"]) == (431, "headers_too_large")
        await asyncio.gather(sending, return_exceptions=True)
        assert upstream.requests == []


async def test_a_chunk_extension_without_end_is_a_431() -> None:
    """It is read by nobody, and costs as much as a header."""
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        await client.send(START + HOST + TYPE + b"transfer-encoding: chunked\r\n\r\n")
        sending = asyncio.ensure_future(client.send(b"5;" + b"x" * 2_000_000))
        assert (await client.response(within_s=3)).status == 431
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_few_trailers_are_dropped_in_any_pieces() -> None:
    whole = START + HOST + TYPE + b"transfer-encoding: chunked\r\n\r\n" + CHUNKED + b"x-a: b\r\n" * 50 + b"\r\n"
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        for _ in range(3):  # what was counted is forgotten with the request
            await client.send(*[whole[at : at + 37] for at in range(0, len(whole), 37)])
            assert (await client.response()).status == 200


# -- offers of HTTP/2


OFFERS = {
    "chunked": b"transfer-encoding: chunked\r\n\r\n" + CHUNKED + b"\r\n",
    "chunked, with trailers": b"transfer-encoding: chunked\r\n\r\n" + CHUNKED + b"x-a: b\r\nx-c: d\r\n\r\n",
    "with a length": LENGTH + b"\r\n" + BODY,
}


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("size", [1, 40, 100_000])
async def test_an_offer_of_http_2_is_passed_over(name: str, size: int) -> None:
    """However the body is framed, in whatever pieces, and what is pipelined behind it has its turn."""
    one = START + HOST + TYPE + H2C + OFFERS[name]
    whole = one + request("GET", "/livez") + one + one + request("GET", "/v1/models")
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        sending = asyncio.ensure_future(client.send(*[whole[at : at + size] for at in range(0, len(whole), size)]))
        found = [await client.response() for _ in range(5)]
        await sending
        assert [one.status for one in found] == [200] * 5
        assert found[1].json == {"status": "ok"}
        assert found[4].json["object"] == "list"
        assert [seen.body for seen in upstream.requests] == [BODY.replace(b"role:rlm", b"m")] * 3


async def test_a_body_behind_an_offer_smuggles_nothing() -> None:
    """What follows its end is the next request, and is checked like one."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(START + HOST + TYPE + H2C + OFFERS["chunked"] + b"noise\r\n\r\n")
        assert (await client.response()).status == 200
        client.half_close()
        with pytest.raises(Hangup):
            await client.response()
        assert len(upstream.requests) == 1


async def test_many_offers_in_one_segment_hold_up_nobody() -> None:
    one = b"GET /livez HTTP/1.1\r\n" + HOST + H2C + b"\r\n"
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        await client.send(one * 500)
        for _ in range(500):
            assert (await client.response()).status == 200


# -- WebSocket


HANDSHAKE = {
    "connection": "keep-alive, Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/v1/responses", "/responses", "/v1/realtime?model=x", "/realtime", "/v1/chat/completions", "/v1/v1/responses",
     "/v1/responses/", "/v1/nothing"],
)  # fmt: skip
@pytest.mark.parametrize("server", ["{}", KEYED], ids=["", "keyed"])
async def test_a_websocket_is_answered_426(path: str, server: str) -> None:
    """Codex falls back to HTTP at once on that, fails on 400, and tries seven times on anything else."""
    async with proxied(chat_json(), server=server) as (running, (upstream,)), Client(running.port) as client:
        started_at = time.monotonic()
        await client.send(request("GET", path, headers={**HANDSHAKE, "upgrade": "WebSocket"}))
        response = await client.response(within_s=1)
        assert response.status == 426
        assert response.json["error"]["code"] == "websocket_not_supported"
        assert response.headers["connection"] == "close"
        assert response.headers["upgrade"] == "HTTP/1.1"
        assert await client.closed(within_s=1)
        assert time.monotonic() - started_at < 0.5
        assert upstream.connections == []


# -- refused on the way


@pytest.mark.parametrize("piece", [b"", b"0\r\n" + b"x-a: b\r\n" * 101 + b"\r\n"])
async def test_a_body_that_the_server_refuses_half_way_is_answered(piece: bytes) -> None:
    """And nothing of the call is left."""
    async with proxied(chat_json(), server="{timeouts: {body: 300ms}}") as (running, _), Client(running.port) as client:
        await client.send(START + HOST + TYPE + b"transfer-encoding: chunked\r\n\r\n" + piece)
        assert (await client.response(within_s=3)).status == (431 if piece else 408)
        await exchange_is_over(running)


async def test_a_charset_that_json_does_not_have_is_a_415() -> None:
    """It would be read as UTF-8, into something that nobody wrote (RFC 8259 section 8.1)."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        for kind, status in (
            ("application/json; charset=utf-8", 200), ('application/json;charset="UTF-8"', 200),
            ("application/json; charset=us-ascii", 200), ("application/json; odata=x; charset=utf8", 200),
            ("application/json; profile=x", 200), ("application/json; charset=utf-16", 415),
            ("application/json;Charset=ISO-8859-1", 415), ("application/json; charset=", 415),
        ):  # fmt: skip
            await client.send(chat(model=ROLE_NAME, headers={"content-type": kind}))
            response = await client.response()
            assert response.status == status, kind
            if status == 415:
                assert response.json["error"]["code"] == "unsupported_charset"
        assert len(upstream.requests) == 5
