"""Each fault really happens on the wire, and is recorded as it happened."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults import (
    DONE,
    Body,
    Client,
    Deaf,
    End,
    FaultyUpstream,
    Fin,
    HalfClose,
    Hangup,
    Head,
    NextByte,
    Pace,
    Pause,
    Reset,
    Script,
    Send,
    Stall,
    Violation,
    blackhole_port,
    chat,
    chat_json,
    chat_stream,
    cut,
    delta,
    error_event,
    error_json,
    interim,
    like_openai,
    padding,
    recorded,
    refuse_port,
    request,
    stream_head,
)
from tests.faults.recipes import FIXTURES

if TYPE_CHECKING:
    from tests.faults.client import Response


async def answer_to(script: Script, asked: bytes | None = None) -> Response:
    """Return what a client gets from an upstream with this one script."""
    async with FaultyUpstream(script) as upstream, Client(upstream.port) as client:
        await client.send(asked or chat())
        return await client.response()


async def test_records_what_was_asked() -> None:
    """A request is recorded with its line, headers, exact body and place on its connection."""
    async with FaultyUpstream() as upstream, Client(upstream.port) as client:
        for _ in range(2):
            await client.send(chat("Grüße", headers={"authorization": "Bearer sk-test"}))
            assert (await client.response()).complete
        first, second = upstream.requests
    assert (first.method, first.target) == ("POST", "/v1/chat/completions")
    assert first.headers["authorization"] == "Bearer sk-test"
    assert first.incoming.head + first.body == chat("Grüße", headers={"authorization": "Bearer sk-test"})
    assert first.json["messages"][0]["content"] == "Grüße"
    assert (first.reuse, second.reuse) == (0, 1)
    assert first.connection is second.connection
    assert first.received_at <= second.received_at
    assert len(upstream.connections) == 1


async def test_chunked_requests_are_decoded() -> None:
    """The framing of a chunked request is taken off, whatever the fragments it comes in."""
    raw = b"POST /v1/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with FaultyUpstream() as upstream, Client(upstream.port) as client:
        await client.send(*(raw[i : i + 1] for i in range(len(raw))))
        await client.response()
        assert upstream.requests[0].body == b"abcde"


async def test_scripts_follow_each_other_and_the_last_repeats() -> None:
    """One script per request, over all connections."""
    async with FaultyUpstream(error_json(429, headers={"retry-after": "3"}), chat_json("ok")) as upstream:
        seen = []
        for _ in range(3):
            async with Client(upstream.port) as client:
                await client.send(chat())
                seen.append(await client.response())
        upstream.always(error_json(503))
        async with Client(upstream.port) as client:
            await client.send(chat())
            seen.append(await client.response())
    assert [response.status for response in seen] == [429, 200, 200, 503]
    assert seen[0].headers["retry-after"] == "3"


async def test_answers_as_asked() -> None:
    """`like_openai` streams when the request says so and reports usage when it was asked to."""
    async with FaultyUpstream(like_openai("Hel", "lo")) as upstream, Client(upstream.port) as client:
        await client.send(chat(), chat(stream=True), chat(stream=True, stream_options=None))
        whole, stream, frugal = [await client.response() for _ in range(3)]
    assert whole.json["choices"][0]["message"]["content"] == "Hello"
    assert len(stream.events) == 6
    assert stream.events[-1] == b"[DONE]"
    assert len(frugal.events) == 5


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
@pytest.mark.parametrize("compress", [False, True])
async def test_framings(framing: str, compress: bool) -> None:
    """A whole answer is complete in every framing, compressed or not."""
    response = await answer_to(chat_stream("Hel", "lo", framing=framing, compress=compress))  # type: ignore[arg-type]
    assert response.complete
    body = gzip.decompress(response.body) if compress else response.body
    assert body.endswith(b"data: [DONE]\n\n")
    assert response.headers.get("content-encoding") == ("gzip" if compress else None)


async def test_refused() -> None:
    """A refusing port refuses, and so does an upstream that was told to, until it listens again."""
    with refuse_port() as port, pytest.raises(ConnectionRefusedError):
        await Client(port).__aenter__()
    async with FaultyUpstream() as upstream:
        await upstream.refuse()
        with pytest.raises(ConnectionRefusedError):
            await Client(upstream.port).__aenter__()
        await upstream.listen()
        async with Client(upstream.port) as client:
            await client.send(chat())
            assert (await client.response()).complete


async def test_black_hole() -> None:
    """A full accept queue does not even answer SYN."""
    with blackhole_port() as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Client(port).__aenter__()


async def test_silence_after_accept() -> None:
    """`on_connect(Stall())` accepts and then neither reads requests nor answers."""
    async with FaultyUpstream() as upstream, Client(upstream.port) as client:
        upstream.on_connect(Stall())
        await client.send(chat())
        with pytest.raises(TimeoutError):
            await client.response(within_s=0.05)
        assert upstream.requests == []
        assert bytes(upstream.connections[0].pending) == chat()


async def test_reset_on_accept() -> None:
    """`on_connect(Reset())` ends the connection before any request."""
    async with FaultyUpstream() as upstream:
        upstream.on_connect(Pause(0.01), Reset())
        async with Client(upstream.port) as client:
            assert await client.closed() == "rst"


@pytest.mark.parametrize(("ending", "seen"), [(Fin(), "fin"), (Reset(), "rst"), (HalfClose(), "fin")])
async def test_cut_at_every_kind_of_place(ending: Fin | Reset | HalfClose, seen: str) -> None:
    """A response ends after exactly the given number of bytes, by FIN or RST as told."""
    whole = len(Head(200, (), "chunked").encode()) + 3 + 2 + 5 + 2 + 5
    script = (Head(200, (), "chunked"), Body(b"hello"), End())
    for at in (0, 1, 20, 47, 49, 52, 56):
        async with FaultyUpstream(cut(script, at, ending)) as upstream, Client(upstream.port) as client:
            await client.send(chat())
            received = b""
            while piece := await client.read():
                received += piece
            assert len(received) == min(at, whole)
            assert await client.closed() == seen
            assert upstream.requests[0].bytes_sent == at


async def test_a_cut_body_is_not_complete() -> None:
    """The client can tell half an answer from a whole one, in every framing that allows it."""
    stream = chat_stream("Hel", "lo")
    head_size = len(stream[0].encode())  # type: ignore[attr-defined]
    by_fin = await answer_to(cut(stream, head_size + 300))
    by_rst = await answer_to(cut(stream, head_size + 300, Reset()))
    short = await answer_to((Head(200, (), 999), Body(b"short"), Fin()))
    close = await answer_to((Head(200, (), "close"), Body(b"cut"), Reset()))
    assert [r.broken_by for r in (by_fin, by_rst, short, close)] == ["fin", "rst", "fin", "rst"]
    assert not any(r.complete for r in (by_fin, by_rst, short, close))
    with pytest.raises(Hangup):
        await answer_to(cut(stream, head_size - 1))


async def test_no_answer_at_all() -> None:
    """`Fin()` alone closes on a request that was received, and so counts it."""
    async with FaultyUpstream((Fin(),), (Reset(),)) as upstream:
        for how in ("fin", "rst"):
            async with Client(upstream.port) as client:
                await client.send(chat())
                assert await client.closed() == how
        assert len(upstream.requests) == 2
        assert upstream.requests[0].closed_at is None


async def test_stale_keep_alive() -> None:
    """`NextByte(), Fin()` closes a kept connection exactly when the next request arrives, unanswered."""
    async with FaultyUpstream((*chat_json(), NextByte(), Fin())) as upstream, Client(upstream.port) as client:
        await client.send(chat())
        assert (await client.response()).complete
        await client.send(chat("again"))
        assert await client.closed() in {"fin", "rst"}
        assert len(upstream.requests) == 1
        assert upstream.connections[0].bytes_received == len(chat()) + len(chat("again"))


async def test_stall_and_the_peers_hang_up() -> None:
    """A stalled script sees the peer leave at once, and tells FIN from RST."""
    for leave in ("fin", "reset", "half_close"):
        async with FaultyUpstream((stream_head(), delta("Hel"), Stall())) as upstream:
            async with Client(upstream.port) as client:
                await client.send(chat(stream=True))
                response = await client.head()
                assert await client.chunk(response)
                assert not upstream.requests[0].connection.gone.is_set()
                left_at = time.monotonic()
                getattr(client, leave)()
                closed_at = await upstream.wait_closed(0)
            assert left_at <= closed_at < left_at + 0.05
            assert upstream.requests[0].closed_by == ("rst" if leave == "reset" else "fin")
            assert upstream.open_connections == 0


async def test_half_close_goes_on_listening() -> None:
    """After its half-close the upstream still learns when the peer closes."""
    async with FaultyUpstream((stream_head(), delta("Hel"), HalfClose())) as upstream:
        async with Client(upstream.port) as client:
            await client.send(chat())
            response = await client.response()
            assert response.broken_by == "fin"
            assert upstream.requests[0].closed_at is None
        assert await upstream.wait_closed()


async def test_body_open_after_done() -> None:
    """`end=False` leaves the body open after `[DONE]`, and the client knows it is not complete."""
    async with FaultyUpstream(chat_stream(end=False)) as upstream, Client(upstream.port) as client:
        await client.send(chat(stream=True))
        response = await client.head()
        while b"[DONE]" not in response.body:
            await client.chunk(response)
        with pytest.raises(TimeoutError):
            await client.chunk(response, within_s=0.05)
        assert not response.complete


async def test_no_done() -> None:
    """`done=False` ends the body properly but without the terminal event; an error event can take its place."""
    response = await answer_to(chat_stream("Hel", done=False, usage=False))
    assert response.complete
    assert b"[DONE]" not in response.body
    response = await answer_to((stream_head(), delta("Hel"), error_event("boom", 502), End()))
    assert b'{"error":{"message":"boom","code":502}}' in response.events


async def test_drip() -> None:
    """`Pace` drips the head as well as the body."""
    started = time.monotonic()
    response = await answer_to((Pace(10, every_s=0.01), Head(200, (), 40), Body(b"x" * 40)))
    assert response.complete
    assert response.at - started > 0.02
    assert len(response.chunks) >= 2


async def test_informational_and_bodiless() -> None:
    """1xx heads come before the real one, and 204 has no body."""
    response = await answer_to((interim(100), interim(102), interim(103, {"link": "</a>"}), *chat_json("hi")))
    assert (response.status, response.interim) == (200, [100, 102, 103])
    response = await answer_to((Head(204),))
    assert (response.status, response.complete, response.body) == (204, True, b"")


async def test_huge_heads() -> None:
    """A head can have ten thousand lines, or one line of 200 KiB."""
    assert len((await answer_to((Head(200, padding(10_000), 0),))).fields) == 10_001
    assert len((await answer_to((Head(200, padding(1, 200 * 1024), 0),))).head) > 200 * 1024


async def test_broken_framing() -> None:
    """Bytes can be sent past the framing: a bad chunk size, a body longer than its content-length."""
    with pytest.raises(AssertionError, match="chunk size"):
        await answer_to((Head(200, (), "chunked"), Send(b"xyz\r\nhello\r\n")))
    async with FaultyUpstream((Head(200, (), 3), Body(b"too long"))) as upstream, Client(upstream.port) as client:
        await client.send(chat())
        assert (await client.response()).body == b"too"
        assert await client.read() == b" long"


async def test_flow_control() -> None:
    """A reader that stops, stops the upstream's writes, and the moment is recorded."""
    flood = (Head(200, (), "chunked"), Body(b"x" * 65536, times=4096), DONE)
    async with FaultyUpstream(flood) as upstream, Client(upstream.port, receive_buffer=4096) as client:
        await client.send(chat())
        await client.head()
        assert await upstream.wait_blocked() >= upstream.requests[0].received_at
        await asyncio.sleep(0.05)
        sent = upstream.requests[0].bytes_sent
        await asyncio.sleep(0.05)
        assert upstream.requests[0].bytes_sent == sent < 16 * 1024 * 1024


