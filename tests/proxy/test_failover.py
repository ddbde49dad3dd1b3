"""Whatever happens to the first upstream before its first content: the client sees the second one's answer only.

Each fault is a transcript of what the first upstream does; the second one always answers well.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    Client,
    End,
    FaultyUpstream,
    Fin,
    Head,
    Pace,
    Pause,
    Reset,
    Script,
    Send,
    Stall,
    blackhole_port,
    chat,
    chat_json,
    chat_stream,
    comment,
    delta,
    error_event,
    error_json,
    event,
    finish,
    interim,
    json_answer,
    padding,
    recorded,
    refuse_port,
    request,
    stream_head,
    usage_event,
)
from tests.proxy.scene import ROLE_NAME, ask, config, exchange_is_over, proxied
from tests.serving import serving

# Long enough for a busy machine to answer in, short enough for a test to wait for.
QUICK = "connect: 100ms, first_byte: 150ms, first_token: 250ms, idle: 150ms, total: 8s"

HEAD = stream_head({"x-from": "first", "x-ratelimit-remaining-requests": "0"})
OK_HEAD = b"HTTP/1.1 200 OK\r\nx-from: first\r\ncontent-type: text/event-stream\r\n"
SECOND = chat_stream("answered ", "by the second", headers={"x-from": "second"})
SECOND_BYTES = b"".join(step.content for step in SECOND if isinstance(step, Body))
CONTENT = delta("from the first")
HTML = Head(200, {"x-from": "first", "content-type": "text/html"}, "close")


@dataclass(frozen=True)
class Fault:
    """What the first upstream does, and what the gateway is to call it."""

    outcome: str
    script: Script


def role_event(**more: object) -> Body:
    """Return a preamble event with other fields."""
    return Body(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], **more}))


def pings(count: int, every_s: float) -> Script:
    """Return comments, one after the other."""
    ping: Script = (comment(), Pause(every_s))
    return ping * count


BROKEN_EARLY = {
    "FIN instead of an answer": Fault("broken", (Fin(),)),
    "RST instead of an answer": Fault("broken", (Reset(),)),
    "silence": Fault("first_byte_timeout", (Stall(),)),
    "a head that drips": Fault("first_byte_timeout", (Pace(1, every_s=0.02), Send(OK_HEAD * 20))),
    "FIN in the status line": Fault("broken", (Send(b"HTTP/1.1 2"), Fin())),
    "FIN in the head": Fault("broken", (Send(OK_HEAD), Fin())),
    "RST in the head": Fault("broken", (Send(OK_HEAD), Reset())),
    "FIN after the head": Fault("broken", (HEAD, Fin())),
    "RST after the head": Fault("broken", (HEAD, Reset())),
    "100 Continue, then RST": Fault("broken", (interim(100), Reset())),
    "103 Early Hints, then FIN": Fault("broken", (interim(103, {"link": "</a>"}), Fin())),
    "102 Processing, then silence": Fault("first_byte_timeout", (interim(102), Stall())),
    "103 without end": Fault("malformed", (*(interim(103, padding(20, 1000)) for _ in range(8)), HEAD, Stall())),
    "a switch of protocol": Fault("malformed", (Head(101, {"upgrade": "websocket", "connection": "upgrade"}),)),
    "something that is not HTTP": Fault("malformed", (Send(b"SSH-2.0-OpenSSH_9.6\r\n"), Stall())),
    "HTTP/2's preface": Fault("malformed", (Send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), Stall())),
    "a header without a colon": Fault("malformed", (Send(OK_HEAD + b"no colon here\r\n\r\n"), Stall())),
    "a NUL in a header": Fault("malformed", (Send(OK_HEAD + b"x-a: \0\r\n\r\n"), Stall())),
    "a folded header": Fault("malformed", (Send(OK_HEAD + b"x-a: 1\r\n\r 2\r\n\r\n"), Stall())),
    "300 headers": Fault("malformed", (stream_head(padding(300)), ROLE, CONTENT, DONE)),
    "a head of 200 KiB": Fault("malformed", (stream_head(padding(20, 10_000)), ROLE, CONTENT, DONE)),
    "one header of 200 KiB": Fault("malformed", (stream_head(padding(1, 200_000)), ROLE, CONTENT, DONE)),
    "a header without end": Fault("malformed", (Send(OK_HEAD + b"x-a: "), Body(b"a" * 4096, times=64), Stall())),
    "a negative content-length": Fault("malformed", (Send(OK_HEAD + b"content-length: -1\r\n\r\n"), CONTENT)),
    "an underscore in a content-length": Fault("malformed", (Send(OK_HEAD + b"content-length: 1_0\r\n\r\n"), Stall())),
    "two content-lengths": Fault(
        "malformed", (Send(OK_HEAD + b"content-length: 5\r\ncontent-length: 500\r\n\r\n"), Stall())
    ),
    "content-length and chunked": Fault(
        "malformed", (Send(OK_HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"), Stall())
    ),
    "a bad first chunk size": Fault("malformed", (HEAD, Send(b"0x1g\r\n"), Stall())),
    "a negative first chunk size": Fault("malformed", (HEAD, Send(b"-5\r\nhello\r\n"), Stall())),
    "a bad chunk after the preamble": Fault("malformed", (HEAD, ROLE, Send(b"zz\r\n"), Stall())),
    "a chunk longer than its size": Fault("malformed", (HEAD, Send(b"2\r\nabcdef\r\n"), Stall())),
}  # fmt: skip

SILENT_200 = {
    "an empty stream": Fault("empty", (HEAD, End())),
    "an empty stream of length 0": Fault("empty", (stream_head(framing=0),)),
    "an empty stream up to FIN": Fault("empty", (stream_head(framing="close"), Fin())),
    "comments, then FIN": Fault("broken", (HEAD, comment(), comment(), Fin())),
    "comments, then the end": Fault("empty", (HEAD, comment(), comment(), End())),
    "comments up to FIN": Fault("empty", (stream_head(framing="close"), comment(), Fin())),
    "comments and no content": Fault("first_token_timeout", (HEAD, *pings(40, 0.02))),
    "a preamble and no content": Fault("first_token_timeout", (HEAD, ROLE, Stall())),
    "a head and no content": Fault("first_token_timeout", (HEAD, Stall())),
    "half an event and no more": Fault("first_token_timeout", (HEAD, Body(CONTENT.content[:-2]), Stall())),
    "half an event, then the end": Fault("broken", (HEAD, Body(CONTENT.content[:40]), Fin())),
    "a preamble, then FIN": Fault("broken", (HEAD, ROLE, Fin())),
    "a preamble, then RST": Fault("broken", (HEAD, ROLE, Reset())),
    "a preamble, then the end": Fault("empty", (HEAD, ROLE, End())),
    "only [DONE]": Fault("empty", (HEAD, DONE, End())),
    "only [DONE] and an open body": Fault("empty", (HEAD, DONE, Stall())),
    "a preamble, usage and [DONE]": Fault("empty", (HEAD, ROLE, usage_event(), DONE, End())),
    "HTML": Fault("wrong_content", (HTML, Body(b"<html><title>Sign in</title></html>"), Fin())),
    "text": Fault("wrong_content", (Head(200, {"content-type": "text/plain"}, 5), Body(b"hello"))),
    "nothing at all": Fault("wrong_content", (Head(200, {"x-from": "first"}, 0),)),
    "204": Fault("wrong_content", (Head(204, {"x-from": "first"}),)),
    "JSON for a stream": Fault("wrong_content", chat_json("from the first", {"x-from": "first"})),
    "broken JSON": Fault("wrong_content", json_answer(b'{"choices":[{"mess', headers={"x-from": "first"})),
    "a redirect": Fault("wrong_content", (Head(307, {"location": "http://127.0.0.1:9/", "x-from": "first"}, 0),)),
    "an error in JSON for a stream": Fault("rate_limited", recorded("minimax_200_rate_limited")),
}

LATE_ERRORS = {
    "an error as the first event": Fault("server_error", (HEAD, error_event(), End())),
    "an error after a comment": Fault("server_error", (HEAD, comment(), error_event(), Stall())),
    "an error after the preamble": Fault("server_error", (HEAD, ROLE, error_event(), DONE, End())),
    "an error after many comments": Fault("server_error", (HEAD, *[comment("x" * 100)] * 200, ROLE, error_event())),
    "an error and [DONE] in one piece": Fault("server_error", (HEAD, Body(error_event().content + DONE.content))),
    "an error that closes": Fault("server_error", (HEAD, ROLE, error_event(), Fin())),
    "an error without its empty line": Fault(
        "server_error", (stream_head(framing="close"), Body(error_event().content[:-1]), Fin())
    ),
    "a named event": Fault(
        "overloaded", (HEAD, Body(b'event: error\ndata: {"type":"overloaded_error","message":"Overloaded"}\n\n'), End())
    ),
    "OpenRouter: 429 in an event": Fault("rate_limited", (HEAD, role_event(error={"code": 429, "message": "slow"}))),
    "OpenRouter: provider error and finish_reason": Fault(
        "overloaded",
        (
            HEAD,
            comment("OPENROUTER PROCESSING"),
            Body(
                event(
                    {
                        "error": {"code": 502, "message": "x", "metadata": {"error_type": "provider_overloaded"}},
                        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                    }
                )
            ),
            End(),
        ),
    ),
    "vLLM: an error by text": Fault("context_length", (HEAD, ROLE, error_event("maximum context length is 8", 400))),
    "vLLM: the engine died": Fault("server_error", recorded("vllm_midstream_error")),
    "Ollama: an error that is a string": Fault("server_error", (HEAD, Body(event({"error": "model runner died"})))),
    "CRLF line ends": Fault("server_error", (HEAD, Body(error_event().content.replace(b"\n", b"\r\n")), End())),
    "an error in pieces": Fault(
        "server_error", (HEAD, *(Body(bytes([byte])) for byte in ROLE.content + error_event().content), Stall())
    ),
    "insufficient quota after a preamble": Fault("no_credit", (HEAD, ROLE, error_event("none", "insufficient_quota"))),
}

REFUSALS = {
    "500": Fault("server_error", error_json(500)),
    "500 without a body": Fault("server_error", (Head(500, (), 0),)),
    "500 whose body never ends": Fault("stalled", (Head(500, (), 100), Body(b"{"), Stall())),
    "502 in HTML": Fault("server_error", json_answer(b"<html>Bad gateway", 502, {"content-type": "text/html"})),
    "503": Fault("overloaded", error_json(503)),
    "529": Fault("overloaded", error_json(529)),
    "498": Fault("overloaded", error_json(498)),
    "599": Fault("server_error", error_json(599)),
    "429": Fault("rate_limited", error_json(429)),
    "401": Fault("bad_credential", error_json(401)),
    "402": Fault("no_credit", error_json(402)),
    "403": Fault("forbidden", error_json(403)),
    "404": Fault("not_found", error_json(404)),
    "405": Fault("endpoint_missing", error_json(405)),
    "501": Fault("endpoint_missing", error_json(501)),
    "500 as an event stream": Fault("server_error", (Head(500, {"content-type": "text/event-stream"}, 0),)),
    "an endless error": Fault("malformed", (Head(500, (), "chunked"), Body(b"x" * 65536, times=32), Stall())),
    "anthropic_429": Fault("rate_limited", recorded("anthropic_429")),
    "anthropic_429_spend_limit": Fault("quota_exhausted", recorded("anthropic_429_spend_limit")),
    "anthropic_529": Fault("overloaded", recorded("anthropic_529")),
    "azure_429": Fault("rate_limited", recorded("azure_429")),
    "gemini_compat_429": Fault("quota_exhausted", recorded("gemini_compat_429")),
    "groq_429": Fault("rate_limited", recorded("groq_429")),
    "llamacpp_400_ctx": Fault("context_length", recorded("llamacpp_400_ctx")),
    "llamacpp_503_loading": Fault("loading", recorded("llamacpp_503_loading")),
    "mistral_401": Fault("bad_credential", recorded("mistral_401")),
    "nvidia_429": Fault("rate_limited", recorded("nvidia_429")),
    "ollama_503_busy": Fault("overloaded", recorded("ollama_503_busy")),
    "openai_401": Fault("bad_credential", recorded("openai_401")),
    "openai_429_insufficient_quota": Fault("no_credit", recorded("openai_429_insufficient_quota")),
    "openai_429_tpm": Fault("rate_limited", recorded("openai_429_tpm")),
    "openrouter_429_free_daily": Fault("quota_exhausted", recorded("openrouter_429_free_daily")),
    "openrouter_429_upstream": Fault("overloaded", recorded("openrouter_429_upstream")),
    "vllm_401": Fault("bad_credential", recorded("vllm_401")),
    "xai_400_auth": Fault("bad_credential", recorded("xai_400_auth")),
    "zai_429": Fault("rate_limited", recorded("zai_429")),
}

BEFORE_CONTENT = BROKEN_EARLY | SILENT_200 | LATE_ERRORS | REFUSALS


@pytest.mark.parametrize("name", BEFORE_CONTENT)
async def test_before_content_the_client_sees_the_second_only(name: str) -> None:
    """Not a byte of the first comes through, body or header, and the attempt is counted under its own name."""
    fault = BEFORE_CONTENT[name]
    async with proxied(fault.script, SECOND, timeouts=QUICK, strict=False) as (running, (first, second)):
        response = await ask(running)
        assert response.status == 200
        assert response.body == SECOND_BYTES
        assert response.complete
        assert response.headers["x-gateway-attempts"] == "2"
        assert response.headers["x-gateway-provider"] == "second"
        assert [value for key, value in response.fields if key == "x-from"] == ["second"]
        assert not {"location", "x-ratelimit-remaining-requests"} & response.headers.keys()
        assert len(first.requests) == len(second.requests) == 1
        await exchange_is_over(running)
        line = f'gateway_attempts_total{{model="first/m",outcome="{fault.outcome}",provider="first"}}'
        assert running.metric(line) == 1, [
            line for line in running.gateway.metrics.expose().decode().splitlines() if "attempts_total{" in line
        ]


PLAIN = BROKEN_EARLY | REFUSALS | {
    "JSON cut short by FIN": Fault("broken", (Head(200, (), 100), Body(b'{"choices":[]}'), Fin())),
    "JSON cut short by RST": Fault("broken", (Head(200, (), 100), Body(b'{"choices":[]}'), Reset())),
    "chunked JSON without its last chunk": Fault("broken", (Head(200, (), "chunked"), Body(b'{"choices":[]}'), Fin())),
    "JSON that stops": Fault("stalled", (Head(200, (), 100), Body(b'{"choices":[]}'), Stall())),
    "JSON cut short where only FIN ends it": Fault("wrong_content", (Head(200, (), "close"), Body(b'{"choi'), Fin())),
    "JSON with a bad chunk": Fault("malformed", (Head(200, (), "chunked"), Body(b'{"choices":'), Send(b"zz\r\n"))),
    "an empty body": Fault("wrong_content", (Head(200, (), 0),)),
    "an error in a 200": Fault("overloaded", json_answer({"error": {"code": 503, "message": "no"}})),
    "an error in a 200 with choices": Fault("server_error", json_answer({"error": {"message": "no"}, "choices": []})),
    "MiniMax": Fault("rate_limited", recorded("minimax_200_rate_limited")),
    "HTML": Fault("wrong_content", (HTML, Body(b"<html>"), Fin())),
}  # fmt: skip
NOT_SILENT_FOR_A_PLAIN_CALL = {"silence", "a head that drips", "102 Processing, then silence"}


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - NOT_SILENT_FOR_A_PLAIN_CALL))
async def test_a_plain_answer_fails_over_until_it_is_whole(name: str) -> None:
    """A JSON answer is relayed when all of it is there, so everything before that is invisible."""
    fault = PLAIN[name]
    good = chat_json("by the second", {"x-from": "second"})
    async with proxied(fault.script, good, timeouts=QUICK, strict=False) as (running, (_first, _second)):
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 200
        assert response.json["choices"][0]["message"]["content"] == "by the second"
        assert response.complete
        assert response.headers["x-gateway-attempts"] == "2"
        assert [value for key, value in response.fields if key == "x-from"] == ["second"]
        line = f'gateway_attempts_total{{model="first/m",outcome="{fault.outcome}",provider="first"}}'
        await exchange_is_over(running)
        assert running.metric(line) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_connection_costs_no_time(stream: bool) -> None:
    """Nothing was sent, so the next candidate gets the call at once."""
    good = SECOND if stream else chat_json()
    async with FaultyUpstream(good) as second:
        with refuse_port() as port:
            async with serving(config(port, second)) as running:
                response = await ask(running, chat(model=ROLE_NAME, stream=stream))
                assert response.status == 200
                assert response.headers["x-gateway-attempts"] == "2"
                assert running.metric(
                    'gateway_attempts_total{model="first/m",outcome="no_connect",provider="first"}'
                ) == 1  # fmt: skip


async def test_a_syn_that_nobody_answers_ends_with_the_connect_timer() -> None:
    """A black hole is left after `connect`, for the next candidate."""
    async with FaultyUpstream(SECOND) as second:
        with blackhole_port() as port:
            async with serving(config(port, second, timeouts=QUICK)) as running:
                response = await ask(running)
                assert response.body == SECOND_BYTES
                assert running.metric(
                    'gateway_attempts_total{model="first/m",outcome="connect_timeout",provider="first"}'
                ) == 1  # fmt: skip


@pytest.mark.parametrize("steps", [(Reset(),), (Fin(),), (Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Fin())])
async def test_a_connection_that_is_ended_on_accept(steps: Script) -> None:
    """Whether our request went out before or after the end: the second answers."""
    async with FaultyUpstream(strict=False) as first, FaultyUpstream(SECOND) as second:
        first.on_connect(*steps)
        async with serving(config(first, second)) as running:
            for _ in range(10):
                response = await ask(running)
                assert response.body == SECOND_BYTES
                assert response.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize("status", [400, 409, 415, 418, 422])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_clients_own_mistake_is_not_tried_elsewhere(status: int, stream: bool) -> None:
    """What one upstream refuses for its content would be paid for again at the next; the words are the upstream's."""
    body = {"error": {"message": "no such voice", "type": "invalid_request_error", "param": "voice", "code": None}}
    refusal = error_json(status, body, {"x-from": "first"})
    async with proxied(refusal, SECOND) as (running, (_first, second)):
        response = await ask(running, chat(model=ROLE_NAME, stream=stream))
        assert response.status == status
        assert response.json == body
        assert response.headers["x-gateway-attempts"] == "1"
        assert second.requests == []


