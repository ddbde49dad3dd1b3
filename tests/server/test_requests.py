"""One request is one request: framing tricks, pipelining and odd methods never make two of it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time

import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    Hangup,
    Head,
    Pause,
    Request,
    Response,
    Script,
    Stall,
    chat,
    chat_json,
    chat_stream,
    delta,
    finish,
    like_openai,
    request,
    stream_head,
)
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied, until

BODY = b'{"model":"role:rlm","messages":[]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"host: 127.0.0.1\r\n"
TYPE = b"content-type: application/json\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
SMUGGLED = POST + HOST + TYPE + LENGTH + b"x-smuggled: 1\r\n\r\n" + BODY
CODED = POST + HOST + TYPE + b"transfer-encoding: chunked\r\n\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)

SMUGGLING = {
    "CL.TE": POST + HOST + TYPE + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG" + SMUGGLED,
    "TE.CL": POST + HOST + TYPE + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n" + CHUNKED + SMUGGLED,
    "TE.TE": POST + HOST + TYPE + b"transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n" + CHUNKED + SMUGGLED,
    "TE x": POST + HOST + TYPE + LENGTH + b"transfer-encoding: xchunked\r\n\r\n" + BODY + SMUGGLED,
    "TE identity": POST + HOST + TYPE + LENGTH + b"transfer-encoding: identity\r\n\r\n" + BODY + SMUGGLED,
    "TE with a tab": POST + HOST + TYPE + LENGTH + b"transfer-encoding:\tchunked\r\n\r\n" + BODY + SMUGGLED,
    "TE after a space": POST + HOST + TYPE + LENGTH + b"transfer-encoding : chunked\r\n\r\n" + BODY + SMUGGLED,
    "underscore": POST + HOST + TYPE + b"content-length: 3_4\r\n\r\n" + BODY + SMUGGLED,
    "plus": POST + HOST + TYPE + b"content-length: +34\r\n\r\n" + BODY + SMUGGLED,
    "minus": POST + HOST + TYPE + b"content-length: -1\r\n\r\n" + BODY + SMUGGLED,
    "hexadecimal": POST + HOST + TYPE + b"content-length: 0x22\r\n\r\n" + BODY + SMUGGLED,
    "list": POST + HOST + TYPE + b"content-length: 34, 34\r\n\r\n" + BODY + SMUGGLED,
    "empty": POST + HOST + TYPE + b"content-length: \r\n\r\n" + BODY + SMUGGLED,
    "huge": POST + HOST + TYPE + b"content-length: 99999999999999999999999\r\n\r\n" + BODY + SMUGGLED,
    "two lengths": POST + HOST + TYPE + LENGTH + b"content-length: 5\r\n\r\n" + BODY + SMUGGLED,
    "the same length twice": POST + HOST + TYPE + LENGTH + LENGTH + b"\r\n" + BODY + SMUGGLED,
    "a folded header": POST + HOST + TYPE + LENGTH + b"x-a: b\r\n c\r\n\r\n" + BODY + SMUGGLED,
    "a folded length": POST + HOST + TYPE + b"content-length:\r\n 34\r\n\r\n" + BODY + SMUGGLED,
    "bare LF": (POST + HOST + TYPE + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY + SMUGGLED,
    "one bare LF": POST + HOST + TYPE + b"x-a: b\ncontent-length: 34\r\n\r\n" + BODY + SMUGGLED,
    "bare CR": POST + HOST + TYPE + b"x-a: b\rcontent-length: 34\r\n\r\n" + BODY + SMUGGLED,
    "NUL in a header": POST + HOST + TYPE + LENGTH + b"x-a: \0\r\n\r\n" + BODY + SMUGGLED,
    "NUL in a name": POST + HOST + TYPE + LENGTH + b"x\0a: b\r\n\r\n" + BODY + SMUGGLED,
    "a space in a name": POST + HOST + TYPE + LENGTH + b"x a: b\r\n\r\n" + BODY + SMUGGLED,
    "a space before the first header": POST + b" x: y\r\n" + HOST + TYPE + LENGTH + b"\r\n" + BODY + SMUGGLED,
    "no colon": POST + HOST + TYPE + LENGTH + b"x-a\r\n\r\n" + BODY + SMUGGLED,
    "a bad chunk size": CODED + b"0x22\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size with a sign": CODED + b"+22\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk ended by LF": CODED + b"22\n" + BODY + b"\n0\n\n" + SMUGGLED,
    "a chunk longer than its size": CODED + b"5\r\n" + BODY + SMUGGLED,
    "a huge chunk size": CODED + b"f" * 17 + b"\r\n" + BODY + SMUGGLED,
    "no version": b"POST /v1/chat/completions\r\n" + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/2.0": b"POST /v1/chat/completions HTTP/2.0\r\n" + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "HTTP/3": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"PSOT /v1/chat/completions HTTP/1.1\r\n" + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "noise": bytes(range(256)),
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLING)
async def test_a_request_that_can_be_read_in_two_ways_is_read_in_none(name: str) -> None:
    """400 and the end of the connection; no upstream ever sees a second request in it."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(SMUGGLING[name])
        response = await client.response(within_s=2)
        assert response.status == 400
        assert response.headers["content-type"] == "application/json"
        assert response.json["error"]["type"] == "invalid_request_error"
        assert response.headers["connection"] == "close"
        client.half_close()
        await client.closed(within_s=3)
        await exchange_is_over(running)
        assert upstream.requests == []


