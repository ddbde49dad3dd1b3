"""A provider's credentials come back to nobody, wherever the provider repeats them."""

from __future__ import annotations

import logging
import zlib
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import pytest

from tests.faults import (
    ROLE,
    Body,
    Client,
    End,
    FaultyUpstream,
    Request,
    chat,
    chat_json,
    chat_stream,
    delta,
    error_event,
    error_json,
    event,
    json_answer,
    request,
    stream_head,
)
from tests.faults.recipes import _compressed
from tests.proxy.scene import exchange_is_over
from tests.serving import config_of, serving
from tests.stores.journal_records import all_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults import Answer, Response, Script
    from tests.serving import Running

KEY = "sk-live/0123456789+abcdefghij=="
STATIC = "st4tic-credential"
SECRETS = (KEY, STATIC)
SAID = f"Incorrect API key provided: {KEY}. You can find your key at example.com."


@asynccontextmanager
async def gateway(*answers: Answer, state: Path | None = None) -> AsyncIterator[Running]:
    """Run a gateway with an upstream for each of `answers`, all with a key and a header of the operator's."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream(answer)) for answer in answers]
        lines = ["providers:"]
        for number, upstream in enumerate(upstreams):
            headers = f'{{x-internal-auth: "{STATIC}"}}'
            url = f'base_url: "{upstream.base_url}", api_key: "{KEY}", headers: {headers}'
            lines.append(f"  p{number}: {{kind: openai-compatible, {url}, models: [m, other]}}")
        listed = ", ".join(f"p{number}/m" for number in range(len(upstreams)))
        lines += [f"roles: {{work: {{models: [{listed}]}}}}"]
        environ = {} if state is None else {"GATEWAY_STATE_DIR": str(state)}
        yield await stack.enter_async_context(serving(config_of("\n".join(lines), environ), remember=True))


async def ask(running: Running, sent: bytes) -> Response:
    async with Client(running.port) as client:
        await client.send(sent)
        return await client.response()


def assert_clean(response: Response) -> None:
    """Nothing of a secret is in head or body, nor half of one, in any spelling."""
    said = response.head + response.body
    for secret in SECRETS:
        for text in (secret, secret.replace("/", "\\/"), quote(secret, safe=""), secret[:16], secret[-14:]):
            assert text.encode() not in said


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def mirror(status: int) -> Answer:
    """Answer with a page that shows the request, as frameworks do in debug mode."""

    def answer(asked: Request) -> Script:
        page = "<html><pre>" + "\n".join(f"{name}: {value}" for name, value in asked.headers.items()) + "</pre></html>"
        return json_answer(page.encode(), status, {"content-type": "text/html"})

    return answer


REFUSALS = [
    error_json(401, {"error": {"message": SAID, "type": "invalid_request_error", "code": "invalid_api_key"}}),
    error_json(400, {"error": {"message": SAID, "type": "invalid_request_error", "code": None}}),
    error_json(403, {"detail": SAID}),
    # Longer than a call waits for.
    error_json(429, {"error": SAID}, {"x-you-sent": f"Bearer {KEY}", "retry-after": "600"}),
    error_json(500, f'{{"error": "{SAID}"}}'.replace("/", "\\/").encode()),
    error_json(503, f"https://example.com/?key={quote(KEY, safe='')}".encode()),
    json_answer({"error": {"message": SAID}}, 401, compress=True),
    json_answer({"error": {"message": SAID, "code": 400}}),
    json_answer({"error": {"message": SAID, "code": "content_policy_violation"}}),
    mirror(500),
    mirror(400),
    mirror(404),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answer", REFUSALS)
async def test_a_sole_upstream_that_repeats_them(answer: Answer, stream: bool) -> None:
    """Its own words are relayed, in their length, and without them."""
    async with gateway(answer) as running:
        response = await ask(running, chat(model="p0/m", stream=stream))
        assert response.status >= 300 or b"error" in response.body
        assert response.complete
        assert_clean(response)


@pytest.mark.parametrize("answer", REFUSALS)
async def test_every_upstream_repeats_them(answer: Answer) -> None:
    """The gateway's own words quote theirs, without them; and so does all that is told afterwards."""
    async with gateway(answer, answer) as running:
        assert_clean(await ask(running, chat(model="role:work")))
        for headers in ({}, {"x-gateway-explain": "1"}):
            assert_clean(await ask(running, chat(model="role:work", headers=headers)))
        for name in ("role:work", "p0/m", "p0/other"):
            assert_clean(await ask(running, request("GET", f"/v1/explain?model={name}")))
        known = repr(running.gateway.memory.facts)
        assert not any(secret in known for secret in SECRETS)