AFTER_CONTENT: dict[str, Script] = {
    "FIN": (Fin(),),
    "RST": (Reset(),),
    "silence": (Stall(),),
    "an error": (error_event(), End()),
    "an error and FIN": (error_event(), Fin()),
    "a bad chunk": (Send(b"zz\r\n"), Stall()),
    "the end without [DONE]": (End(),),
    "comments without end": pings(60, 0.01),
    "half an event": (Body(CONTENT.content[:30]), Fin()),
    "a new preamble and FIN": (ROLE, Fin()),
}


@pytest.mark.parametrize("name", AFTER_CONTENT)
@pytest.mark.parametrize("together", [True, False])
async def test_after_content_nothing_is_tried_elsewhere(name: str, together: bool) -> None:
    """Once a client has part of an answer, no other upstream may add to it: not even be asked."""
    opening: Script = (ROLE, CONTENT) if not together else (Body(ROLE.content + CONTENT.content),)
    async with proxied((HEAD, *opening, *AFTER_CONTENT[name]), SECOND, timeouts=QUICK) as (running, (_first, second)):
        response = await ask(running)
        assert response.status == 200
        assert response.headers["x-from"] == "first"
        assert response.headers["x-gateway-attempts"] == "1"
        assert response.body.startswith(ROLE.content + CONTENT.content)
        assert b"second" not in response.body
        assert b"[DONE]" not in response.body
        assert response.body.count(b'"error"') == 1
        assert second.requests == []


