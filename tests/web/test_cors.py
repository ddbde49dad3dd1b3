"""Pages of other sites: refused unless they are named, and those that are can read every answer."""

from __future__ import annotations

import pytest

from tests.faults import DONE, Body, End, Head, chat, chat_json, chat_stream, delta, error_json, request, stream_head
from tests.faults.client import Client, Response
from tests.proxy.scene import ROLE_NAME, ask, proxied

KEY = "client-key-0123456789abcdef"
PAGE = "https://app.example.com"
CORS = f'cors: {{origins: ["{PAGE}", "http://localhost:*"]}}'
KEYED = f"{{api_keys: [{KEY}], {CORS}}}"
OPEN = f"{{{CORS}}}"
GOOD = {"authorization": f"Bearer {KEY}", "origin": PAGE}
PREFLIGHT = {
    "origin": PAGE, "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-retry-count",
}  # fmt: skip


def said(response: Response) -> dict[str, str]:
    """Return what an answer says of pages; each thing once."""
    found = [(name, value) for name, value in response.fields if name.startswith("access-control-")]
    assert len(found) == len(dict(found)), found
    return dict(found)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/embeddings", "/v1/models", "/v1/models/x", "/v1/explain"])
async def test_a_preflight_needs_no_key(path: str) -> None:
    """Browsers send none with it; what it asks for is allowed, `authorization` by its name."""
    async with proxied(chat_json(), server=KEYED) as (running, (upstream,)):
        response = await ask(running, request("OPTIONS", path, headers=PREFLIGHT))
        assert (response.status, response.body) == (204, b"")
        allowed = said(response)
        assert allowed["access-control-allow-origin"] == PAGE
        assert allowed["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
        assert "POST" in allowed["access-control-allow-methods"]
        assert allowed["access-control-max-age"] == "600"
        assert "access-control-allow-credentials" not in allowed
        assert upstream.connections == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{PAGE}.evil.example"])
async def test_a_page_that_is_not_named_learns_nothing(origin: str) -> None:
    """Its preflight is any OPTIONS, and its browser hides the answers from it."""
    async with proxied(chat_json(), server=KEYED) as (running, _):
        response = await ask(running, request("OPTIONS", "/v1/models", headers={**PREFLIGHT, "origin": origin}))
        assert (response.status, said(response)) == (405, {})
        answered = await ask(running, chat(model=ROLE_NAME, headers={**GOOD, "origin": origin}))
        assert (answered.status, said(answered), answered.headers["vary"]) == (200, {}, "origin")


UPSTREAMS_OWN = {
    "access-control-allow-origin": "*", "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-other", "content-type": "application/json",
}  # fmt: skip


async def test_every_answer_can_be_read() -> None:
    """Plain and streamed, the gateway's own and errors, on all paths; and the upstream's word does not count."""
    async with proxied(chat_json(), server=KEYED) as (running, (upstream,)):
        body = b"".join(step.content for step in chat_json() if isinstance(step, Body))
        upstream.script(
            (Head(200, UPSTREAMS_OWN, len(body)), Body(body)), chat_stream(),
            (stream_head(), delta("a"), End()), error_json(400, {"error": {"message": "no"}}),
        )  # fmt: skip
        for asked, status in (
            (chat(model=ROLE_NAME, headers=GOOD), 200),
            (chat(model=ROLE_NAME, stream=True, headers=GOOD), 200),
            (chat(model=ROLE_NAME, stream=True, headers=GOOD), 200),
            (chat(model=ROLE_NAME, headers=GOOD), 400),
            (chat(model="nothing", headers=GOOD), 404),
            (chat(model=ROLE_NAME, headers={"origin": PAGE}), 401),
            (request("GET", "/v1/models", headers={"origin": PAGE}), 401),
            (request("GET", "/v1/models", headers=GOOD), 200),
            (request("GET", "/nothing", headers=GOOD), 404),
            (request("GET", "/v1/chat/completions", headers=GOOD), 405),
            (request("GET", "/livez", headers=GOOD), 200),
        ):
            response = await ask(running, asked)
            assert response.status == status
            found = said(response)
            assert found["access-control-allow-origin"] == PAGE
            assert "x-request-id" in found["access-control-expose-headers"]
            assert "x-gateway-route" in found["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in found
            assert response.headers["vary"] == "origin"


async def test_every_site_may_be_allowed() -> None:
    """With keys, a star is a choice."""
    async with proxied(chat_json(), server=f'{{api_keys: [{KEY}], cors: {{origins: "*"}}}}') as (running, _):
        response = await ask(running, chat(model=ROLE_NAME, headers=GOOD))
        assert said(response)["access-control-allow-origin"] == "*"
        assert "vary" not in response.headers


@pytest.mark.parametrize(
    ("origin", "status"),
    [(PAGE, 200), ("http://localhost:3000", 200), ("https://evil.example", 403), ("null", 403)],
)
async def test_without_keys_a_page_that_is_named_comes_in(origin: str, status: int) -> None:
    async with proxied(chat_json(), server=OPEN) as (running, (upstream,)):
        response = await ask(running, chat(model=ROLE_NAME, headers={"origin": origin}))
        assert response.status == status
        assert len(upstream.requests) == (status == 200)


async def test_without_keys_a_star_lets_nobody_in() -> None:
    """Any page that is open in a browser on this machine would spend the owner's money. It can read why not."""
    async with proxied(chat_json(), server='{cors: {origins: "*"}}') as (running, (upstream,)):
        response = await ask(running, chat(model=ROLE_NAME, headers={"origin": PAGE}))
        assert response.status == 403
        assert "server.cors.origins" in response.json["error"]["message"]
        assert said(response)["access-control-allow-origin"] == "*"
        assert upstream.connections == []


@pytest.mark.parametrize(
    "asked", [request("OPTIONS", "/v1/models", headers=PREFLIGHT), chat(model=ROLE_NAME, headers=GOOD)]
)
async def test_it_is_off_unless_configured(asked: bytes) -> None:
    async with proxied(chat_json(), server=f"{{api_keys: [{KEY}]}}") as (running, _):
        response = await ask(running, asked)
        assert said(response) == {}
        assert "vary" not in response.headers


@pytest.mark.parametrize("path", ["/v1/models", "/v1/explain?model=role:rlm"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403), ({"sec-fetch-site": "Cross-Site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200), ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "same-site"}, 200),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:3000"}, 200), ({}, 200),
    ],
)  # fmt: skip
async def test_without_keys_an_image_of_another_site_is_refused(
    path: str, headers: dict[str, str], status: int
) -> None:
    """It comes without Origin, and may cost what a page must not spend."""
    async with proxied(chat_json()) as (running, _):
        assert (await ask(running, request("GET", path, headers=headers))).status == status


async def test_with_a_key_the_site_does_not_matter() -> None:
    async with proxied(chat_json(), server=f"{{api_keys: [{KEY}]}}") as (running, _):
        headers = {"sec-fetch-site": "cross-site", "authorization": f"Bearer {KEY}"}
        assert (await ask(running, request("GET", "/v1/models", headers=headers))).status == 200


async def test_a_kept_connection_serves_pages_and_others_in_turn() -> None:
    """What is said of one page is not said to the next client behind the same proxy."""
    async with proxied(chat_stream(), server=KEYED) as (running, _), Client(running.port) as client:
        for origin, allowed in ((PAGE, PAGE), ("http://localhost:1", "http://localhost:1"), (None, None), (PAGE, PAGE)):
            headers = {"authorization": f"Bearer {KEY}"} | ({"origin": origin} if origin else {})
            await client.send(chat(model=ROLE_NAME, stream=True, headers=headers))
            response = await client.response()
            assert said(response).get("access-control-allow-origin") == allowed
            assert response.body.endswith(DONE.content)