@pytest.mark.parametrize(
    "script",
    [
        (stream_head(), error_event(SAID), End()),
        (stream_head(), ROLE, error_event(SAID), End()),
        (stream_head(), ROLE, delta("Hel"), error_event(SAID), End()),
        (stream_head(), ROLE, delta("Hel"), delta("lo"), Body(event({"error": SAID})), End()),
        (stream_head(), ROLE, delta("Hel"), Body(b"event: error\ndata: " + SAID.encode() + b"\n\n"), End()),
        (stream_head(), ROLE, delta("Hel"), *(Body(bytes((one,))) for one in error_event(SAID).content), End()),
        (stream_head(), ROLE, delta("Hel"), Body(event({"error": {"message": SAID}}).rstrip()), End()),
    ],
)
async def test_an_error_event(script: Script) -> None:
    """Before and after the first content, in one piece and in many."""
    async with gateway(script) as running:
        assert_clean(await ask(running, chat(model="p0/m", stream=True)))


@pytest.mark.parametrize("contents", [0, 1, 3])
async def test_an_error_event_in_a_coding(contents: int) -> None:
    """It cannot be masked there; the client is told by the end of the connection that the answer is none."""
    bodies = _compressed([ROLE, *[delta("Hel")] * contents, error_event(SAID)])
    async with gateway((stream_head({"content-encoding": "gzip"}), *bodies, End())) as running:
        response = await ask(running, chat(model="p0/m", stream=True))
        assert not response.complete or response.status >= 400
        read = zlib.decompressobj(31).decompress(response.body) if response.status == 200 else response.body
        for secret in SECRETS:
            assert secret.encode() not in read


async def test_a_refusal_in_an_unknown_coding() -> None:
    """Nobody can tell what is in it, so nothing of it goes on."""
    answer = json_answer(SAID[::-1].encode(), 400, {"content-encoding": "br"})
    async with gateway(answer) as running:
        response = await ask(running, chat(model="p0/m"))
        assert response.status == 400
        assert "content-encoding" not in response.headers
        assert "coding that was not asked for" in response.json["error"]["message"]


@pytest.mark.parametrize(
    ("answer", "stream"),
    [
        (chat_json("Hello!", {"x-debug": f"Bearer {KEY}", "x-more": STATIC}), False),
        (chat_stream("Hello!", headers={"x-debug": KEY}), True),
    ],
)
async def test_a_header_of_a_good_answer(answer: Answer, stream: bool) -> None:
    """The body is the model's and passes as it is."""
    async with gateway(answer) as running:
        response = await ask(running, chat(model="p0/m", stream=stream))
        assert response.status == 200
        assert "x-debug" in response.headers
        assert_clean(response)


async def test_what_is_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log nor the journal has them."""
    with caplog.at_level(logging.DEBUG):
        async with gateway(REFUSALS[0], state=tmp_path) as running:
            await ask(running, chat(model="p0/m"))
            await exchange_is_over(running)
            running.gateway.books.write_endings()
            records = msgspec.json.encode(all_of(tmp_path / "journal", running.gateway.books.writer)).decode()
    assert "bad_credential" in records
    kept = everything_in(tmp_path)
    for secret in SECRETS:
        assert secret not in records
        assert secret not in caplog.text
        assert secret.encode() not in kept
