"""Base URLs are pasted in many spellings; each leads to the same route, and through the same door."""

from __future__ import annotations

import pytest

from gateway.web.routes import canonical
from tests.faults import chat, chat_json, request
from tests.proxy.scene import ROLE_NAME, ask, proxied

KEY = "client-key-0123456789abcdef"
KEYED = f"{{api_keys: [{KEY}]}}"
GOOD = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"), ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1//chat/completions", "/v1/chat/completions"), ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1//v1/v1/chat/completions//", "/v1/chat/completions"), ("/chat/completions/", "/chat/completions"),
        ("/v1/models/", "/v1/models"), ("/v1/v1", "/v1"), ("/v1/v1/", "/v1"), ("/v1/v1x/models", "/v1/v1x/models"),
        ("/v1/models/v1/v1", "/v1/models/v1/v1"), ("/", "/"), ("//", "/"), ("", "/"), ("/livez/", "/livez"),
        ("/v1" * 20_000 + "/models", "/v1/models"),
    ],
)  # fmt: skip
def test_a_path_has_one_spelling(written: str, meant: str) -> None:
    assert canonical(written) == meant


CALLS = [
    "/v1/chat/completions/",
    "/v1/v1/chat/completions",
    "//v1/chat/completions",
    "/chat/completions/",
    "/v1/v1/v1//chat/completions/",
]
LISTS = ["/v1/models/", "/models/", "/v1/v1/models", "//models", "/v1/models//"]


@pytest.mark.parametrize("path", CALLS)
async def test_a_call_under_a_pasted_url(path: str) -> None:
    """Served with a key, refused without, whatever the spelling."""
    whole = {True: chat(model=ROLE_NAME, headers=GOOD), False: chat(model=ROLE_NAME)}
    asked = {good: one.replace(b"/v1/chat/completions", path.encode(), 1) for good, one in whole.items()}
    async with proxied(chat_json(), server=KEYED) as (running, (upstream,)):
        assert (await ask(running, asked[False])).status == 401
        assert upstream.connections == []
        assert (await ask(running, asked[True])).status == 200
        assert (await ask(running, request("GET", path, headers=GOOD))).status == 405


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_under_a_pasted_url(path: str) -> None:
    async with proxied(chat_json(), server=KEYED) as (running, _):
        assert (await ask(running, request("GET", path))).status == 401
        response = await ask(running, request("GET", path, headers=GOOD))
        assert (response.status, response.json["object"]) == (200, "list")


@pytest.mark.parametrize("path", ["/v1/models/role:rlm/", "/v1/v1/models/role%3Arlm", "//v1/models/first/m"])
async def test_a_model_under_a_pasted_url(path: str) -> None:
    async with proxied(chat_json(), server=KEYED) as (running, _):
        assert (await ask(running, request("GET", path))).status == 401
        assert (await ask(running, request("GET", path, headers=GOOD))).json["object"] == "model"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "words"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error", "use POST"),
        ("GET", "/messages/count_tokens", 405, "invalid_request_error", "use POST"),
        ("POST", "/v1/messages?beta=true", 400, "invalid_request_error", '"model" is missing'),
        ("POST", "/v1/v1/messages/", 400, "invalid_request_error", '"model" is missing'),
        ("POST", "/messages/count_tokens", 400, "invalid_request_error", '"model" is missing'),
        ("GET", "/v1/messages/batches", 404, "not_found_error", "no such path"),
        ("POST", "/v1/messages/batches", 404, "not_found_error", "no such path"),
        ("GET", "/v1/messages/batches/x/results", 404, "not_found_error", "no such path"),
        ("POST", "/v1/complete", 404, "not_found_error", "no such path"),
    ],
)
async def test_anthropics_paths_are_refused_in_its_shape(
    method: str, path: str, status: int, kind: str, words: str
) -> None:
    """Its SDKs read the message from there."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, request(method, path, json={} if method == "POST" else None))
        assert response.status == status
        assert response.json["type"] == "error"
        assert response.json["error"]["type"] == kind
        assert words in response.json["error"]["message"]
        assert upstream.connections == []
