"""Every path of the API, with and without /v1, and what passes through it."""

from __future__ import annotations

import time
from random import Random

import pytest

from gateway.dialects.endpoints import ENDPOINTS
from gateway.types import BodyKind
from tests.faults import (
    Body,
    Client,
    Head,
    Pause,
    Script,
    chat,
    chat_json,
    error_json,
    json_answer,
    request,
    stream_head,
)
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied, until

FORM = {"content-type": "multipart/form-data; boundary=----b0und"}


def part(name: str, content: bytes, *, file: str | None = None, quoted: bool = True) -> bytes:
    """Return one part of a form, with the delimiter before it."""
    spelled = f'"{name}"' if quoted else name
    filename = f'; filename="{file}"\r\nContent-Type: audio/mpeg' if file else ""
    head = f"------b0und\r\nContent-Disposition: form-data; name={spelled}{filename}\r\n\r\n"
    return head.encode() + content + b"\r\n"


END = b"------b0und--\r\n"
MODEL = part("model", b"role:rlm")
AUDIO = bytes(Random(3).randbytes(50_000)) + b"\r\n--\r\n------b0un\r\n"


def form(body: bytes, path: str = "/v1/audio/transcriptions") -> bytes:
    """Return a request with a form."""
    return request("POST", path, headers=FORM, body=body)


@pytest.mark.parametrize("prefix", ["/v1", "", "/v1/", "/"])
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: str(endpoint.name))
async def test_every_endpoint_with_and_without_its_prefix(endpoint: object, prefix: str) -> None:
    """Base URLs are pasted with and without `/v1`, and with a slash too many."""
    found = next(one for one in ENDPOINTS if one is endpoint)
    path = prefix + found.path
    is_form = found.body is BodyKind.MULTIPART
    asked = form(MODEL + END, path) if is_form else request("POST", path, {"model": ROLE_NAME, "input": "Hi"})
    answer = json_answer(MESSAGE) if found.dialect == "messages" else chat_json()
    async with proxied(answer) as (running, (upstream,)):
        response = await ask(running, asked)
        assert response.status == 200
        assert upstream.requests[0].target == f"/v1{found.path}"
        sent = upstream.requests[0].body
        assert sent == (MODEL.replace(b"role:rlm", b"m") + END if is_form else b'{"model":"m","input":"Hi"}')
        await exchange_is_over(running)


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 4, "output_tokens": 1},
}  # fmt: skip
JSON_ANSWERS = {
    "/v1/messages": MESSAGE,
    "/v1/messages/count_tokens": {"input_tokens": 4},
    "/v1/embeddings": {"object": "list", "data": [{"embedding": [0.1, -1e-5]}], "usage": {"prompt_tokens": 5}},
    "/v1/moderations": {"id": "modr-1", "results": [{"flagged": False}]},
    "/v1/rerank": {"results": [{"index": 0, "relevance_score": 0.5}]},
    "/v1/images/generations": {"created": 1, "data": [{"b64_json": "aGVsbG8=" * 10_000}]},
    "/v1/completions": {"object": "text_completion", "choices": [{"text": "Hi", "finish_reason": "stop"}]},
    "/v1/responses": {"id": "resp_1", "object": "response", "error": None, "output": [], "usage": {"input_tokens": 4}},
}


@pytest.mark.parametrize("path", JSON_ANSWERS)
async def test_plain_answers_pass_as_they_are(path: str) -> None:
    """Whatever they hold; an `error` of null is none."""
    script = json_answer(JSON_ANSWERS[path])
    async with proxied(script) as (running, _):
        response = await ask(running, request("POST", path, {"model": ROLE_NAME, "input": "Hi"}))
        assert response.status == 200
        assert response.body == b"".join(step.content for step in script if isinstance(step, Body))


async def test_the_tokens_of_an_embedding_are_counted() -> None:
    """They cost money too."""
    async with proxied(json_answer(JSON_ANSWERS["/v1/embeddings"])) as (running, _):
        await ask(running, request("POST", "/v1/embeddings", {"model": ROLE_NAME, "input": "Hi"}))
        assert running.metric('gateway_tokens_total{direction="input",model="first/m",provider="first"}') == 5


async def test_a_response_streams_in_its_own_dialect() -> None:
    """Its events are named, and it ends with `response.completed` rather than [DONE]."""
    events = b"".join(
        b"event: %b\ndata: {\"type\":\"%b\"%b}\n\n" % (name, name, more)
        for name, more in [
            (b"response.created", b',"response":{"id":"r"}'),
            (b"response.output_text.delta", b',"delta":"Hi"'),
            (b"response.completed", b',"response":{"id":"r","usage":{"input_tokens":3,"output_tokens":2}}'),
        ]
    )  # fmt: skip
    asked = request("POST", "/v1/responses", {"model": ROLE_NAME, "input": "Hi", "stream": True})
    async with proxied((stream_head(framing=len(events)), Body(events))) as (running, (upstream,)):
        response = await ask(running, asked)
        assert response.complete
        assert response.body == events
        assert b"stream_options" not in upstream.requests[0].body
        assert running.metric('gateway_tokens_total{direction="output",model="first/m",provider="first"}') == 2