async def test_content_in_the_first_segment_is_a_commitment() -> None:
    """Head, content and RST arrive at once: the content was generated, so it is relayed and nobody else is asked."""
    chunk = CONTENT.content
    raw = OK_HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(chunk), chunk)
    async with proxied((Send(raw), Fin()), SECOND) as (running, (_first, second)):
        for _ in range(5):
            response = await ask(running)
            assert response.body.startswith(chunk) or response.body == SECOND_BYTES
            assert (second.requests == []) == response.body.startswith(chunk)
            second.requests.clear()


CONTENTS = {
    "text": {"content": "a"},
    "reasoning": {"reasoning": "a"},
    "reasoning_content": {"reasoning_content": "a"},
    "a list of content parts": {"content": [{"type": "text", "text": "a"}]},
    "a tool call": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
    "a function call": {"function_call": {"name": "f"}},
    "a refusal": {"refusal": "No"},
    "audio": {"audio": {"id": "a"}},
    "images": {"images": [{"type": "image_url"}]},
}


@pytest.mark.parametrize("name", CONTENTS)
async def test_every_kind_of_content_commits(name: str) -> None:
    """The client has it at once, long before the stream ends."""
    content = Body(event({"choices": [{"index": 0, "delta": CONTENTS[name]}]}))
    async with (
        proxied((HEAD, ROLE, content, Stall()), SECOND) as (running, (_first, second)),
        Client(running.port) as client,
    ):
        await client.send(chat(model=ROLE_NAME, stream=True))
        response = await client.head()
        received = b""
        while len(received) < len(ROLE.content + content.content):
            received += await client.chunk(response, within_s=0.5) or b""
        assert received == ROLE.content + content.content
        assert second.requests == []