async def test_a_request_without_host_is_refused() -> None:
    """RFC 9112 section 3.2."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(POST + TYPE + LENGTH + b"\r\n" + BODY)
        assert (await client.response()).status in {400, 403}
        assert upstream.requests == []


async def test_two_hosts_are_refused() -> None:
    """Which one counts would be anybody's guess."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(POST + HOST + b"host: evil.example\r\n" + TYPE + LENGTH + b"\r\n" + BODY)
        assert (await client.response()).status in {400, 403}
        assert upstream.requests == []


async def test_an_escaped_newline_in_the_path_splits_nothing() -> None:
    """What is decoded from a path is text, never a header."""
    async with proxied(chat_json()) as (running, _):
        response = await ask(running, request("GET", "/v1/%0d%0aset-cookie:%20a=b%0d%0a"))
        assert response.status == 404
        assert "set-cookie" not in response.headers


# -- pipelining


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    """Ten requests in one segment, streams and plain ones; each gets its own answer."""

    def echo(seen: Request) -> Script:
        text = seen.json["messages"][0]["content"]
        return chat_stream(text) if seen.json.get("stream") else chat_json(text)

    async with proxied(echo) as (running, (upstream,)), Client(running.port) as client:
        await client.send(b"".join(chat(f"n{n}", model=ROLE_NAME, stream=bool(n % 2)) for n in range(10)))
        for number in range(10):
            response = await client.response()
            assert response.complete
            assert f'"n{number}"'.encode() in response.body
        assert len(upstream.requests) == 10


SLOW_STREAM: Script = (
    stream_head(), ROLE, *(step for n in range(10) for step in (delta(f"{n}"), Pause(0.02))), finish(), DONE, End()
)  # fmt: skip
SLOW_BYTES = b"".join(step.content for step in SLOW_STREAM if isinstance(step, Body))

MALFORMED = {
    "noise": b"\x00\x01\x02 not http\r\n\r\n",
    "smuggling": SMUGGLING["CL.TE"],
    "too large": b"GET / HTTP/1.1\r\nx: " + b"x" * 40_000,
    "bare LF": b"GET / HTTP/1.1\nhost: x\n\n",
    "half a request": POST + HOST,
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("delay_s", [0.0, 0.1])
async def test_a_malformed_request_behind_a_stream_does_not_touch_it(name: str, delay_s: float) -> None:
    """The first answer arrives whole; nothing is written into it."""
    async with proxied(SLOW_STREAM) as (running, (upstream,)), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True), MALFORMED[name], every_s=delay_s)
        response = await client.response()
        assert response.status == 200
        assert response.complete
        assert response.body == SLOW_BYTES
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.1])
async def test_a_good_request_behind_a_stream_has_its_turn(delay_s: float) -> None:
    """Afterwards, on the same connection."""
    async with proxied(SLOW_STREAM) as (running, (upstream,)), Client(running.port) as client:
        upstream.script(SLOW_STREAM, chat_json("the second"))
        await client.send(
            chat(model=ROLE_NAME, stream=True), chat("b", model=ROLE_NAME) + request("GET", "/livez"), every_s=delay_s
        )
        assert (await client.response()).body == SLOW_BYTES
        assert (await client.response()).json["choices"][0]["message"]["content"] == "the second"
        assert (await client.response()).json == {"status": "ok"}


async def test_a_malformed_request_behind_a_plain_call_does_not_touch_it() -> None:
    """The first was good and is answered; then the connection ends."""
    async with proxied((Pause(0.1), *chat_json("good"))) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME) + MALFORMED["noise"])
        response = await client.response()
        assert response.status == 200
        assert response.json["choices"][0]["message"]["content"] == "good"
        client.half_close()
        assert await client.closed(within_s=3)


async def test_a_client_that_leaves_with_requests_queued_leaves_nothing() -> None:
    """Those whose turn has not come are never sent upstream."""
    async with proxied((Stall(),)) as (running, (upstream,)), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME) * 5)
        await upstream.wait_request()
        client.reset()
        await upstream.wait_closed()
        await exchange_is_over(running)
        assert len(upstream.requests) == 1