@pytest.mark.parametrize("framing", ["chunked", "close", 100_000])
async def test_speech_is_binary_and_flows(framing: str | int) -> None:
    """Any bytes, and the first of them before the last are made."""
    audio = bytes(Random(5).randbytes(100_000))
    script: Script = (
        Head(200, {"content-type": "audio/mpeg"}, framing),  # type: ignore[arg-type]  # one of the literals
        Body(audio[:1000]), Pause(0.2), Body(audio[1000:]), *json_answer(b"")[2:],
    )  # fmt: skip
    async with proxied(script) as (running, _), Client(running.port) as client:
        await client.send(request("POST", "/v1/audio/speech", {"model": ROLE_NAME, "input": "Hi", "voice": "x"}))
        started_at = time.monotonic()
        response = await client.head()
        await client.chunk(response)
        assert time.monotonic() - started_at < 0.15
        await client.finish(response)
        assert response.complete
        assert response.headers["content-type"] == "audio/mpeg"
        assert response.body == audio


# -- forms


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("order", ["model first", "model last", "model between"])
async def test_of_a_form_only_the_value_of_model_changes(order: str, quoted: bool) -> None:
    """Audio with anything in it, other fields, names in any order: byte for byte."""
    model = part("model", b"role:rlm", quoted=quoted)
    file = part("file", AUDIO, file="a.mp3")
    language, prompt = part("language", b"de"), part("prompt", b'name="model"\r\n\r\nrole:rlm')
    body = {
        "model first": model + file + language + prompt,
        "model last": language + prompt + file + model,
        "model between": file + model + language + prompt,
    }[order] + END
    async with proxied(json_answer({"text": "Hello"})) as (running, (upstream,)):
        response = await ask(running, form(body))
        assert response.json == {"text": "Hello"}
        at = body.index(model) + len(model) - len(b"role:rlm\r\n")
        assert upstream.requests[0].body == body[:at] + b"m" + body[at + len(b"role:rlm") :]
        assert upstream.requests[0].headers["content-type"] == FORM["content-type"]
        assert upstream.requests[0].headers["content-length"] == str(len(body) - 7)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/vtt", "application/x-subrip"])
async def test_a_transcription_may_be_text(kind: str) -> None:
    """Subtitles are no broken answer."""
    script = (Head(200, {"content-type": kind}, 11), Body(b"WEBVTT\n\n00:"))
    async with proxied(script) as (running, _):
        response = await ask(running, form(MODEL + part("file", AUDIO, file="a.mp3") + END))
        assert response.status == 200
        assert response.body == b"WEBVTT\n\n00:"


async def test_a_small_form_fails_over() -> None:
    """It is kept, so that it can be sent to another upstream."""

    body = part("file", AUDIO, file="a.mp3") + MODEL + END
    async with proxied(error_json(500), json_answer({"text": "Hello"})) as (running, (first, second)):
        response = await ask(running, form(body))
        assert response.status == 200
        assert response.headers["x-gateway-attempts"] == "2"
        assert first.requests[0].body == second.requests[0].body


async def test_a_large_form_flows_through() -> None:
    """The upstream has its beginning before the client has sent its end, and every byte of it after."""
    audio = bytes(Random(9).randbytes(8 << 20))
    body = MODEL + part("file", audio, file="a.mp3") + part("language", b"de") + END
    head, _, _ = form(body).partition(b"\r\n\r\n")
    async with proxied(json_answer({"text": "Hello"})) as (running, (upstream,)), Client(running.port) as client:
        await client.send(head + b"\r\n\r\n" + body[: 5 << 20])
        connection = await upstream.wait_connection()
        await until(lambda: connection.bytes_received > 4 << 20)
        assert upstream.requests == []
        await client.send(body[5 << 20 :])
        response = await client.response()
        assert response.json == {"text": "Hello"}
        assert upstream.requests[0].body == body.replace(b"role:rlm", b"m", 1)
        await exchange_is_over(running)


TWO = MODEL + part("model", b"first/expensive")
BAD_FORMS = {
    "no model": (part("file", b"x", file="a.mp3") + END, FORM),
    "no parts": (END, FORM),
    "an empty body": (b"", FORM),
    "an empty model": (part("model", b"") + END, FORM),
    "two models": (TWO + END, FORM),
    "two models around a file": (MODEL + part("file", b"x", file="a") + part("model", b"x") + END, FORM),
    "model in another case beside it": (MODEL + part("Model", b"first/expensive") + END, FORM),
    "NUL in the model": (part("model", b"role:rlm\0") + END, FORM),
    "a model that is a file": (part("model", b"x" * 5000, file="model.bin") + END, FORM),
    "a model that is not UTF-8": (part("model", b"\xff\xfe") + END, FORM),
    "no closing": (part("file", b"x", file="a.mp3"), FORM),
    "another boundary": (MODEL + END, {"content-type": "multipart/form-data; boundary=other"}),
    "no boundary": (MODEL + END, {"content-type": "multipart/form-data"}),
    "a part without a head": (b"------b0und\r\nhello\r\n" + MODEL + END, FORM),
    "JSON": (b'{"model":"role:rlm"}', FORM),
}


