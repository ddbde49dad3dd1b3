"""What an upstream says of its own site stays there, and what the gateway says is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from gateway.proxy.headers import OWN, relayed
from tests.faults import (
    Body,
    Client,
    Head,
    Send,
    Stall,
    chat,
    chat_json,
    chat_stream,
    delta,
    error_json,
    finish,
    request,
    stream_head,
)
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ROLE_NAME, ask, proxied, until
from tests.web.test_endpoints import FORM, MODEL, part

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.server.protocol import ClientProtocol
    from tests.faults import Script

PASS = {
    "content-type": "application/json", "content-language": "de", "content-disposition": "inline", "retry-after": "7",
    "x-ratelimit-remaining-tokens": "5", "anthropic-ratelimit-tokens-limit": "9", "ratelimit-policy": '"a";q=1',
    "openai-processing-ms": "3", "openai-organization": "o", "openai-version": "v", "cf-ray": "x", "date": "now",
    "x-generation-id": "gen-1", "x-accel-buffering": "no", "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}  # fmt: skip
STAY = (
    "strict-transport-security", "clear-site-data", "content-security-policy", "content-security-policy-report-only",
    "x-frame-options", "report-to", "reporting-endpoints", "nel", "public-key-pins", "permissions-policy", "expect-ct",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "cross-origin-embedder-policy",
    "origin-agent-cluster",
    "referrer-policy", "location", "refresh", "link", "server", "via", "x-powered-by", "set-cookie", "set-cookie2",
    "www-authenticate", "alt-svc", "access-control-allow-origin", "access-control-allow-headers",
    "access-control-max-age", "timing-allow-origin", "service-worker-allowed", "x-accel-redirect", "x-sendfile",
    "x-gateway-route", "x-gateway-anything", "x-should-retry", "x-upstream-request-id", "connection", "keep-alive",
    "content-length", "transfer-encoding", "trailer", "upgrade",
)  # fmt: skip


def test_what_passes_and_what_stays() -> None:
    headers = [(name.encode(), value.encode()) for name, value in PASS.items()]
    headers += [(name.encode(), b"x") for name in STAY]
    lines = relayed(headers, dict(headers)).decode().split("\r\n")
    assert lines == [*(f"{name}: {value}" for name, value in PASS.items()), ""]


def repeated(status: int, *, stream: bool) -> Script:
    """Return an answer that says all that the gateway says too, and in other words."""
    own = [(name.decode(), "other") for name in sorted(OWN)]
    own += [(f"x-gateway-{name}", "other") for name in ("route", "provider", "model", "attempts", "cost-usd", "plan")]
    own += [("Strict-Transport-Security", "max-age=1"), ("Location", "https://evil.example")]
    if stream:
        head = Head(status, (("content-type", "text/event-stream"), *own))
        return (head, *chat_stream()[1:])
    whole = chat_json() if status == 200 else error_json(status, {"error": {"message": "no", "type": "x"}})
    body = b"".join(step.content for step in whole if isinstance(step, Body))
    return (Head(status, (("content-type", "application/json"), *own), len(body)), Body(body))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 400, 429, 500, 529])
@pytest.mark.parametrize("server", ["{}", '{cors: {origins: "http://localhost:1"}}'])
async def test_nothing_is_said_twice(status: int, stream: bool, server: str) -> None:
    """Two values of x-should-retry are none to an SDK, which then goes by the status, and a call becomes six."""
    headers = {"origin": "http://localhost:1", "x-request-id": "mine"}
    async with proxied(repeated(status, stream=stream and status == 200), server=server) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME, stream=stream, headers=headers))
        assert response.status in {status, 502}
        names = [name for name, _ in response.fields]
        assert sorted(names) == sorted(set(names))
        found = {name: value for name, value in response.fields if value == "other"}
        assert found.keys() <= {"x-upstream-request-id"}
        assert response.headers["x-request-id"] == "mine"
        assert response.headers.get("x-should-retry") in {None, "false"}
        assert "strict-transport-security" not in response.headers
        assert "location" not in response.headers


@pytest.mark.parametrize("status", [600, 799, 999, 0, 42, 99])
async def test_a_status_that_http_does_not_have_is_a_broken_upstream(status: int) -> None:
    """The next one is asked; if there is none, it is a 502 as for any upstream that speaks no HTTP."""
    odd = (Send(b"HTTP/1.1 %03d Odd\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}" % status),)
    async with proxied(odd, chat_json(), strict=False) as (running, upstreams):
        assert (await ask(running, chat(model=ROLE_NAME))).status == 200
        assert [len(one.requests) for one in upstreams] == [1, 1]
    async with proxied(odd, strict=False) as (running, _):
        response = await ask(running, chat(model=ROLE_NAME))
        assert response.status == 502
        assert f"the status {status:03}, which HTTP does not have" in response.json["error"]["message"]


@pytest.mark.parametrize("status", [520, 524, 529, 598, 599])
async def test_statuses_of_edges_are_statuses(status: int) -> None:
    """Cloudflare's and others' are not in the registry, and mean what their class says."""
    async with proxied(error_json(status, {"error": {"message": "busy"}}), chat_json()) as (running, _):
        assert (await ask(running, chat(model=ROLE_NAME))).status == 200


async def test_the_length_of_a_body_that_passes_is_announced() -> None:
    """Players and progress bars go by it, and a client can tell that a body was cut off."""
    sound = bytes(range(256)) * 2000
    script = (Head(200, {"content-type": "audio/mpeg"}, len(sound)), Body(sound))
    async with proxied(script) as (running, _):
        response = await ask(running, request("POST", "/v1/audio/speech", {"model": ROLE_NAME, "input": "Hi"}))
        assert response.headers["content-length"] == str(len(sound))
        assert "transfer-encoding" not in response.headers
        assert response.body == sound


TRAILERS = {
    "many": b"x-a: b\r\n" * 100_000,
    "one without end": b"x-a: " + b"a" * 2_000_000,
    "a chunk extension": b"",
}


@pytest.mark.parametrize("name", TRAILERS)
async def test_trailers_of_an_upstream_have_a_limit(name: str) -> None:
    """They are dropped, and one who sends them without end is cut off. What the client had was all, so it is whole."""
    last = b"5;" + b"x" * 2_000_000 if name == "a chunk extension" else b"0\r\n" + TRAILERS[name]
    steps: Script = (stream_head(), delta("a"), Send(last), Stall())
    async with proxied(steps, chat_stream(), strict=False) as (running, (first, _)):
        response = await ask(running, chat(model=ROLE_NAME, stream=True), within_s=1.5)
        assert not response.complete
        await first.wait_closed(within_s=1)


async def test_a_few_trailers_of_an_upstream_are_dropped() -> None:
    steps: Script = (
        stream_head(), delta("a"), finish(), *chat_stream()[-2:-1],
        Send(b"0\r\nx-gateway-route: evil\r\nset-cookie: a=b\r\n\r\n"),
    )  # fmt: skip
    async with proxied(steps, strict=False) as (running, (upstream,)), Client(running.port) as client:
        for _ in range(3):
            await client.send(chat(model=ROLE_NAME, stream=True))
            response = await client.response()
            assert response.complete
            assert response.headers["x-gateway-route"] == ROLE_NAME
            assert "set-cookie" not in response.headers
        assert len(upstream.connections) == 1


async def test_a_form_that_is_refused_for_time_is_booked_so(tmp_path: Path) -> None:
    """The client has not left: it was told 408, and the ledger says the same."""
    head = request("POST", "/v1/audio/transcriptions", headers={**FORM, "content-length": str(64 << 20)}, body=b"")
    async with ledgered(tmp_path, (Stall(),)) as world, Client(world.running.port) as client:
        await client.send(head + MODEL + part("file", b"x" * 5000, file="a.mp3"))
        connected = await world.upstreams[0].wait_connection()
        await until(lambda: connected.bytes_received > 0, what="the upload")
        (connection,) = world.running.server.server_state.connections
        cast("ClientProtocol", connection).expire()  # its time is by its length, more than an hour here
        assert (await client.response()).status == 408
        row = await world.row()
        assert (row.call_status, row.outcome) == (408, "bad_request")
