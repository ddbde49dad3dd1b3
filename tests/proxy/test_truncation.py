"""An answer that breaks off never looks like a whole one, wherever it breaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.faults import (
    DONE,
    ROLE,
    Body,
    End,
    FaultyUpstream,
    Fin,
    Head,
    Pause,
    Request,
    Reset,
    Script,
    Send,
    Stall,
    chat,
    chat_json,
    chat_stream,
    cut,
    delta,
    error_event,
    event,
    finish,
    json_answer,
    recorded,
    request,
    stream_head,
    usage_event,
)
from tests.proxy.scene import ROLE_NAME, ask, config, proxied
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.faults import Response

SECOND = chat_stream("by the second")
SECOND_BYTES = b"".join(step.content for step in SECOND if isinstance(step, Body))
CALLS_AT_ONCE = 24


def error_of(event_text: bytes) -> dict[str, object]:
    """Return the error that an event in OpenAI's shape carries."""
    assert event_text.startswith(b"data: ")
    assert event_text.endswith(b"\n\n")
    value = msgspec.json.decode(event_text[6:])
    assert set(value) == {"error"}
    error = value["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error, dict)
    return error


def assert_whole_events(body: bytes) -> None:
    """Every event can be read; the last may lack its empty line, which makes no difference to a client."""
    for part in body.split(b"\n\n"):
        one = part.strip()
        if one and not one.startswith(b":"):
            assert one.startswith(b"data: ")
            assert one == b"data: [DONE]" or msgspec.json.decode(one[6:])


def check_cut(response: Response, whole: bytes, first_content_at: int, *, fin_ends_it: bool = False) -> str:
    """Check what came of a stream that was cut somewhere, and return which of the three ways it went."""
    body = response.body
    assert response.status == 200
    if response.headers["x-gateway-provider"] == "second":
        assert body == SECOND_BYTES
        assert response.complete
        return "elsewhere"
    if response.complete:
        if fin_ends_it and body != whole:
            # FIN is the end of such a stream; the finish_reason says that the model had come to its own.
            assert whole.startswith(body)
            assert b'"finish_reason":"stop"' in body
            assert_whole_events(body)
        else:
            assert body == whole
        return "whole"
    assert response.broken_by
    kept = body[: body.rstrip(b"\n").rfind(b"\n\n") + 2]
    assert whole.startswith(kept)
    assert len(kept) >= first_content_at
    error = error_of(body[len(kept) :])
    assert error["type"] == "upstream_error"
    assert error["code"] == "upstream_truncated"
    assert b"[DONE]" not in body
    return "broken"


async def cut_everywhere(
    answer: Script, offsets: Iterable[int], ending: Fin | Reset, check: Callable[[Response], str]
) -> dict[str, list[int]]:
    """Cut an answer at every offset, one call each, and return the offsets by what `check` says."""

    def first(seen: Request) -> Script:
        return cut(answer, int(seen.json["messages"][0]["content"]), ending)

    went: dict[str, list[int]] = {"elsewhere": [], "broken": [], "whole": []}
    left = iter(offsets)
    async with FaultyUpstream(first) as one, FaultyUpstream(SECOND) as two, serving(config(one, two)) as running:
        one.always(first)

        async def work() -> None:
            for offset in left:
                response = await ask(running, chat(str(offset), model=ROLE_NAME, stream=True))
                try:
                    went[check(response)].append(offset)
                except AssertionError as error:
                    error.add_note(f"cut at {offset}: {response!r} {response.body!r}")
                    raise

        await asyncio.gather(*(work() for _ in range(CALLS_AT_ONCE)))
    return went


@pytest.mark.parametrize(
    ("name", "ending", "every"),
    [
        ("openai_stream", Fin(), 3),
        ("openai_stream", Reset(), 7),
        ("llamacpp_stream", Fin(), 1),
        ("llamacpp_stream", Reset(), 1),
        ("openrouter_stream", Fin(), 5),
        ("groq_stream", Reset(), 5),
    ],
    ids=str,
)
async def test_a_stream_cut_at_any_byte(name: str, ending: Fin | Reset, every: int) -> None:
    """Before its content: the second answers. After: whole events, one error, a broken end. After [DONE]: all of it."""
    answer = recorded(name)
    bodies = [step.content for step in answer if isinstance(step, Body)]
    head = answer[0]
    assert isinstance(head, Head)
    wire = len(head.encode()) + sum(len(b"%x\r\n" % len(body)) + len(body) + 2 for body in bodies) + 5
    whole = b"".join(bodies)
    went = await cut_everywhere(answer, range(wire, 0, -every), ending, lambda got: check_cut(got, whole, 1))
    assert max(went["elsewhere"]) < min(went["broken"])
    assert max(went["broken"]) < min(went["whole"])
    # All of [DONE] has come by its last byte, and from there on nothing is missing.
    assert min(went["whole"]) <= wire - 5


@pytest.mark.parametrize("ending", [Fin(), Reset()], ids=["fin", "rst"])
@pytest.mark.parametrize("name", ["openrouter_stream"])
async def test_a_close_delimited_stream_cut_at_any_byte(name: str, ending: Fin | Reset) -> None:
    """There FIN is the end by the rules of HTTP, so only the events can tell."""
    answer = recorded(name, "close")
    bodies = [step.content for step in answer if isinstance(step, Body)]
    head = answer[0]
    assert isinstance(head, Head)
    whole = b"".join(bodies)
    start = len(head.encode())
    by_fin = isinstance(ending, Fin)
    went = await cut_everywhere(
        answer,
        range(start + len(whole), start - 1, -1 if by_fin else -3),
        ending,
        lambda got: check_cut(got, whole, 1, fin_ends_it=by_fin),
    )
    assert went["broken"]
    assert went["whole"]


async def test_a_stream_with_a_content_length_cut_at_any_byte() -> None:
    """A stream that announces its length is held to it."""
    answer = chat_stream("Hel", "lo", framing="length")
    head, *rest = answer
    assert isinstance(head, Head)
    whole = b"".join(step.content for step in rest if isinstance(step, Body))
    start = len(head.encode())
    went = await cut_everywhere(
        answer, range(start, start + len(whole) + 1), Fin(), lambda got: check_cut_of_length(got, whole)
    )
    assert max(went["broken"]) < min(went["whole"])


def check_cut_of_length(response: Response, whole: bytes) -> str:
    """As `check_cut`; the length was announced, so the error event may have no room."""
    if response.headers["x-gateway-provider"] == "second" or response.complete:
        return check_cut(response, whole, 1)
    assert response.broken_by
    if b'"error"' in response.body:
        return check_cut(response, whole, 1)
    assert whole.startswith(response.body)
    assert b"[DONE]" not in response.body
    return "broken"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("ending", [Fin(), Reset()], ids=["fin", "rst"])
async def test_a_json_answer_cut_at_any_byte_is_a_502(framing: str, ending: Fin | Reset) -> None:
    """Never a 200 with part of a body."""
    whole = chat_json("Hello, this is the answer.")
    body = b"".join(step.content for step in whole if isinstance(step, Body))
    head = Head(200, {"content-type": "application/json"}, len(body) if framing == "length" else "chunked")
    answer: Script = (head, Body(body), End())
    wire = len(head.encode()) + len(body) + (len(b"%x\r\n" % len(body)) + 2 + 5 if framing == "chunked" else 0)

    def first(seen: Request) -> Script:
        return cut(answer, int(seen.json["messages"][0]["content"]), ending)

    left = iter(range(wire + 1))
    async with proxied(first) as (running, _):

        async def work() -> None:
            for offset in left:
                response = await ask(running, chat(str(offset), model=ROLE_NAME))
                assert response.complete, offset
                if offset < wire:
                    assert response.status == 502, offset
                    assert response.json["error"]["code"] == "upstreams_failed"
                    assert b"this is the answer" not in response.body
                else:
                    assert response.status == 200
                    assert response.body == body

        await asyncio.gather(*(work() for _ in range(CALLS_AT_ONCE)))


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("ending", [Fin(), Reset(), Stall()], ids=["fin", "rst", "stall"])
async def test_half_a_refusal_is_not_relayed(status: int, ending: Fin | Reset | Stall) -> None:
    """Also an error may be cut short, and then it is not the upstream's word."""
    script = (Head(status, {"content-type": "application/json"}, 100), Body(b'{"error":{"message":"half'), ending)
    async with proxied(script, timeouts="idle: 100ms") as (running, _):
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == (504 if isinstance(ending, Stall) else 502)
        assert b"half" not in response.body
        assert response.json["error"]["type"] == "upstream_error"


async def test_a_whole_refusal_of_the_only_upstream_is_relayed() -> None:
    """Its words explain best; an SDK may try again when the wait is short."""
    body = {"error": {"message": "You sent too many requests", "type": "tokens", "param": None, "code": "rate"}}
    async with proxied(json_answer(body, 429, {"retry-after": "3"})) as (running, _):
        response = await ask(running)
        assert response.status == 429
        assert response.json == body
        assert response.headers["retry-after"] == "3"
        assert "x-should-retry" not in response.headers


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
async def test_a_redirect_reaches_nobody(status: int) -> None:
    """It is not followed, with our key, and it is not passed on for an SDK to follow, with the caller's."""
    async with FaultyUpstream(chat_json()) as trap:
        script = (Head(status, {"location": f"{trap.base_url}/chat/completions"}, 0 if status != 304 else "none"),)
        async with proxied(script) as (running, (upstream,)):
            response = await ask(running, chat(model=ROLE_NAME))
            assert response.status == 502
            assert "location" not in response.headers
            assert len(upstream.requests) == 1
            assert trap.connections == []


ERRORS = {
    "an error": error_event("The engine died", 500),
    "a string": Body(event({"error": "The engine died"})),
}
# On these no OpenAI SDK raises anything.
SILENT_ERRORS = {
    "a named error": Body(b'event: error\ndata: {"type":"overloaded_error","message":"The engine died"}\n\n'),
    "an object of that name": Body(event({"object": "error", "message": "The engine died", "code": 500})),
    "a choice's error": Body(
        event(
            {"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "The engine died"}}]}
        )
    ),
    "a reason": Body(event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]})),
    "base_resp": Body(event({"choices": None, "base_resp": {"status_code": 1000, "status_msg": "The engine died"}})),
    "a detail": Body(event({"detail": "The engine died"})),
    "Gemini's list": Body(event([{"error": {"code": 500, "message": "The engine died"}}])),
    "top-level fields": Body(event({"message": "The engine died", "type": "server_error", "code": "500"})),
}
UNREADABLE = {
    "a named text": Body(b"event: error\ndata: The engine died\n\n"),
    "half an event": Body(b'data: {"choices":[{"index":0,"delta":{"content":"lost"}\n\n'),
    "a page": Body(b"data: <html>502 Bad Gateway</html>\n\n"),
    "a line of a log": Body(b"data: Internal Server Error\n\n"),
    "nothing": Body(b"data:\n\n"),
}
ENDINGS: dict[str, Script] = {
    "end": (End(),), "done": (DONE, End()), "fin": (Fin(),), "rst": (Reset(),), "stall": (Stall(),)
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("tail", ["end", "done", "fin", "rst", "stall"])
async def test_an_error_after_content_is_forwarded_once(name: str, tail: str) -> None:
    """The upstream has said why; nothing of ours follows, and no [DONE] that it did not send."""
    error = ERRORS[name]
    script: Script = (stream_head(), ROLE, delta("Half an ans"), error, *ENDINGS[tail])
    expected = ROLE.content + delta("Half an ans").content + error.content
    async with proxied(script, timeouts="idle: 100ms") as (running, _):
        response = await ask(running)
        assert response.body == expected + (DONE.content if tail == "done" else b"")
        line = 'gateway_attempts_total{model="first/m",outcome="stream_error",provider="first"}'
        assert running.metric(line) == 1


@pytest.mark.parametrize("name", SILENT_ERRORS)
@pytest.mark.parametrize("tail", ENDINGS)
async def test_an_error_that_no_sdk_raises_is_said_again(name: str, tail: str) -> None:
    """It passes as it is; an error event of ours follows, no [DONE], and a broken end."""
    error = SILENT_ERRORS[name]
    script: Script = (stream_head(), ROLE, delta("Half an ans"), error, *ENDINGS[tail])
    sent = ROLE.content + delta("Half an ans").content + error.content
    async with proxied(script, timeouts="idle: 100ms") as (running, _):
        response = await ask(running)
        assert response.body.startswith(sent)
        said = error_of(response.body[len(sent) :])
        assert said["code"] == "upstream_stream_error"
        assert "engine died" in str(said["message"]) or name == "a reason"
        assert response.broken_by
        line = 'gateway_attempts_total{model="first/m",outcome="stream_error",provider="first"}'
        assert running.metric(line) == 1


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("tail", ENDINGS)
async def test_an_event_that_no_sdk_can_read_ends_in_an_error(name: str, tail: str) -> None:
    """SDKs would die on it with a bare decode error; it does not reach them, and what it says is in the error."""
    script: Script = (stream_head(), ROLE, delta("Half an ans"), UNREADABLE[name], *ENDINGS[tail])
    sent = ROLE.content + delta("Half an ans").content
    async with proxied(script, timeouts="idle: 100ms") as (running, _):
        response = await ask(running)
        assert response.body.startswith(sent)
        assert str(error_of(response.body[len(sent) :])["code"]).startswith("upstream_")
        assert response.broken_by


@pytest.mark.parametrize("name", ["a page", "a line of a log", "nothing"])
@pytest.mark.parametrize("tail", ["end", "done"])
async def test_an_odd_line_is_left_out_of_a_stream_that_goes_on(name: str, tail: str) -> None:
    """A ping, a word of a log: the answer is whole without it."""
    odd = UNREADABLE[name]
    rest: Script = (delta("wer"), finish(), *ENDINGS[tail])
    script: Script = (stream_head(), odd, ROLE, odd, delta("Half an ans"), odd, *rest)
    async with proxied(script) as (running, _):
        response = await ask(running)
        steps = (ROLE, delta("Half an ans"), *rest)
        assert response.body == b"".join(step.content for step in steps if isinstance(step, Body))
        assert response.complete


@pytest.mark.parametrize("name", ["openrouter_midstream_error"])
async def test_a_recorded_error_in_the_middle_is_relayed_byte_for_byte(name: str) -> None:
    """With what the provider sends after it."""
    script = recorded(name)
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))
        line = 'gateway_attempts_total{model="first/m",outcome="stream_error",provider="first"}'
        assert running.metric(line) == 1