@pytest.mark.parametrize("name", BAD_FORMS)
async def test_a_form_that_cannot_be_understood_is_refused(name: str) -> None:
    """In OpenAI's shape, at once."""
    body, headers = BAD_FORMS[name]
    async with proxied(chat_json()) as (running, (upstream,)):
        started_at = time.monotonic()
        response = await ask(running, request("POST", "/v1/audio/transcriptions", headers=headers, body=body))
        assert time.monotonic() - started_at < 0.25
        assert response.status == 400, response.body
        assert response.json["error"]["type"] == "invalid_request_error"
        assert upstream.connections == []


async def test_json_where_a_form_is_wanted_is_a_415() -> None:
    """And says what to send."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, request("POST", "/v1/audio/transcriptions", {"model": ROLE_NAME}))
        assert response.status == 415
        assert "multipart/form-data" in response.json["error"]["message"]
        assert upstream.connections == []


# -- the list of models

CATALOG = 'models: {main: first/m, "fancy": "first/org/model:free"}'


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_models_lists_what_can_be_asked_for(prefix: str) -> None:
    """In one object that OpenAI's and Anthropic's SDKs read."""
    async with proxied(chat_json(), extra=CATALOG) as (running, (upstream,)):
        response = await ask(running, request("GET", f"{prefix}/models"))
        assert response.status == 200
        assert response.json["object"] == "list"
        ids = [model["id"] for model in response.json["data"]]
        assert {"role:rlm", "main", "fancy"} <= set(ids)
        assert len(set(ids)) == len(ids)
        for model in response.json["data"]:
            assert model["object"] == "model"
            assert isinstance(model["created"], int)
            assert model["owned_by"]
        assert response.json["first_id"] == ids[0]
        assert response.json["last_id"] == ids[-1]
        assert upstream.connections == []


async def test_everything_that_is_listed_can_be_asked_for() -> None:
    """Each id works in a call, and by itself below /models."""
    async with proxied(chat_json(), extra=CATALOG) as (running, _):
        listed = (await ask(running, request("GET", "/v1/models"))).json["data"]
        for model in listed:
            assert (await ask(running, chat(model=model["id"]))).status == 200
            one = await ask(running, request("GET", f"/v1/models/{model['id']}"))
            assert model.items() <= one.json.items()  # by itself, a role also says who serves it now
            escaped = model["id"].replace("/", "%2F").replace(":", "%3A")
            assert (await ask(running, request("GET", f"/models/{escaped}"))).json == one.json


@pytest.mark.parametrize("name", ["nothing", "first/nothing", "%2e%2e/x", "a%00b", "x" * 1000, "role%3Anothing"])
async def test_a_model_that_is_not_there_is_a_404(name: str) -> None:
    """In OpenAI's shape."""
    async with proxied(chat_json(), extra=CATALOG) as (running, _):
        response = await ask(running, request("GET", f"/v1/models/{name}"))
        assert response.status == 404
        assert response.json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("query", "status", "count"),
    [
        ("limit=1", 200, 1), ("limit=2", 200, 2), ("limit=1000", 200, None), ("after_id=x", 200, None),
        ("limit=0", 400, 0), ("limit=-1", 400, 0), ("limit=x", 400, 0), ("limit=", 400, 0), ("limit=1e9", 400, 0),
        ("limit=%D9%A3", 400, 0), ("limit=" + "9" * 5000, 400, 0), ("limit=1&limit=2", 200, 2),
    ],
)  # fmt: skip
async def test_the_limit_of_the_list(query: str, status: int, count: int | None) -> None:
    """Honoured if it is a number above 0."""
    async with proxied(chat_json(), extra=CATALOG) as (running, _):
        response = await ask(running, request("GET", f"/v1/models?{query}"))
        assert response.status == status
        if status == 200:
            listed = response.json["data"]
            assert count is None or len(listed) == count
            assert response.json["has_more"] == (count is not None)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_models_can_only_be_read(method: str) -> None:
    """405 with `allow`, also for one model."""
    async with proxied(chat_json()) as (running, _):
        for path in ("/v1/models", "/v1/models/role:rlm"):
            response = await ask(running, request(method, path, {}))
            assert response.status == 405
            assert "GET" in response.headers["allow"]
            assert response.json["error"]["code"] == "method_not_allowed"