async def test_a_flood_of_pipelined_requests_is_not_taken_in() -> None:
    """While the first is being answered, reading stops."""
    async with proxied((Stall(),)) as (running, (upstream,)), Client(running.port) as client:
        one = request("GET", "/livez")
        sending = asyncio.ensure_future(client.send(chat(model=ROLE_NAME), *[one * 1000] * 2000))
        await upstream.wait_request()
        await asyncio.sleep(0.3)
        assert not sending.done()
        protocol = next(iter(running.server.server_state.connections))
        assert len(protocol._queue) < 20_000  # type: ignore[union-attr]  # ours
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_client_that_asks_and_never_reads_is_cut_off() -> None:
    """Answers wait for the reader, so they do not pile up; and the reader has the write timeout."""
    server = "{timeouts: {write: 300ms}}"
    one = request("GET", "/metrics")
    async with proxied(chat_json(), server=server) as (running, _), Client(running.port, receive_buffer=4096) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(ConnectionError, TimeoutError):
            await client.send(*[one * 100] * 100, every_s=0.01)
        await until(lambda: not running.server.server_state.connections, 3, "the end of the connection")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
        await exchange_is_over(running)


async def test_half_a_request_behind_a_call_does_not_end_it() -> None:
    """Its header timeout is its own; the call before it was complete and is answered."""
    server = "{timeouts: {header: 200ms}}"
    async with proxied((Pause(1.0), *chat_json("good")), server=server) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME) + POST + HOST)
        assert response.status == 200
        assert response.json["choices"][0]["message"]["content"] == "good"


# -- the rest of HTTP/1.1


async def test_keep_alive_is_kept() -> None:
    """Data plane, small endpoints and refusals on one connection."""
    async with proxied(like_openai("Hi")) as (running, _), Client(running.port) as client:
        for asked, status in [
            (chat(model=ROLE_NAME), 200),
            (request("GET", "/v1/models"), 200),
            (request("GET", "/nowhere"), 404),
            (chat(model="nothing"), 404),
            (chat(model=ROLE_NAME, stream=True), 200),
            (request("POST", "/v1/chat/completions", body=b"{"), 400),
            (request("GET", "/v1/chat/completions"), 405),
            (request("GET", "/livez"), 200),
        ]:
            await client.send(asked)
            response = await client.response()
            assert response.status == status
            assert response.complete
            assert "connection" not in response.headers


async def test_expect_100_continue_is_answered_when_the_body_is_wanted() -> None:
    """The client waits for it."""
    whole = chat(model=ROLE_NAME, headers={"expect": "100-continue"})
    head, _, body = whole.partition(b"\r\n\r\n")
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        await client.send(head + b"\r\n\r\n")
        assert await client.read(within_s=1) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.response()).status == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"content-length": "1000000000"}, 413),
        ({"content-type": "text/plain"}, 415),
        ({"host": "evil.example"}, 403),
    ],
)
async def test_expect_100_continue_is_not_answered_when_it_is_refused(change: dict[str, str], status: int) -> None:
    """The body need not be sent at all."""
    headers = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "content-length": "40",
        "expect": "100-continue",
    }
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        await client.send(request("POST", "/v1/chat/completions", headers={**headers, **change}))
        response = await client.response(within_s=1)
        assert response.interim == []
        assert response.status == status


@pytest.mark.parametrize("stream", [True, False])
async def test_http_1_0_gets_an_answer_without_chunks(stream: bool) -> None:
    """The end of the connection is the end of the stream."""
    async with proxied(like_openai("Hel", "lo")) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=stream).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        response = await client.response()
        assert response.status == 200
        assert response.complete
        assert "transfer-encoding" not in response.headers
        assert response.headers["connection"] == "close"
        assert response.body.startswith(b"data: " if stream else b"{")
        assert await client.closed() == "fin"


async def test_a_broken_stream_to_http_1_0_says_so() -> None:
    """Without chunks only the error event can tell."""
    async with proxied((stream_head(), ROLE, delta("a"), End())) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        response = await client.response()
        assert b'"upstream_truncated"' in response.body


async def test_the_absolute_form_of_a_target_is_understood() -> None:
    """RFC 9112 section 3.2.2: every server must; only its path counts, and it opens no connection anywhere."""
    async with proxied(chat_json()) as (running, (upstream,)):
        whole = chat(model=ROLE_NAME).replace(b"POST /v1", f"POST http://127.0.0.1:{running.port}/v1".encode(), 1)
        assert (await ask(running, whole)).status == 200
        assert upstream.requests[0].target == "/v1/chat/completions"


