"""What passes the gateway passes unchanged: SHA-256 in equals SHA-256 out, in both directions."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    Fin,
    Head,
    Pause,
    Pieces,
    Request,
    Script,
    chat,
    chat_json,
    chat_stream,
    delta,
    event,
    finish,
    json_answer,
    like_openai,
    recorded,
    request,
    stream_head,
    usage_event,
)
from tests.proxy.scene import ROLE_NAME, ask, proxied
from tests.streams import RandomAnswer, random_document, random_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.wire import Framing
    from tests.serving import Running

STREAMS = int(os.environ.get("GATEWAY_TEST_STREAMS", "1500"))
DOCUMENTS = max(STREAMS // 10, 100)
CONNECTIONS = 16


async def compare(make: Callable[[int], RandomAnswer], count: int, *, stream: bool) -> None:
    """Ask for `count` random answers over a few kept connections, and compare what comes with what was sent."""
    numbers = iter(range(count))

    def answer(seen: Request) -> Script:
        return make(int(seen.json["messages"][0]["content"])).script()

    async def work(running: Running) -> None:
        while (number := next(numbers, None)) is not None:
            async with Client(running.port) as client:
                while number is not None and not await check(client, number):
                    number = next(numbers, None)

    async def check(client: Client, number: int) -> bool:
        expected = make(number)
        await client.send(chat(str(number), model=ROLE_NAME, stream=stream))
        response = await client.response()
        assert response.status == 200, expected
        assert response.complete, expected
        assert sha256(response.body).digest() == sha256(expected.body).digest(), (expected, response.body)
        assert response.headers["content-type"] == expected.content_type, expected
        assert response.headers.get("content-encoding") == ("gzip" if expected.compressed else None), expected
        return response.headers.get("connection") == "close"

    async with proxied(answer) as (running, (upstream,)):
        await asyncio.gather(*(work(running) for _ in range(CONNECTIONS)))
        assert len(upstream.requests) == count
        line = 'gateway_attempts_total{model="first/m",outcome="ok",provider="first"}'
        assert running.metric(line) == count
        # Connections to the upstream were kept wherever its framing allows.
        assert len(upstream.connections) < count / 2 + CONNECTIONS


@pytest.mark.deadline(300)
async def test_random_streams_pass_byte_for_byte() -> None:
    """Any line ends, comments, stray fields, text that looks like framing, fragments that split anything."""
    await compare(random_stream, STREAMS, stream=True)


@pytest.mark.deadline(300)
async def test_random_documents_pass_byte_for_byte() -> None:
    """Spelling of numbers, white space and escapes included."""
    await compare(random_document, DOCUMENTS, stream=False)


async def test_usage_is_read_off_every_stream_that_reports_it() -> None:
    """The tap reads a copy and misses nothing, however the stream was cut into pieces."""
    answers = [random_stream(seed) for seed in range(200)]
    given = sum(answer.usage.input_tokens for answer in answers if answer.usage)
    made = sum(answer.usage.output_tokens for answer in answers if answer.usage)
    async with proxied(lambda seen: answers[seen.number].script()) as (running, _):
        async with Client(running.port) as client:
            for answer in answers:
                await client.send(chat(model=ROLE_NAME, stream=True))
                assert (await client.response()).body == answer.body
        line = 'gateway_tokens_total{{direction="{}",model="first/m",provider="first"}}'
        assert running.metric(line.format("input")) == given
        assert running.metric(line.format("output")) == made


RECORDED = (
    "azure_stream", "deepseek_stream", "groq_stream", "llamacpp_stream", "mistral_stream_thinking", "ollama_stream",
    "openai_stream", "openrouter_stream", "vllm_stream", "xai_stream",
)  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_streams_pass_byte_for_byte(name: str) -> None:
    """As the providers really send them."""
    script = recorded(name)
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert response.complete
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))
        assert running.metric('gateway_attempts_total{model="first/m",outcome="ok",provider="first"}') == 1


LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("line_end", LINE_ENDS)
async def test_the_last_line_end_of_a_stream_arrives(line_end: str, framing: str) -> None:
    """Also one whose halves come in two segments."""
    bodies = [step.content for step in chat_stream("Hel", "lo") if isinstance(step, Body)]
    whole = b"".join(bodies).replace(b"\n", LINE_ENDS[line_end])
    head = stream_head(framing="close") if framing == "close" else stream_head()
    for at in range(len(whole) - 6, len(whole)):
        pieces: Script = (Body(whole[:at]), Pieces((b"",), every_s=0.005), Body(whole[at:]))
        async with proxied((head, *pieces, End())) as (running, _):
            response = await ask(running)
            assert response.complete
            assert response.body == whole, at


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_stream_in_tiny_segments_passes_byte_for_byte(size: int) -> None:
    """A byte order mark, CRLF and text outside ASCII, cut anywhere."""
    whole = "\ufeff".encode() + b"".join(
        step.content for step in chat_stream("日本語", "👩‍👩‍👧", "a\u2028b") if isinstance(step, Body)
    ).replace(b"\n", b"\r\n")
    pieces = tuple(whole[start : start + size] for start in range(0, len(whole), size))
    async with proxied((stream_head(framing="close"), Pieces(pieces), Fin())) as (running, _):
        response = await ask(running)
        assert response.body == whole


@pytest.mark.parametrize("size", [70_000, 900_000, 3 << 20])
async def test_one_huge_event_passes_byte_for_byte(size: int) -> None:
    """An image in one event; the last size is more than is ever held back."""
    big = delta("x" * size)
    script = (stream_head(), ROLE, delta("a"), big, finish(), DONE, End())
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert response.complete
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))


async def test_each_event_is_visible_before_the_next_is_made() -> None:
    """Nothing turns a stream into one block."""
    gate = asyncio.Event()

    class Wait:
        async def play(self, wire: object) -> None:
            await gate.wait()
            gate.clear()

    steps = [step for number in range(10) for step in (delta(f"{number}"), Wait())]
    script: Script = (stream_head(), ROLE, *steps, finish(), DONE, End())
    async with proxied(script) as (running, _), Client(running.port) as client:
        await client.send(chat(model=ROLE_NAME, stream=True))
        response = await client.head()
        for number in range(10):
            while delta(f"{number}").content not in response.body:
                await client.chunk(response, within_s=1)
            assert delta(f"{number + 1}").content not in response.body
            gate.set()
        await client.finish(response)
        assert response.complete


# -- requests


def without(body: bytes, span: bytes) -> tuple[bytes, bytes]:
    """Split a body around the one place where `span` stands in it."""
    before, found, after = body.partition(span)
    assert found, body
    return before, after


def random_value(rng: Random, depth: int) -> str:
    """Return some JSON, spelled in a way that no serialiser would choose."""
    space = rng.choice(["", "", " ", "\n\t", "\r\n  "])
    kind = rng.random()
    if depth and kind < 0.25:
        fields = (f"{random_key(rng)}{space}:{random_value(rng, depth - 1)}" for _ in range(rng.randrange(4)))
        return space + "{" + space + ",".join(fields) + "}" + space
    if depth and kind < 0.4:
        return "[" + ",".join(random_value(rng, depth - 1) for _ in range(rng.randrange(4))) + space + "]"
    return space + rng.choice([
        "1.0", "1E5", "-0", "0.10", "1e-07", "123456789012345678901234567890", "9007199254740993", "true", "null",
        '"model"', '"\\"model\\":\\"x\\""', '"stream"', '"\u2028日本"', '"\\ud83d\\ude80"', '"\\u0000"', '"\\/"', '""',
        '"a\\\\"', '"{\\"model\\": [}"', "9" * 5000,
    ])  # fmt: skip


def random_key(rng: Random) -> str:
    """Return a key that a careless search would take for another."""
    return rng.choice(['"model"', '"stream"', '"Model"', '"a"', '"content"', '"n"', '"max_tokens"', '"\\"model"', '""'])


def random_body(rng: Random, model: str) -> bytes:
    """Return a request with `model` at the top, and the same key anywhere below."""
    space = rng.choice(["", " ", "\n", "\t\r\n "])
    keys = ['"messages"', '"tools"', '"metadata"', '"x-model"', '"temperature"', '"\\"model\\""', '"seed"', '"modelx"']
    rng.shuffle(keys)
    fields = [f"{space}{key}{space}:{space}{random_value(rng, 4)}" for key in keys[: rng.randrange(len(keys) + 1)]]
    if rng.random() < 0.3:
        fields.append(f'"stream"{space}:{space}{rng.choice(["false", "null"])}')
    fields.insert(rng.randrange(len(fields) + 1), f'{space}"model"{space}:{space}{json.dumps(model)}')
    return (space + "{" + ",".join(fields) + space + "}" + space).encode()


def random_requests(count: int) -> Iterator[bytes]:
    """Yield bodies; the same ones each time."""
    rng = Random(7)
    for _ in range(count):
        yield random_body(rng, ROLE_NAME)


async def test_request_bytes_differ_only_inside_the_value_of_model() -> None:
    """White space, order, spelling of numbers, escapes and nested keys of the same name: all as the client wrote it."""
    async with proxied(chat_json()) as (running, (upstream,)):
        async with Client(running.port) as client:
            for body in random_requests(1000):
                await client.send(request("POST", "/v1/chat/completions", body=body))
                response = await client.response()
                assert response.status == 200, (body, response.body)
                before, after = without(body, b'"role:rlm"')
                assert upstream.requests[-1].body == before + b'"m"' + after
        assert len(upstream.requests) == 1000


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b'{"model":"role:rlm","stream":true}', b'{"model":"m","stream_options":{"include_usage":true},"stream":true}'),
        (
            b'{ "stream" : true , "model" : "role:rlm" , "x" : 1.0 }',
            b'{ "stream" : true , "model" : "m","stream_options":{"include_usage":true} , "x" : 1.0 }',
        ),
        (b'{"model":"role:rlm","stream":false}', b'{"model":"m","stream":false}'),
        (b'{"model":"role:rlm"}', b'{"model":"m"}'),
        (
            b'{"model":"role:rlm","stream":true,"stream_options":{"include_usage": true}}',
            b'{"model":"m","stream":true,"stream_options":{"include_usage": true}}',
        ),
    ],
)
async def test_usage_is_asked_for_in_exactly_one_way(sent: bytes, expected: bytes) -> None:
    """Only of a stream, and only if the client did not ask itself."""
    async with proxied(like_openai("Hi"), stream_usage=True) as (running, (upstream,)):
        response = await ask(running, request("POST", "/v1/chat/completions", body=sent))
        assert response.status == 200
        assert upstream.requests[0].body == expected


@pytest.mark.parametrize(
    "options", [b"null", b"{}", b'{"include_usage":false}', b'{"include_obfuscation":false, "x":1.0}']
)
async def test_the_clients_other_stream_options_are_kept(options: bytes) -> None:
    """What else it said there reaches the upstream, spelled as it was."""
    body = b'{"model":"role:rlm","stream":true,"stream_options":' + options + b',"temperature":1.0}'
    async with proxied(like_openai("Hi"), stream_usage=True) as (running, (upstream,)):
        response = await ask(running, request("POST", "/v1/chat/completions", body=body))
        assert b'"usage":{' not in response.body
        sent = upstream.requests[0]
        assert sent.json["stream_options"]["include_usage"] is True
        assert sent.body.endswith(b',"temperature":1.0}')
        for kept in (b'"include_obfuscation":false', b'"x":1.0'):
            assert (kept in sent.body) == (kept in options)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [None, 1, 5])
async def test_the_usage_event_is_taken_out_again(line_end: bytes, size: int | None) -> None:
    """The client that did not ask gets everything else, byte for byte."""
    texts = ("Hel", "lo", '"usage":{"prompt_tokens":9}', "[]")
    bodies = [step.content for step in chat_stream(*texts) if isinstance(step, Body)]
    extra = usage_event().content
    assert extra in bodies
    kept = b"".join(body for body in bodies if body != extra).replace(b"\n", line_end)
    whole = b"".join(bodies).replace(b"\n", line_end)
    pieces = tuple(whole[at : at + (size or len(whole))] for at in range(0, len(whole), size or len(whole)))
    script = (stream_head({"content-length": str(len(whole))}, "none"), Pieces(pieces))
    async with proxied(script, stream_usage=True) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME, stream=True, stream_options=None))
        assert response.complete
        assert response.body == kept
        line = 'gateway_tokens_total{direction="output",model="first/m",provider="first"}'
        assert running.metric(line) == 2


async def test_usage_that_comes_with_content_stays() -> None:
    """Only the extra event is the gateway's to take out."""
    last = Body(event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"total_tokens": 9}}))
    azure = Body(event({"choices": [], "prompt_filter_results": []}))
    script = (stream_head(), azure, ROLE, delta("a"), last, DONE, End())
    async with proxied(script, stream_usage=True) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME, stream=True, stream_options=None))
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))


