"""Large forms: of known and unknown length, the model before and behind the file, refused half-way, answered early."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults import Client, error_json, json_answer, request
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ROLE_NAME, ask, config, exchange_is_over, proxied, until
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults import Response

MB = 1 << 20
FORM = {"content-type": "multipart/form-data; boundary=----b0und"}
PATH = "/v1/audio/transcriptions"
ANSWER = json_answer({"text": "Hello"})


def part(name: str, content: bytes, *, file: str | None = None) -> bytes:
    """Return one part of a form, with the delimiter before it."""
    filename = f'; filename="{file}"\r\nContent-Type: audio/mpeg' if file else ""
    head = f'------b0und\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"------b0und--\r\n"
MODEL = part("model", b"role:rlm")


def audio(size: int) -> bytes:
    """Return a file with anything in it."""
    return part("file", Random(size).randbytes(size) + b"\r\n--\r\n------b0un", file="a.mp3")


def framed(body: bytes, framing: str) -> bytes:
    """Return a request with a form, in one of two framings."""
    if framing == "length":
        return request("POST", PATH, headers=FORM, body=body)
    head = request("POST", PATH, headers={**FORM, "transfer-encoding": "chunked"})
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# -- any order, any framing, any size


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("order", ["model first", "model last", "model between"])
@pytest.mark.parametrize("size", [3 * MB, 5 * MB, 30 * MB])
async def test_every_form_arrives(size: int, order: str, framing: str) -> None:
    """curl, openai-node with a file stream, and openai-python write fields in any order, with and without a length."""
    file, language = audio(size), part("language", b"de")
    body = {
        "model first": MODEL + file + language,
        "model last": language + file + MODEL,
        "model between": file + MODEL + language,
    }[order] + END
    async with proxied(ANSWER) as (running, (upstream,)):
        response = await ask(running, framed(body, framing))
        assert (response.status, response.json) == (200, {"text": "Hello"})
        (sent,) = upstream.requests
        assert sha256(sent.body).digest() == sha256(body.replace(b"role:rlm", b"m", 1)).digest()
        assert ("content-length" in sent.headers) != ("transfer-encoding" in sent.headers)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_form_of_any_length_flows_once_its_model_is_known(framing: str) -> None:
    """server.max_body is what is held in memory; the rest is for the upstream to judge."""
    body = MODEL + audio(6 * MB) + END
    async with proxied(ANSWER, server="{max_body: 1MB}") as (running, (upstream,)):
        response = await ask(running, framed(body, framing))
        assert response.status == 200
        assert upstream.requests[0].body == body.replace(b"role:rlm", b"m", 1)


async def test_a_chunked_form_flows_through() -> None:
    """The upstream has its beginning before the client has sent its end."""
    body = MODEL + audio(8 * MB) + END
    whole = framed(body, "chunked")
    async with proxied(ANSWER) as (running, (upstream,)), Client(running.port) as client:
        await client.send(whole[: 6 * MB])
        connection = await upstream.wait_connection()
        await until(lambda: connection.bytes_received > 4 * MB)
        assert upstream.requests == []
        await client.send(whole[6 * MB :])
        assert (await client.response()).status == 200
        assert upstream.requests[0].body == body.replace(b"role:rlm", b"m", 1)
        await exchange_is_over(running)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("order", "size"), [("first", 3 * MB), ("last", 3 * MB), ("last", 6 * MB)])
async def test_a_form_that_is_held_whole_fails_over(order: str, size: int, framing: str) -> None:
    """Up to 4 MB, and as far as server.max_body where the model comes so late that it is held anyway."""
    body = MODEL + audio(size) + END if order == "first" else audio(size) + MODEL + END
    async with proxied(error_json(500), ANSWER) as (running, (first, second)):
        response = await ask(running, framed(body, framing))
        assert response.status == 200
        assert response.headers["x-gateway-attempts"] == "2"
        assert first.requests[0].body == second.requests[0].body == body.replace(b"role:rlm", b"m", 1)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_form_whose_model_does_not_come(framing: str) -> None:
    """It is refused once server.max_body is reached, with the setting and both remedies."""
    body = audio(3 * MB) + MODEL + END
    async with proxied(ANSWER, server="{max_body: 1MB}") as (running, (upstream,)), Client(running.port) as client:
        sending = asyncio.ensure_future(client.send(framed(body, framing)))
        response = await client.response()
        assert response.status == 413
        message = response.json["error"]["message"]
        assert "1048576" in message
        assert "server.max_body" in message
        assert "before the file" in message
        assert upstream.connections == []
        await asyncio.gather(sending, return_exceptions=True)


# -- refused half-way

SECONDS = {
    "as usual": part("model", b"expensive"),
    "without quotes": b"------b0und\r\nContent-Disposition: form-data; name=model\r\n\r\nexpensive\r\n",
    "extended": b"------b0und\r\nContent-Disposition: form-data; name*=utf-8''model\r\n\r\nexpensive\r\n",
    "folded": b'------b0und\r\nContent-Disposition: form-data;\r\n name="model"\r\n\r\nexpensive\r\n',
    "behind a filename": b'------b0und\r\ncontent-disposition:form-data;filename=x;name="model"\r\n\r\nexpensive\r\n',
    "as an array": part("model[]", b"expensive"),
    "behind the end": END + part("model", b"expensive"),
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("spelling", SECONDS)
async def test_a_second_model_does_not_get_through(spelling: str, framing: str) -> None:
    """Byte by byte: the upstream, which has begun to read, sees the connection end before any of its part."""
    body = MODEL + audio(5 * MB) + SECONDS[spelling] + END
    whole = framed(body, framing)
    tail = len(whole) - len(SECONDS[spelling]) - len(END) - 80
    async with proxied(ANSWER) as (running, (upstream,)), Client(running.port) as client:
        await client.send(whole[:tail])
        await client.send(*[whole[at : at + 1] for at in range(tail, len(whole))], every_s=0.0002)
        response = await client.response()
        assert response.status == 400, response.body
        assert response.json["error"]["type"] == "invalid_request_error"
        await exchange_is_over(running)
        await until(lambda: upstream.open_connections == 0, 1)
        assert upstream.requests == []
        assert b"expensive" not in bytes(upstream.connections[0].pending)
        assert b"model[]" not in bytes(upstream.connections[0].pending)


@pytest.mark.parametrize("cut", range(0, 100, 3))
async def test_a_second_model_in_what_was_read_first(cut: int) -> None:
    """Its head begins in the part that was held, and ends in the part that flows."""
    first = MODEL + part("file", b"\0" * (4 * MB), file="a.mp3")
    second = part("model", b"expensive")
    body = first + second + part("x", b"\0" * 70_000) + END
    whole = framed(body, "length")
    at = len(whole) - len(body) + len(first) + cut
    async with proxied(ANSWER) as (running, (upstream,)), Client(running.port) as client:
        await client.send(whole[:at])
        await asyncio.sleep(0.01)
        await client.send(whole[at:])
        response = await client.response()
        assert response.status == 400
        await exchange_is_over(running)
        assert upstream.requests == []
        for connection in upstream.connections:
            assert b"expensive" not in bytes(connection.pending)


async def test_a_form_refused_half_way_is_the_calls_own_fault(tmp_path: Path) -> None:
    """Booked as a bad request, so that the upstream keeps its good name; what it got is one attempt."""
    body = MODEL + audio(5 * MB) + part("model", b"dear") + END
    async with ledgered(tmp_path, ANSWER) as scene:
        response = await scene.ask(framed(body, "length"))
        row = await scene.row()
        settled = 'gateway_requests_total{endpoint="transcriptions",route="role:rlm",code="400"}'
        lines = scene.running.gateway.metrics.expose().decode()
    assert response.status == 400
    assert (row.outcome, row.call_status) == ("bad_request", 400)
    assert 'outcome="bad_request"' in lines, settled
    assert 'code="400"' in lines
    assert 'outcome="ok"' not in lines


async def test_a_form_that_does_not_come_in_time_is_not_a_hang_up(tmp_path: Path) -> None:
    """It is answered 408, and so it stands in the ledger."""
    whole = framed(MODEL + audio(8_000) + END, "chunked")
    extra = "server: {max_body: 1KB, timeouts: {body: 300ms}}"
    async with ledgered(tmp_path, ANSWER, extra=extra) as scene:
        async with Client(scene.running.port) as client:
            await client.send(whole[:4_000])
            response = await client.response(within_s=5)
        row = await scene.row()
    assert response.status == 408
    assert (row.outcome, row.call_status) == ("bad_request", 408)


async def test_a_chunked_form_may_take_the_time_of_its_size() -> None:
    """As one whose length is announced: what has come gives the rest its time."""
    whole = framed(MODEL + audio(48_000) + END, "chunked")
    pieces = [whole[at : at + 6_000] for at in range(0, len(whole), 6_000)]
    server = "{max_body: 1KB, timeouts: {body: 300ms}}"
    async with proxied(ANSWER, server=server) as (running, _), Client(running.port) as client:
        await client.send(*pieces, every_s=0.08)
        assert (await client.response()).status == 200


# -- answered early


@contextmanager
def impatient(status: int = 413, reads: int = 64 * 1024, *, says_length: bool = True) -> Iterator[int]:
    """Run an upstream that reads so much of a request, answers, and closes with the rest unread. Yield its port."""
    body = b'{"error":{"message":"too large for us","code":"too_large"}}'
    length = b"content-length: %d\r\n" % len(body) if says_length else b""
    head = b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\n%bconnection: close\r\n\r\n" % (status, length)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                left = reads
                while left > 0 and (got := connection.recv(left)):
                    left -= len(got)
                connection.sendall(head + body)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def open_files() -> int:
    """Return how many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def early_request(kind: str) -> bytes:
    """Return an upload of 5 to 8 MB."""
    if kind == "json":
        return request("POST", "/v1/chat/completions", {"model": ROLE_NAME, "messages": [{"content": "x" * (8 * MB)}]})
    return framed(MODEL + audio(5 * MB) + END, kind)


