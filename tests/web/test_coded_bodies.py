"""What clients compress is undone under the one limit, or refused with what may be sent instead."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import partial

import pytest

from tests.faults import Client, chat_json, json_answer, request
from tests.proxy.scene import ROLE_NAME, ask, exchange_is_over, proxied

# Without the time: what a test is called must not depend on when it was collected.
compress = partial(gzip.compress, mtime=0)

PATH = "/v1/chat/completions"
ASKED = {"model": ROLE_NAME, "messages": [{"role": "user", "content": "Hi"}]}
PLAIN = json.dumps(ASKED).encode()
FORM = b"\r\n".join([
    b"--b", b'Content-Disposition: form-data; name="file"; filename="a.mp3"', b"", b"\0" * 50_000,
    b"--b", b'Content-Disposition: form-data; name="model"', b"", b"role:rlm", b"--b--", b"",
])  # fmt: skip


def coded(coding: str, body: bytes, path: str = PATH, kind: str = "application/json") -> bytes:
    """Return a request whose body is said to be in a coding."""
    return request("POST", path, headers={"content-encoding": coding, "content-type": kind}, body=body)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", compress(PLAIN)),
        ("X-GZip", compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("identity", PLAIN),
        ("deflate, gzip", compress(zlib.compress(PLAIN))),
        ("gzip, identity", compress(PLAIN)),
    ],
)
async def test_the_upstream_gets_plain_json(coding: str, body: bytes) -> None:
    """Without a word of the coding."""
    async with proxied(chat_json()) as (running, (upstream,)):
        assert (await ask(running, coded(coding, body))).status == 200
        (sent,) = upstream.requests
        assert sent.json == {**ASKED, "model": "m"}
        assert "content-encoding" not in sent.headers


@pytest.mark.parametrize("coding", ["zstd", "br", "compress", "gzip, zstd", "gzip, gzip, gzip", "nonsense"])
@pytest.mark.parametrize("path", [PATH, "/v1/audio/transcriptions"])
async def test_another_coding_is_a_415(coding: str, path: str) -> None:
    """It names the coding, says what is read, and nothing of the body is looked at."""
    kind = "application/json" if path == PATH else "multipart/form-data; boundary=b"
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(coded(coding, b"(\xb5/\xfd" * 10, path, kind))
        response = await client.response()
        assert response.status == 415
        assert response.headers["accept-encoding"] == "gzip, deflate, identity"
        assert response.json["error"]["type"] == "invalid_request_error"
        assert coding.split(",")[-1].strip() in response.json["error"]["message"]
        assert upstream.connections == []


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", PLAIN),
        ("gzip", compress(PLAIN)[:-4]),
        ("deflate", compress(PLAIN)),
        ("gzip", compress(b"hello")),
        ("gzip", compress(b'{"model":"role:rlm","model":"first/expensive"}')),
        ("gzip", b""),
    ],
)
async def test_a_coded_body_that_cannot_be_understood_is_a_400(coding: str, body: bytes) -> None:
    """The connection can be used again."""
    async with proxied(chat_json()) as (running, (upstream,)), Client(running.port) as client:
        await client.send(coded(coding, body))
        assert (await client.response()).status == 400
        await client.send(coded("gzip", compress(PLAIN)))
        assert (await client.response()).status == 200
        assert len(upstream.requests) == 1
        await exchange_is_over(running)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", compress(b'{"model":"role:rlm","a":"' + b"\0" * (64 << 20))),
        ("deflate", zlib.compress(b" " * (33 << 20))),
        ("gzip, gzip", compress(compress(b" " * (300 << 20), 9), 9)),
    ],
)
async def test_a_bomb_is_a_413(coding: str, body: bytes) -> None:
    """It is unpacked no further than server.max_body, which the refusal names."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, coded(coding, body))
        assert response.status == 413
        assert "server.max_body" in response.json["error"]["message"]
        assert coding.split(",")[0] in response.json["error"]["message"]
        assert upstream.connections == []


async def test_a_body_of_thirty_megabytes() -> None:
    """As much as a plain one may have."""
    asked = {**ASKED, "pad": "x" * (30 << 20)}
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, coded("gzip", compress(json.dumps(asked).encode(), 1)))
        assert response.status == 200
        assert upstream.requests[0].json == {**asked, "model": "m"}


@pytest.mark.parametrize(("coding", "body"), [("gzip", compress(FORM)), ("identity", FORM)])
async def test_a_coded_form(coding: str, body: bytes) -> None:
    """It is undone too, and held whole, so that it can fail over."""
    asked = coded(coding, body, "/v1/audio/transcriptions", "multipart/form-data; boundary=b")
    async with proxied(chat_json(), json_answer({"text": "Hello"})) as (running, (first, _)):
        assert (await ask(running, asked)).status == 200
        (sent,) = first.requests
        assert sent.body == FORM.replace(b"role:rlm", b"m")
        assert "content-encoding" not in sent.headers