# -- framing

SPEECH = request("POST", "/v1/audio/speech", {"model": "first/m", "input": "Hi", "voice": "alloy"})
STREAMED = chat(model=ROLE_NAME, stream=True)
SOUND = (Body(b"\0" * 40_000), Pause(0.01), Body(b"\1" * 2_345))
EVENTS = chat_stream("Hel", "lo", framing="length")
EVENTS_BYTES = sum(len(one.content) for one in EVENTS if isinstance(one, Body))
LARGE = b"".join((
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"', b"x" * (17 << 20),
    b'"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}',
))  # fmt: skip
LARGE_ANSWER: Script = (Head(200, {"content-type": "application/json"}, len(LARGE)), Body(LARGE))


def sound(framing: Framing) -> Script:
    return (Head(200, {"content-type": "audio/mpeg"}, framing), *SOUND, *((End(),) if framing == "chunked" else ()))


@pytest.mark.parametrize(
    ("asked", "script", "length"),
    [
        (SPEECH, sound(42_345), 42_345),
        (SPEECH, sound("chunked"), None),
        (STREAMED, EVENTS, EVENTS_BYTES),
        (STREAMED, chat_stream("Hel", "lo"), None),
        # longer than what is held, so it flows
        (chat(model=ROLE_NAME), LARGE_ANSWER, len(LARGE)),
        # without the usage that only the gateway asked for it is shorter
        (chat(model=ROLE_NAME, stream=True, stream_options=None), EVENTS, None),
    ],
)  # fmt: skip
async def test_a_length_that_is_known_is_announced(asked: bytes, script: Script, length: int | None) -> None:
    """A client can show progress, and see for itself that nothing is missing; where it is not known, chunks tell."""
    async with proxied(script, stream_usage=True) as (running, _):
        response = await ask(running, asked)
        assert response.complete
        assert response.headers.get("content-length") == (None if length is None else str(length))
        assert response.headers.get("transfer-encoding") == (None if length else "chunked")
        assert length is None or len(response.body) == length


