"""What an answer is: whole, half, an error, or nothing. The rows are answers as upstreams give them."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import partial
from typing import Any

import pytest

from gateway.core import outcome as o
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    RESPONSES,
    SPEECH,
    TRANSCRIPTIONS,
)
from gateway.dialects.judge import BROKEN, HELD, LARGEST_HELD, OPEN, REFUSED, WHOLE, Judge, Phase
from gateway.dialects.phases import NEXT, PHASES, SIGNS
from gateway.types import Call, Endpoint, Outcome

# Without the time: what a test is called must not depend on when it was collected.
compress = partial(gzip.compress, mtime=0)

SSE = b"text/event-stream"
JSON = b"application/json"
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = CONTENT + FINISH + DONE
ANSWER = b'{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}'
ERROR = b'{"error":{"message":"boom","code":500}}'
MP3 = b"ID3\x04" + bytes(range(256))
CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"instructions":"%b"}}\n\n'


def call(endpoint: Endpoint = CHAT, *, stream: bool = False, **fields: Any) -> Call:
    """A call as a client would send it."""
    if endpoint is TRANSCRIPTIONS:
        return Call(endpoint, "m", b"", (0, 0))
    return read_call(endpoint, json.dumps({"model": "m", "stream": stream, **fields}).encode())


def judged(
    asked: Call, body: bytes, kind: bytes | None = JSON, *, status: int = 200, size: int = 1 << 30, coding: bytes = b"",
    ends: bool = True, strip: bool = False,
) -> tuple[Judge, bytes]:  # fmt: skip
    """Return the judgement of an answer that comes in pieces of `size`, and what passed of it."""
    judge = Judge(asked, strip_usage=strip)
    fields = {} if kind is None else {b"content-type": kind}
    judge.head(status, fields | ({b"content-encoding": coding} if coding else {}))
    passed = b"".join([judge.receive(body[at : at + size]) for at in range(0, len(body), size)])
    return judge, passed + (judge.end() if ends else b"")


def test_the_table_is_whole() -> None:
    """Every phase knows every sign, and an end is an end."""
    assert set(NEXT) == {(phase, sign) for phase in PHASES for sign in SIGNS}
    assert all(NEXT[over, sign] is over for over in (WHOLE, REFUSED, BROKEN) for sign in SIGNS)
    assert {after for (before, _), after in NEXT.items() if before is HELD} == {OPEN, WHOLE, REFUSED}
    assert {after for (before, _), after in NEXT.items() if before is OPEN} == {OPEN, WHOLE, BROKEN}


STREAMED, PLAIN = call(stream=True), call()


@pytest.mark.parametrize("size", [1 << 30, 7, 1])
@pytest.mark.parametrize(
    ("asked", "kind", "body", "phase", "outcome"),
    [
        # what was asked for
        (PLAIN, JSON, ANSWER, WHOLE, o.OK),
        (PLAIN, None, b"\n\n " + ANSWER, WHOLE, o.OK),
        (PLAIN, b"text/plain", ANSWER, WHOLE, o.OK),
        (STREAMED, SSE, STREAM, WHOLE, o.OK),
        (STREAMED, b"Text/Event-Stream; charset=utf-8", b": hi\n\n" + STREAM, WHOLE, o.OK),
        (STREAMED, SSE, CONTENT + FINISH, WHOLE, o.OK),
        # a stream under a wrong name, or none
        (STREAMED, b"text/plain", STREAM, WHOLE, o.OK),
        (STREAMED, None, STREAM, WHOLE, o.OK),
        (STREAMED, b"application/octet-stream", b"event: x\n" + STREAM, WHOLE, o.OK),
        (STREAMED, JSON, b"\xef\xbb\xbf" + STREAM, WHOLE, o.OK),
        (STREAMED, b"text/plain", CONTENT, BROKEN, o.TRUNCATED),
        # the other form
        (PLAIN, SSE, STREAM, REFUSED, o.WRONG_CONTENT),
        (PLAIN, b"text/plain", STREAM, REFUSED, o.WRONG_CONTENT),
        (PLAIN, JSON, STREAM, REFUSED, o.WRONG_CONTENT),
        (PLAIN, SSE, b"data: " + ERROR + b"\n\n", REFUSED, o.SERVER_ERROR),
        (STREAMED, JSON, ANSWER, REFUSED, o.WRONG_CONTENT),
        (STREAMED, SSE, ANSWER, REFUSED, o.WRONG_CONTENT),
        (STREAMED, JSON, ERROR, REFUSED, o.SERVER_ERROR),
        (STREAMED, SSE, ERROR, REFUSED, o.SERVER_ERROR),
        (PLAIN, b"text/html", b"<html>Sign in</html>", REFUSED, o.WRONG_CONTENT),
        (STREAMED, b"text/html", b"<html>Sign in</html>", REFUSED, o.WRONG_CONTENT),
        # an answer in which there is none, in both forms
        (PLAIN, JSON, b"", REFUSED, o.WRONG_CONTENT),
        (PLAIN, JSON, b"{}", REFUSED, o.EMPTY),
        (PLAIN, JSON, b'{"choices":[]}', REFUSED, o.EMPTY),
        (PLAIN, JSON, b'{"choices":null}', REFUSED, o.EMPTY),
        (PLAIN, JSON, b"null", REFUSED, o.WRONG_CONTENT),
        (STREAMED, SSE, b"", REFUSED, o.EMPTY),
        (STREAMED, SSE, b"data: {}\n\n" + DONE, REFUSED, o.EMPTY),
        (STREAMED, SSE, b'data: {"choices":[]}\n\n' + DONE, REFUSED, o.EMPTY),
        (STREAMED, SSE, b'data: {"choices":null}\n\n', REFUSED, o.EMPTY),
        # errors inside a success, in both forms
        (PLAIN, JSON, b'{"object":"error","message":"boom","code":500}', REFUSED, o.SERVER_ERROR),
        (PLAIN, JSON, b'{"choices":[{"finish_reason":"error","error":{"code":502}}]}', REFUSED, o.SERVER_ERROR),
        (PLAIN, JSON, b'{"choices":[{"finish_reason":"error"}]}', REFUSED, o.SERVER_ERROR),
        (PLAIN, JSON, b'{"base_resp":{"status_code":1008,"status_msg":"no"}}', REFUSED, o.NO_CREDIT),
        (STREAMED, SSE, b'data: {"object":"error","message":"boom","code":500}\n\n', REFUSED, o.SERVER_ERROR),
        (STREAMED, SSE, b'data: {"choices":[{"finish_reason":"error","error":{"code":502}}]}\n\n', REFUSED,
         o.SERVER_ERROR),
        (STREAMED, SSE, b'data: {"choices":[{"finish_reason":"error"}]}\n\n', REFUSED, o.SERVER_ERROR),
        (STREAMED, SSE, b'data: {"base_resp":{"status_code":1008,"status_msg":"no"}}\n\n', REFUSED, o.NO_CREDIT),
        (STREAMED, SSE, CONTENT + b'data: {"object":"error","message":"boom"}\n\n' + DONE, BROKEN, o.STREAM_ERROR),
        (STREAMED, SSE, CONTENT + b"data: " + ERROR + b"\n\n" + DONE, BROKEN, o.STREAM_ERROR),
        (STREAMED, SSE, CONTENT + FINISH + b"data: " + ERROR + b"\n\n", BROKEN, o.STREAM_ERROR),
        # blocked: the client may look at it
        (PLAIN, JSON, b'{"choices":[],"promptFeedback":{"blockReason":"SAFETY"}}', REFUSED, o.POLICY),
        # what no SDK can read
        (STREAMED, SSE, b'data: {"choices":[\n\n' + STREAM, REFUSED, o.MALFORMED),
        (STREAMED, SSE, CONTENT + b'data: {"choices":[\n\n' + FINISH + DONE, BROKEN, o.TRUNCATED),
        (STREAMED, SSE, b"data: Internal Server Error\n\n", REFUSED, o.EMPTY),
        (STREAMED, SSE, b"data: ping\n\n" + STREAM, WHOLE, o.OK),
        # every choice's end
        (call(stream=True, n=2), SSE, STREAM, WHOLE, o.OK),
        (call(stream=True, n=2), SSE, CONTENT + FINISH, BROKEN, o.TRUNCATED),
        (call(stream=True, n=2), SSE, CONTENT + CONTENT.replace(b'"index":0', b'"index":1') + FINISH, BROKEN,
         o.TRUNCATED),
        (call(stream=True, n=2), SSE, CONTENT + FINISH + FINISH.replace(b'"index":0', b'"index":1'), WHOLE, o.OK),
        (call(COMPLETIONS, stream=True, prompt=["a", "b"]), SSE, CONTENT + FINISH, BROKEN, o.TRUNCATED),
        (call(COMPLETIONS, stream=True, prompt=[1, 2, 3]), SSE, CONTENT + FINISH, WHOLE, o.OK),
        # sound
        (call(SPEECH), b"audio/mpeg", MP3, WHOLE, o.OK),
        (call(SPEECH), None, MP3, WHOLE, o.OK),
        (call(SPEECH), b"audio/mpeg", b"", REFUSED, o.EMPTY),
        (call(SPEECH), JSON, b"", REFUSED, o.EMPTY),
        (call(SPEECH), JSON, ERROR, REFUSED, o.SERVER_ERROR),
        (call(SPEECH), b"audio/mpeg", ERROR, REFUSED, o.SERVER_ERROR),
        (call(SPEECH), b"audio/pcm", b"{\x00\x01\x02" * 9, WHOLE, o.OK),
        (call(SPEECH), b"text/html", b"<html>Sign in</html>", REFUSED, o.WRONG_CONTENT),
        (call(SPEECH, stream_format="sse"), SSE, b'data: {"type":"speech.audio.delta","audio":"AA"}\n\n', WHOLE, o.OK),
        (call(TRANSCRIPTIONS), JSON, b'{"text":""}', WHOLE, o.OK),
        (call(TRANSCRIPTIONS), JSON, b"{}", REFUSED, o.EMPTY),
        (call(TRANSCRIPTIONS), JSON, ERROR, REFUSED, o.SERVER_ERROR),
        (call(TRANSCRIPTIONS), b"text/plain", b"Hello", WHOLE, o.OK),
        (call(TRANSCRIPTIONS), b"text/plain", b"1\n00:00 --> 00:01\ndata: x", WHOLE, o.OK),
        (call(TRANSCRIPTIONS), SSE, b'data: {"type":"transcript.text.delta","delta":"x"}\n\n', WHOLE, o.OK),
        (call(EMBEDDINGS), JSON, b'{"data":[]}', REFUSED, o.EMPTY),
        (call(IMAGE_GENERATIONS), JSON, b'{"data":[{"url":""}]}', REFUSED, o.EMPTY),
        (call(RESPONSES, stream=True), SSE, CREATED % b"x", REFUSED, o.EMPTY),
    ],
)  # fmt: skip
def test_answers(asked: Call, kind: bytes | None, body: bytes, phase: Phase, outcome: Outcome, size: int) -> None:
    """The same whatever pieces an answer comes in."""
    judge, passed = judged(asked, body, kind, size=size)
    assert (judge.phase, judge.outcome) == (phase, outcome)
    if phase is WHOLE and b"ping" not in body:
        assert (passed or judge.body()) == body


@pytest.mark.parametrize("asked, kind, body", [(STREAMED, SSE, CONTENT), (call(SPEECH), b"audio/mpeg", MP3)])
def test_a_failure_is_never_overwritten(asked: Call, kind: bytes, body: bytes) -> None:
    """An end after a break is none, and a break after the end breaks nothing."""
    judge, _ = judged(asked, body, kind, ends=False)
    judge.cut(o.MALFORMED, "garbage")
    judge.end()
    assert (judge.phase, judge.outcome, judge.message) == (BROKEN, o.TRUNCATED, "garbage")
    whole, _ = judged(STREAMED, STREAM, SSE, ends=False)
    whole.cut(o.BROKEN, "reset")
    assert (whole.phase, whole.outcome) == (WHOLE, o.OK)


@pytest.mark.parametrize(
    ("outcome", "held", "shown"),
    [
        (o.BROKEN, o.BROKEN, o.TRUNCATED),
        (o.IDLE_TIMEOUT, o.STALLED, o.IDLE_TIMEOUT),
        (o.TOTAL_TIMEOUT, o.TOTAL_TIMEOUT, o.TOTAL_TIMEOUT),
        (o.SHUT_DOWN, o.SHUT_DOWN, o.SHUT_DOWN),
        (o.CANCELLED, o.CANCELLED, o.CANCELLED),
    ],
)
def test_the_same_cut_before_and_after_content(outcome: Outcome, held: Outcome, shown: Outcome) -> None:
    """What is held fails over; what was shown cannot."""
    for body, phase, expected in ((b": hi\n\n", REFUSED, held), (CONTENT, BROKEN, shown)):
        judge, _ = judged(STREAMED, body, SSE, ends=False)
        judge.cut(outcome, "x")
        assert (judge.phase, judge.outcome) == (phase, expected)


def test_what_is_held_has_a_limit() -> None:
    """In every form: comments, preamble, fragments, spaces, errors."""
    much = b"x" * (LARGEST_HELD + 1)
    for asked, kind, body in (
        (STREAMED, SSE, b": " + much.replace(b"xx", b"\n:") + b"\n\n"),
        (STREAMED, SSE, b": " + much),
        (call(RESPONSES, stream=True), SSE, CREATED % much),
        (STREAMED, None, b" " * len(much)),
    ):
        judge, _ = judged(asked, body, kind, size=1 << 20, ends=False)
        assert (judge.phase, judge.outcome) == (REFUSED, o.MALFORMED)
    judge, _ = judged(PLAIN, much, status=400, size=1 << 20, ends=False)
    assert (judge.phase, judge.outcome) == (REFUSED, o.MALFORMED)


@pytest.mark.parametrize("size", [40_000, 2 << 20])
def test_a_large_preamble_does_not_end_failover(size: int) -> None:
    """It echoes the request. Nothing of the answer has been shown when the error comes."""
    preamble = CREATED % (b"x" * size)
    body = preamble + preamble.replace(b"created", b"in_progress") + b'data: {"type":"error","message":"boom"}\n\n'
    judge, _ = judged(call(RESPONSES, stream=True), body, SSE, size=10_000)
    assert judge.phase is REFUSED


def test_a_fast_storm_of_comments_is_no_content() -> None:
    """Bytes do not commit, content does."""
    judge, _ = judged(STREAMED, b": wait\n\n" * 40_000, SSE, size=50_000, ends=False)
    assert judge.phase is HELD


def test_a_plain_answer_too_large_to_hold_flows_and_is_read() -> None:
    """Embeddings by the thousand: their usage is at the end, and so may be an error."""
    row = b'{"index":0,"embedding":[' + b",".join([b"0.123456"] * 1500) + b"]},"
    rows = row * (LARGEST_HELD // len(row) + 2)
    body = b'{"data":[' + rows[:-1] + b'],"usage":{"prompt_tokens":5000,"total_tokens":5000}}'
    judge, passed = judged(call(EMBEDDINGS), body, size=100_000)
    assert passed == body
    assert judge.phase is WHOLE
    assert judge.usage is not None
    assert judge.usage.input_tokens == 5000
    failed, _ = judged(call(EMBEDDINGS), body[:-1] + b',"error":{"message":"boom"}}', size=100_000)
    assert (failed.phase, failed.outcome) == (BROKEN, o.STREAM_ERROR)
    cut, _ = judged(call(EMBEDDINGS), body[:-9], size=100_000, ends=False)
    cut.cut(o.MALFORMED, "garbage")
    cut.end()
    assert (cut.phase, cut.outcome) == (BROKEN, o.TRUNCATED)


CODED = [(b"gzip", compress(STREAM)), (b"deflate", zlib.compress(STREAM)), (b"X-GZIP", compress(STREAM))]


@pytest.mark.parametrize("size", [1 << 30, 1])
@pytest.mark.parametrize(("coding", "body"), CODED)
def test_a_stream_in_a_coding_passes_as_it_came(coding: bytes, body: bytes, size: int) -> None:
    """A decoded copy is judged; the last event is no end, because the checksum follows it."""
    judge, passed = judged(STREAMED, body, SSE, coding=coding, size=size)
    assert (judge.phase, passed) == (WHOLE, body)
    cut, _ = judged(STREAMED, body[:-4], SSE, coding=coding, size=size, ends=False)
    assert cut.phase is OPEN
    cut.cut(o.BROKEN, "reset")
    assert (cut.phase, cut.closing()) == (BROKEN, b"")


def test_a_stream_in_a_coding_is_decoded_where_an_event_is_to_be_taken_out() -> None:
    """Usage that only the gateway asked for does not reach the client."""
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    judge, passed = judged(STREAMED, compress(CONTENT + FINISH + usage + DONE), SSE, coding=b"gzip", strip=True)
    assert (judge.phase, passed, judge.is_decoded) == (WHOLE, STREAM, True)
    assert judge.usage is not None
    assert judge.usage.output_tokens == 2


@pytest.mark.parametrize(("asked", "kind"), [(STREAMED, SSE), (PLAIN, JSON), (call(SPEECH), b"audio/mpeg")])
@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br"])
def test_a_coding_that_cannot_be_read_was_not_asked_for(asked: Call, kind: bytes, coding: bytes) -> None:
    """Nothing of such an answer can be judged, so none of it is shown, and nothing is held."""
    judge, _ = judged(asked, b"", kind, coding=coding, ends=False)
    assert (judge.phase, judge.outcome) == (REFUSED, o.WRONG_CONTENT)


def test_a_bomb_and_garbage_in_a_coding() -> None:
    """Neither is unpacked, and before content both fail over."""
    bomb = compress(b": " + b"x" * (64 << 20), 9)
    for body in (bomb, b"\x00garbage"):
        judge, _ = judged(STREAMED, body, SSE, coding=b"gzip", size=4096, ends=False)
        assert (judge.phase, judge.outcome) == (REFUSED, o.MALFORMED)


def test_the_event_that_ends_a_broken_stream() -> None:
    """In the dialect of the call; after an event that is open, on a line of its own; none if it was said already."""
    judge, _ = judged(STREAMED, CONTENT, SSE)
    assert judge.closing().startswith(b'data: {"error":{"message":"the upstream ended the stream')
    said, _ = judged(STREAMED, CONTENT + b"data: " + ERROR + b"\n\n", SSE)
    assert (said.is_said, said.closing()) == (True, b"")
    large = b'data: {"choices":[{"index":0,"delta":{"images":["' + b"A" * (2 << 20)
    amid, _ = judged(STREAMED, CONTENT + large, SSE, size=100_000, ends=False)
    amid.cut(o.BROKEN, "reset")
    assert amid.closing().startswith(b'\n\ndata: {"error"')
    sound, _ = judged(call(SPEECH), MP3, b"audio/mpeg", ends=False)
    sound.cut(o.BROKEN, "reset")
    assert sound.closing() == b""


def test_a_mask_covers_what_the_upstream_says_of_an_error() -> None:
    """The message of a refusal, and the bytes of an error event."""

    def mask(said: bytes) -> bytes:
        return said.replace(b"sk-secret", b"*********")

    event = b'data: {"error":{"message":"bad key sk-secret"}}\n\n'
    for body, passed in ((b"", b""), (CONTENT, CONTENT + event.replace(b"sk-secret", b"*********"))):
        judge = Judge(STREAMED, mask=mask)
        judge.head(200, {b"content-type": SSE})
        came = judge.receive(body) + judge.receive(event) if body else judge.receive(event)
        assert judge.message == "bad key *********"
        assert not passed or came == passed


def test_what_a_judge_is_called() -> None:
    """In a log or a debugger."""
    assert repr(Judge(PLAIN)) == "<Judge held>"
    assert repr(judged(STREAMED, CONTENT, SSE)[0]) == "<Judge broken, truncated>"


def test_only_events_that_pass_as_they_came_may_pass_unjudged() -> None:
    """A stream in a coding is read at every piece, and a plain answer has no events."""
    assert (judge := judged(STREAMED, CONTENT, SSE, ends=False)[0]).steady is judge.reader is not None
    assert judged(STREAMED, compress(STREAM), SSE, coding=b"gzip", ends=False)[0].steady is None
    assert judged(PLAIN, ANSWER)[0].steady is None


def test_a_refusal_that_cannot_be_read_has_a_body_in_the_clients_dialect() -> None:
    for endpoint in (CHAT, RESPONSES, EMBEDDINGS):
        said = json.loads(Judge(call(endpoint)).unreadable())["error"]
        assert (said["type"], said["code"]) == ("upstream_error", "upstreams_failed")