async def test_ollamas_lost_error_is_a_truncation() -> None:
    """Ollama drops the error and ends the stream well: without [DONE] or a finish_reason it is half an answer."""
    script = recorded("ollama_midstream_lost_error")
    sent = b"".join(step.content for step in script if isinstance(step, Body))
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert check_cut(response, sent + b"more", 1) == "broken"


async def test_a_finished_stream_without_done_is_whole() -> None:
    """Some servers never send [DONE]. The finish_reason says that all is there; no [DONE] is made up."""
    script = (stream_head(), ROLE, delta("All of it"), finish(), usage_event(), End())
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert response.complete
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))
        assert b"[DONE]" not in response.body


@pytest.mark.parametrize("rest", [b"", b"0", b"0\r\n", b"0\r\n\r"], ids=["nothing", "0", "0 CRLF", "0 CRLF CR"])
@pytest.mark.parametrize("ending", [Fin(), Reset()], ids=["fin", "rst"])
async def test_after_done_a_missing_end_is_nobodys_loss(rest: bytes, ending: Fin | Reset) -> None:
    """The client has the whole answer: no error, and a proper end."""
    script = (*chat_stream("Hel", "lo", end=False), Pause(0.01), Send(rest), ending)
    async with proxied(script) as (running, _):
        response = await ask(running)
        assert response.complete
        assert response.body.endswith(DONE.content)
        assert b'"error"' not in response.body
        assert running.metric('gateway_attempts_total{model="first/m",outcome="ok",provider="first"}') == 1