# -- content coding


@pytest.mark.parametrize("stream", [True, False])
async def test_a_compressed_answer_passes_with_its_header(stream: bool) -> None:
    """Asked for identity, some upstreams compress all the same; bytes and header then belong together."""
    script = chat_stream("Hel", "lo", compress=True) if stream else chat_json("Hello", compress=True)
    async with proxied(script) as (running, (upstream,)):
        response = await ask(running, chat(model=ROLE_NAME, stream=stream, headers={"accept-encoding": "gzip, br"}))
        assert upstream.requests[0].headers["accept-encoding"] == "identity"
        assert response.complete
        assert response.headers["content-encoding"] == "gzip"
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))
        assert b"choices" in gzip.decompress(response.body)
        line = 'gateway_tokens_total{direction="output",model="first/m",provider="first"}'
        assert running.metric(line) == 2


async def test_the_checksum_of_a_compressed_stream_is_waited_for() -> None:
    """It comes behind [DONE], and without it the client would have half a file."""
    whole = chat_stream("Hel", "lo", compress=True)
    head, *bodies = [step for step in whole if not isinstance(step, End)]
    last = bodies[-1]
    assert isinstance(last, Body)
    late: Script = (head, *bodies[:-1], Pause(0.1), Body(last.content[:-1]), Pause(0.1), Body(last.content[-1:]), End())
    async with proxied(late) as (running, _):
        response = await ask(running)
        assert response.complete
        assert b"[DONE]" in gzip.decompress(response.body)


async def test_a_compressed_error_is_classified_by_what_it_says() -> None:
    """Its text decides about failover, so it has to be read."""
    limited = {"error": {"message": "maximum context length is 8192 tokens", "code": None}}
    script = json_answer(limited, 400, compress=True)
    async with proxied(script, chat_json()) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 200
        assert response.headers["x-gateway-attempts"] == "2"


async def test_a_decompression_bomb_is_not_unpacked() -> None:
    """A copy is decoded for metering only, and no further than an honest answer would reach."""
    bomb = gzip.compress(b" " * (64 << 20) + b"{}")
    script = (Head(200, {"content-type": "application/json", "content-encoding": "gzip"}, len(bomb)), Body(bomb))
    async with proxied(script) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 502
