"""What cannot be understood is refused at once, in OpenAI's shape, and no upstream hears of it."""

from __future__ import annotations

import time

import pytest

from tests.faults import Client, Response, chat, chat_json, request
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied

AT_ONCE_S = 0.25
PATH = "/v1/chat/completions"


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    """Return a body with a field that is nested deeply."""
    return b'{"model":"role:rlm","messages":' + opening * depth + b"1" + closing * depth + b"}"


BAD = {
    "empty": b"",
    "blank": b"   \r\n",
    "not JSON": b"hello",
    "form encoded": b"model=role%3Arlm&stream=true",
    "cut short": b'{"model":"role:rlm","messages":[',
    "single quotes": b"{'model':'role:rlm'}",
    "a trailing comma": b'{"model":"role:rlm",}',
    "a comment": b'{"model":"role:rlm"/* x */}',
    "two documents": b'{"model":"role:rlm"}{"model":"role:rlm"}',
    "something behind it": b'{"model":"role:rlm"} x',
    "nan": b'{"model":"role:rlm","temperature":nan}',
    "NaN for a key": b'{"model":"role:rlm",NaN:1}',
    "a leading zero": b'{"model":"role:rlm","temperature":01}',
    "hexadecimal": b'{"model":"role:rlm","n":0x1}',
    "an unquoted key": b'{model:"role:rlm"}',
    "a control character": b'{"model":"role:rlm","a":"\x01"}',
    "a raw newline": b'{"model":"role:rlm","a":"x\ny"}',
    "a bad escape": b'{"model":"role:rlm","a":"\\x41"}',
    "a lone surrogate in the model": b'{"model":"\\ud83d"}',
    "UTF-8 that is not": b'{"model":"role:rlm","a":"\xff\xfe"}',
    "an overlong encoding": b'{"model":"role:rlm","a":"\xc0\xaf"}',
    "an encoded surrogate": b'{"model":"role:rlm","a":"\xed\xa0\x80"}',
    "Latin-1": '{"model":"role:rlm","a":"caf\xe9"}'.encode("latin-1"),
    "UTF-16": '{"model":"role:rlm"}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "NUL": b'{"model":"role:rlm"}\0',
    "NUL bytes": b"\0" * 100,
    "a byte order mark": b'\xef\xbb\xbf{"model":"role:rlm"}',
    "an array": b'[{"model":"role:rlm"}]',
    "a string": b'"role:rlm"',
    "null": b"null",
    "a number": b"1",
    "no model": b'{"messages":[]}',
    "model null": b'{"model":null}',
    "model a number": b'{"model":5}',
    "model an array": b'{"model":["role:rlm"]}',
    "model an object": b'{"model":{"name":"role:rlm"}}',
    "model true": b'{"model":true}',
    "model empty": b'{"model":""}',
    "model blank": b'{"model":"  "}',
    "model with NUL": b'{"model":"role:rlm\\u0000"}',
    "stream a string": b'{"model":"role:rlm","stream":"true"}',
    "stream a number": b'{"model":"role:rlm","stream":1}',
    "stream an object": b'{"model":"role:rlm","stream":{}}',
    "stream_options a string": b'{"model":"role:rlm","stream":true,"stream_options":"x"}',
    "stream_options an array": b'{"model":"role:rlm","stream":true,"stream_options":[]}',
    "include_usage a string": b'{"model":"role:rlm","stream":true,"stream_options":{"include_usage":"yes"}}',
    "model twice": b'{"model":"role:rlm","model":"first/expensive"}',
    "the same model twice": b'{"model":"role:rlm","model":"role:rlm"}',
    "model twice, far apart": b'{"model":"role:rlm","x":"' + b"y" * 100_000 + b'","model":"first/expensive"}',
    "stream twice": b'{"model":"role:rlm","stream":true,"stream":false}',
    "max_tokens twice": b'{"model":"role:rlm","max_tokens":1,"max_tokens":100000}',
    "n twice": b'{"model":"role:rlm","n":1,"n":128}',
    "Model": b'{"model":"role:rlm","Model":"first/expensive"}',
    "MODEL alone": b'{"MODEL":"role:rlm"}',
    "Stream": b'{"model":"role:rlm","Stream":true}',
    "Max_Tokens": b'{"model":"role:rlm","Max_Tokens":9}',
    "a long s": '{"model":"role:rlm","\u017ftream":true}'.encode(),
    "a Kelvin sign": '{"model":"role:rlm","max_to\u212aens":9}'.encode(),
    "model escaped": b'{"\\u006dodel":"role:rlm"}',
    "model escaped beside it": b'{"model":"role:rlm","\\u006dodel":"first/expensive"}',
    "model escaped and upper case": b'{"model":"role:rlm","\\u004dodel":"first/expensive"}',
    "stream escaped": b'{"model":"role:rlm","\\u0073tream":true}',
    "an object in an object 100,000 times": nested(100_000, b'{"a":', b"}"),
    "an array in an array 100,000 times": nested(100_000, b"[", b"]"),
    "thirty thousand fields": b'{"model":"role:rlm"' + b"".join(b',"k%d":1' % one for one in range(30_000)) + b"}",
    "a field thirty thousand times": b'{"model":"role:rlm"' + b',"a":1' * 30_000 + b"}",
    "an array without end": b'{"model":"role:rlm","a":' + b"[" * 1_000_000,
}  # fmt: skip


def check(response: Response, status: int) -> dict[str, str | None]:
    """Check a refusal and return its error."""
    assert response.status == status, response.body
    assert response.complete
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error: dict[str, str | None] = response.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert len(error["message"]) < 1000
    return error