async def test_a_finish_without_content_is_an_answer() -> None:
    """A model may stop at once; `finish_reason` says that it was the model's decision."""
    script = (HEAD, ROLE, finish("stop"), DONE, End())
    async with proxied(script, SECOND) as (running, (_first, second)):
        response = await ask(running)
        assert response.body == ROLE.content + finish("stop").content + DONE.content
        assert second.requests == []


async def test_a_preamble_too_large_to_hold_is_let_through() -> None:
    """64 KiB without content: memory is bounded, so it flows, and from then on it is this upstream's answer."""
    filler = Body(event({"choices": [{"index": 0, "delta": {}}], "pad": "x" * 8000}))
    script: Script = (HEAD, *[filler] * 9, CONTENT, finish(), DONE, End())
    async with proxied(script, SECOND) as (running, (_first, second)):
        response = await ask(running)
        assert response.body == filler.content * 9 + CONTENT.content + finish().content + DONE.content
        assert second.requests == []


def response_event(**more: object) -> bytes:
    """Return an event of the responses dialect, named by its type."""
    return f"event: {more['type']}\n".encode() + event(more)


RESPONSE = {"id": "r", "error": None, "usage": None}
RESPONSES_PREAMBLE = Body(
    response_event(type="response.created", response=RESPONSE)
    + response_event(type="response.in_progress", response=RESPONSE)
)
RESPONSES_DELTA = Body(response_event(type="response.output_text.delta", delta="Hello"))
RESPONSES_DONE = Body(response_event(type="response.completed", response=RESPONSE))
RESPONSES_ERRORS = {
    "an error event": response_event(type="error", code="insufficient_quota", message="no", param=None),
    "response.failed": response_event(
        type="response.failed", response={"error": {"code": "server_error", "message": "no"}}
    ),
    "a chat-style error": event({"error": {"message": "no", "code": 500}}),
}