async def refused_early(kind: str, port: int, times: int) -> None:
    """Ask so often, and see the upstream's own answer each time, and nothing left open."""
    asked = early_request(kind)
    async with serving(config(port)) as running:
        open_before = 0
        for turn in range(times):
            response: Response = await ask(running, asked)
            assert response.status == 413, (turn, response.body)
            assert b"too large for us" in response.body
            await exchange_is_over(running)
            if turn == 4:
                open_before = open_files()
        await until(lambda: open_files() <= open_before, 3)


@pytest.mark.parametrize("says_length", [True, False])
@pytest.mark.parametrize("kind", ["length", "chunked", "json"])
async def test_an_early_refusal_is_not_lost(kind: str, says_length: bool) -> None:
    """The upstream reads 64 KB, answers 413 and closes: 50 times of 50 the client sees why."""
    with impatient(says_length=says_length) as port:
        await refused_early(kind, port, 50)


@pytest.mark.parametrize("kind", ["length", "chunked", "json"])
def test_an_early_refusal_is_not_lost_on_asyncio(kind: str) -> None:
    """The other event loop drops a connection at the first write that fails."""
    with impatient() as port, asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(refused_early(kind, port, 50))
    gc.collect()


async def test_an_early_answer_does_not_wait_for_a_client_that_has_paused() -> None:
    """The upstream refuses a form of which the client has more to send, and does not."""
    whole = framed(MODEL + audio(8 * MB) + END, "chunked")
    with impatient(reads=1 * MB) as port:
        async with serving(config(port)) as running, Client(running.port) as client:
            await client.send(whole[: 6 * MB])
            response = await client.response(within_s=1.5)
            assert response.status == 413
            await exchange_is_over(running)