CREATED = event({"type": "response.created", "response": {"id": "r", "error": None}})
TEXT = event({"type": "response.output_text.delta", "delta": "Half an ans"})


@pytest.mark.parametrize("ending", [Fin(), Reset(), Stall(), End()], ids=["fin", "rst", "stall", "end"])
async def test_a_response_that_breaks_off_ends_in_its_own_kind_of_error(ending: Fin | Reset | Stall | End) -> None:
    """The responses dialect has an error event of its own, which its SDKs raise."""
    script = (stream_head(), Body(CREATED), Body(TEXT), Body(TEXT[:20]), ending)
    asked = request("POST", "/v1/responses", {"model": ROLE_NAME, "input": "Hi", "stream": True})
    async with proxied(script, timeouts="idle: 100ms") as (running, _):
        response = await ask(running, asked)
        assert not response.complete
        assert response.body.startswith(CREATED + TEXT + b"event: error\ndata: ")
        error = msgspec.json.decode(response.body.removeprefix(CREATED + TEXT + b"event: error\ndata: "))
        assert error["type"] == "error"
        assert error["code"] == ("upstream_idle_timeout" if isinstance(ending, Stall) else "upstream_truncated")
        assert error["message"]
        assert b"[DONE]" not in response.body


async def test_a_truncated_gzip_stream_is_not_a_whole_one() -> None:
    """An error event cannot be put into somebody else's compression, but the end can be left out."""
    whole = chat_stream("Hel", "lo", "x" * 500, compress=True)
    head, *bodies = whole
    sent = [step for step in bodies if isinstance(step, Body)]
    async with proxied((head, *sent[:3], Fin())) as (running, _):
        response = await ask(running)
        assert response.headers["content-encoding"] == "gzip"
        assert not response.complete
        assert response.body == b"".join(step.content for step in sent[:3])


async def test_speech_cut_short_is_a_broken_connection() -> None:
    """Audio has no error event; the missing end says it."""
    head = Head(200, {"content-type": "audio/mpeg"}, "chunked")
    asked = request("POST", "/v1/audio/speech", {"model": ROLE_NAME, "input": "Hi", "voice": "x"})
    async with proxied((head, Body(b"ID3" * 100), Pause(0.05), Body(b"abc" * 100), Fin())) as (running, _):
        response = await ask(running, asked)
        assert response.body == b"ID3" * 100 + b"abc" * 100
        assert not response.complete


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_json_answer_that_flows_is_cut_visibly(framing: str) -> None:
    """Beyond 16 MiB a plain answer is no longer held; broken then, it must not end."""
    size = 17 << 20
    head = Head(200, {"content-type": "application/json"}, size + 100 if framing == "length" else "chunked")
    piece = b'"' + b"x" * 65535
    asked = request("POST", "/v1/embeddings", {"model": ROLE_NAME, "input": "Hi"})
    async with proxied((head, Body(piece, times=size // len(piece)), Fin())) as (running, _):
        response = await ask(running, asked)
        assert response.status == 200
        assert not response.complete