@pytest.mark.parametrize("name", RESPONSES_ERRORS)
async def test_a_response_that_fails_after_its_preamble_fails_over(name: str) -> None:
    """`response.created` is no content, whatever comes after it."""
    good = (stream_head({"x-from": "second"}), RESPONSES_PREAMBLE, RESPONSES_DELTA, RESPONSES_DONE, End())
    bad = (HEAD, RESPONSES_PREAMBLE, Body(RESPONSES_ERRORS[name]), End())
    asked = request("POST", "/v1/responses", {"model": ROLE_NAME, "input": "Hi", "stream": True})
    async with proxied(bad, good) as (running, (_first, _second)):
        response = await ask(running, asked)
        assert response.body == RESPONSES_PREAMBLE.content + RESPONSES_DELTA.content + RESPONSES_DONE.content
        assert response.complete
        assert response.headers["x-gateway-attempts"] == "2"


async def test_at_most_max_attempts_upstreams_are_asked() -> None:
    """The cap holds, and the header tells how often it was tried."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream(error_json(500))) for _ in range(4)]
        running = await stack.enter_async_context(serving(replace(config(*upstreams), max_attempts=3)))
        response = await ask(running)
        assert response.status == 502
        assert response.headers["x-gateway-attempts"] == "3"
        assert [len(upstream.requests) for upstream in upstreams] == [1, 1, 1, 0]


async def test_many_calls_fail_over_at_once_and_none_gets_anothers_answer() -> None:
    """Two hundred calls, every second one broken at the first upstream: each client gets its own words back."""

    def broken_or_echo(said: str) -> Script:
        return (HEAD, ROLE, Reset()) if int(said) % 2 else chat_stream(said)

    async with (
        FaultyUpstream(lambda seen: broken_or_echo(seen.json["messages"][0]["content"])) as first,
        FaultyUpstream(lambda seen: chat_stream(seen.json["messages"][0]["content"])) as second,
        serving(config(first, second)) as running,
    ):
        first.always(lambda seen: broken_or_echo(seen.json["messages"][0]["content"]))

        async def one(number: int) -> None:
            response = await ask(running, chat(str(number), model=ROLE_NAME, stream=True))
            assert response.complete
            assert response.body == b"".join(
                step.content for step in chat_stream(str(number)) if isinstance(step, Body)
            )
            assert response.headers["x-gateway-attempts"] == ("2" if number % 2 else "1")

        await asyncio.gather(*(one(number) for number in range(200)))
        assert len(second.requests) == 100