@pytest.mark.parametrize("target", [b"CONNECT evil.example:443", b"CONNECT 127.0.0.1:22", b"OPTIONS *", b"GET *"])
async def test_it_is_no_forward_proxy(target: bytes) -> None:
    """Neither a tunnel nor a server-wide question; a fast 4xx."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        response = await client.response(within_s=1)
        assert 400 <= response.status < 500
        assert upstream.connections == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/embeddings"])
async def test_other_methods_on_the_data_plane_are_a_405(method: str, path: str) -> None:
    """With `allow`, in OpenAI's shape."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(request(method, path))
        response = await client.response(to_head=method == "HEAD")
        assert response.status == 405
        assert response.headers["allow"] == "POST"
        if method != "HEAD":
            assert response.json["error"]["code"] == "method_not_allowed"
        await client.send(request("GET", "/livez"))
        assert (await client.response()).status == 200
        assert upstream.connections == []


async def test_head_of_a_small_endpoint_has_no_body() -> None:
    """And the connection goes on."""
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        await client.send(request("HEAD", "/v1/models"))
        response = await client.response(to_head=True)
        assert response.status == 200
        await client.send(request("GET", "/livez"))
        assert (await client.response()).json == {"status": "ok"}


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/realtime?model=x", "/v1/models"])
async def test_a_websocket_is_refused_fast(path: str) -> None:
    """Codex tries one first, and falls back to HTTP when it is told so."""
    headers = {
        "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        started_at = time.monotonic()
        await client.send(request("GET", path, headers=headers))
        response = await client.response(within_s=1)
        assert time.monotonic() - started_at < 0.25
        assert response.status in ({200} if path == "/v1/models" else {404, 405, 426})
        assert upstream.connections == []


async def test_an_upgrade_to_http_2_is_ignored() -> None:
    """A server that does not know the protocol answers as if it had not been asked (RFC 9110 section 7.8)."""
    headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
    async with proxied(chat_json()) as (running, _):
        response = await ask(running, request("GET", "/v1/models", headers=headers))
        assert response.status == 200


@pytest.mark.parametrize("cut", [0, 1, 20, 10_000])
async def test_an_offer_of_http_2_does_not_cost_the_body(cut: int) -> None:
    """Java's HttpClient makes it with every request over plain http, and its body may come in any pieces."""
    headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
    whole = request("POST", "/v1/chat/completions", {"model": ROLE_NAME, "messages": [], "pad": "x" * 20_000}, headers)
    body_at = whole.index(b"\r\n\r\n") + 4
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(whole[: body_at + cut], whole[body_at + cut :], every_s=0.05)
        assert (await client.response()).status == 200
        assert upstream.requests[0].json["pad"] == "x" * 20_000


@pytest.mark.parametrize(
    "path", ["/v2/chat/completions", "/v1/chat/completion", "/v1/v2", "/v1/threads", "/../etc/passwd"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_a_404_in_openais_shape(method: str, path: str) -> None:
    """Never HTML, never a redirect."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, request(method, path, json={} if method == "POST" else None))
        assert response.status == 404
        assert response.json["error"]["code"] == "not_found"
        assert upstream.connections == []


async def test_chunked_requests_are_read() -> None:
    """The upstream gets a content-length and the same bytes."""
    pieces = b"".join(
        b"%x;ext=1\r\n%b\r\n" % (len(BODY[at : at + 5]), BODY[at : at + 5]) for at in range(0, len(BODY), 5)
    )
    whole = POST + HOST + TYPE + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\nx-trailer: 1\r\n\r\n"
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(*[whole[at : at + 3] for at in range(0, len(whole), 3)])
        assert (await client.response()).status == 200
        assert upstream.requests[0].body == BODY.replace(b'"role:rlm"', b'"m"')
        assert upstream.requests[0].headers["content-length"] == str(len(BODY) - 7)


async def test_a_half_written_answer_is_never_followed_by_another() -> None:
    """After a broken stream the connection is over, also for what was pipelined behind it."""
    broken: Script = (stream_head(), ROLE, delta("a"), Pause(0.05), End())
    async with proxied(broken) as (running, (upstream,)), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True) + chat(model=ROLE_NAME))
        response = await client.response()
        assert not response.complete
        with pytest.raises(Hangup):
            await client.response()
        await until(lambda: not running.server.server_state.connections)
        assert len(upstream.requests) == 1


async def test_an_answer_longer_than_its_length_does_not_become_the_next_one() -> None:
    """An upstream that announces less than it sends: the client gets no byte beyond."""
    script = (Head(200, {"content-type": "audio/mpeg"}, 5), Body(b"hello"), Body(b"HTTP/1.1 200 OK\r\n\r\n"))
    asked = request("POST", "/v1/audio/speech", {"model": ROLE_NAME, "input": "Hi"})
    async with proxied(script) as (running, _), Client(running.port) as client:
        for _ in range(2):
            await client.send(asked)
            response: Response = await client.response()
            assert response.body == b"hello"