@pytest.mark.parametrize("name", BAD)
async def test_a_body_that_cannot_be_understood_is_a_400(name: str) -> None:
    """Within milliseconds; the connection can be used again."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        started_at = time.monotonic()
        await client.send(request("POST", PATH, body=BAD[name]))
        error = check(await client.response(), 400)
        assert time.monotonic() - started_at < AT_ONCE_S
        assert error["type"] == "invalid_request_error"
        await client.send(chat(model=ROLE_NAME))
        assert (await client.response()).status == 200
        assert len(upstream.requests) == 1
        await exchange_is_over(running)


GOOD = {
    "NaN": b'{"model":"role:rlm","temperature":NaN}',
    "Infinity": b'{"model":"role:rlm","temperature":-Infinity,"logit_bias":{"1":Infinity}}',
    "a lone surrogate deep down": b'{"model":"role:rlm","messages":[{"content":[{"text":"\\ud83d"}]}]}',
    "a lone surrogate in a key": b'{"model":"role:rlm","\\ud83d":1}',
    "swapped surrogates": b'{"model":"role:rlm","a":"\\ude80\\ud83d"}',
    "a lone low surrogate": b'{"model":"role:rlm","a":"\\ude80"}',
    "a lone high surrogate": b'{"model":"role:rlm","a":"\\ud83d"}',
    "white space": b' \r\n\t{ "model" \n:\t "role:rlm" } \n',
    "a pair of surrogates": b'{"model":"role:rlm","a":"\\ud83d\\ude80"}',
    "nested keys of the same name": b'{"model":"role:rlm","tools":[{"model":1,"Model":2,"stream":"x","model":3}]}',
    "escapes elsewhere": b'{"model":"role:rlm","\\u0061":1,"a\\"model\\"":2}',
    "null for false": b'{"model":"role:rlm","stream":null,"stream_options":null}',
    "nested three hundred times": nested(300, b"[", b"]"),
    "big numbers": b'{"model":"role:rlm","seed":123456789012345678901234567890,"a":1e400}',
    "an empty key": b'{"model":"role:rlm","":1}',
}


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_only_unusual_passes_untouched(name: str) -> None:
    """Strictness is for what is wrong."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, request("POST", PATH, body=GOOD[name]))
        assert response.status == 200, response.body
        assert upstream.requests[0].body == GOOD[name].replace(b'"role:rlm"', b'"m"')


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "",
        "*/*",
    ],
)
async def test_another_content_type_is_a_415(content_type: str) -> None:
    """These three are also what a page of another site may send without asking first."""
    async with proxied(chat_json()) as (running, (upstream,)):
        asked = request("POST", PATH, {"model": ROLE_NAME}, {"content-type": content_type})
        check(await ask(running, asked), 415)
        assert upstream.connections == []


async def test_no_content_type_is_a_415() -> None:
    """Said, not guessed."""
    async with proxied(chat_json()) as (running, (upstream,)):
        asked = request("POST", PATH, {"model": ROLE_NAME}).replace(b"content-type: application/json\r\n", b"")
        error = check(await ask(running, asked), 415)
        assert "application/json" in (error["message"] or "")
        assert upstream.connections == []


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"]
)
async def test_a_content_type_may_be_written_in_many_ways(content_type: str) -> None:
    """RFC 9110 section 8.3.1."""
    async with proxied(chat_json()) as (running, _):
        asked = request("POST", PATH, {"model": ROLE_NAME}, {"content-type": content_type})
        assert (await ask(running, asked)).status == 200


async def test_fifty_megabytes_are_too_many() -> None:
    """And nothing of them is read."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        started_at = time.monotonic()
        await client.send(
            request("POST", PATH, headers={"content-type": "application/json", "content-length": "52428800"})
        )
        error = check(await client.response(), 413)
        assert time.monotonic() - started_at < AT_ONCE_S
        assert error["code"] == "body_too_large"
        assert upstream.connections == []


async def test_twenty_megabytes_pass() -> None:
    """A conversation with images; one copy, unchanged."""
    body = b'{"messages":[{"content":"' + b"x" * (20 << 20) + b'"}],"model":"role:rlm"}'
    async with proxied(chat_json()) as (running, (upstream,)):
        assert (await ask(running, request("POST", PATH, body=body))).status == 200
        assert upstream.requests[0].body == body.replace(b'"role:rlm"', b'"m"')


@pytest.mark.parametrize(
    ("model", "status", "hint"),
    [
        ("role:rml", 404, "role:rlm"),
        ("nothing/of-the-kind", 404, ""),
        ("gpt-5x", 404, ""),
        ("x" * 10_000, 404, ""),
        ("\u2028\x1b[31m", 404, ""),
        ("../../etc/passwd", 404, ""),
        ("role:", 404, ""),
        ("first/", 404, ""),
    ],
)
async def test_an_unknown_model_is_a_404(model: str, status: int, hint: str) -> None:
    """With the nearest name, if there is one, and nothing unprintable in the message."""
    async with proxied(chat_json()) as (running, (upstream,)):
        error = check(await ask(running, chat(model=model)), status)
        assert error["code"] == "model_not_found"
        assert hint in (error["message"] or "")
        assert (error["message"] or "").isprintable()
        assert upstream.connections == []


async def test_names_that_clients_make_up_do_not_become_metrics() -> None:
    """Nor are they remembered without bound."""
    async with proxied(chat_json()) as (running, _), Client(running.port) as client:
        for number in range(300):
            await client.send(chat(model=f"first/made-up-{number}"))
            assert (await client.response()).status == 200
        lines = running.gateway.metrics.expose().decode()
        assert "made-up" not in lines