async def test_deaf_upstream() -> None:
    """An upstream that does not read blocks the client's writes."""
    async with FaultyUpstream() as upstream, Client(upstream.port) as client:
        upstream.on_connect(Deaf(), Stall())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.send(b"x" * 64 * 1024 * 1024)


async def test_pipelined_requests_are_answered_in_order() -> None:
    """The second request waits for the end of the first answer."""
    async with FaultyUpstream(chat_json("one"), chat_json("two")) as upstream, Client(upstream.port) as client:
        await client.send(chat() + chat())
        answers = [(await client.response()).json for _ in range(2)]
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == ["one", "two"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: h\r\nhost: h\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1_0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\nx: a\nb: c\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    ],
)
async def test_bad_requests_fail_the_test(raw: bytes) -> None:
    """What the program under test sends must be HTTP; if not, the upstream says so on exit."""
    with pytest.raises(Violation):
        async with FaultyUpstream() as upstream, Client(upstream.port) as client:
            await client.send(raw)
            await client.closed()


async def test_errors_in_a_script_fail_the_test() -> None:
    """An exception while choosing or playing a script is raised on exit."""
    with pytest.raises(ZeroDivisionError):
        async with FaultyUpstream(lambda request: (Pause(1 / request.reuse),)) as up, Client(up.port) as client:
            await client.send(chat())
            await client.closed()


@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.glob("*.headers")))
async def test_recorded_answers(name: str) -> None:
    """A provider's recorded answer is played with its status line, its header lines and its exact body."""
    response = await answer_to(recorded(name))
    assert response.complete
    head = (FIXTURES / f"{name}.headers").read_bytes()
    assert sorted(response.head.lower().split(b"\r\n")) == sorted(head.lower().split(b"\r\n"))
    assert response.body == (FIXTURES / f"{name}.body").read_bytes()


async def test_head_requests() -> None:
    """The client knows that an answer to HEAD has no body, whatever its length says."""
    async with FaultyUpstream((Head(200, (), 100),)) as upstream, Client(upstream.port) as client:
        await client.send(request("HEAD", "/v1/models"))
        assert (await client.response(to_head=True)).complete
