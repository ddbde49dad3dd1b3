"""What a caller may choose of what stands behind another gateway: no URL, no credential, and models as its key says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.dialects.beyond import CHOICES, LOCATIONS
from tests.faults import Client, FaultyUpstream, chat, chat_json, request
from tests.proxy.scene import ROLE_NAME, ask, proxied
from tests.serving import serving
from tests.web.keyed import key, keyed, secret

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/v1/chat/completions"

EVIL = "http://evil.example/"


@pytest.mark.parametrize(
    "fields",
    [
        *({name: EVIL} for name in sorted(LOCATIONS)),
        {"api_base": None},
        {"extra_body": {"api_base": EVIL}},
        {"extra_body": {"deep": [{"er": {"base_url": EVIL}}]}},
        {"litellm_params": {"model": "x", "api_key": "k"}},
        {"litellm_metadata": {"user_config": {}}},
        {"providerOptions": {"gateway": {"byok": {"anthropic": [{"apiKey": "k"}]}}}},
        {"provider_options": {"openai": {"baseURL": EVIL}}},
        {"extra_body": {"API-KEY": "k"}},
        {"plugins": [{"id": "x", "authorization": "k"}]},
    ],
)
async def test_callers_choose_no_url_and_no_key(fields: dict[str, object]) -> None:
    """The refusal names the field, and nothing is sent anywhere."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, request("POST", PATH, {"model": ROLE_NAME, **fields}))
        assert response.status == 400
        error = response.json["error"]
        assert error["code"] == "field_not_allowed"
        assert error["param"].partition(".")[0] == next(iter(fields))
        assert f'"{error["param"]}"' in error["message"]
        assert upstream.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "%b", "Api_Base": "x"}',
        b'{"model": "%b", "api\\u005fbase": "x"}',
        b'{"model": "%b", "\\u0061pi_key": "x"}',
        b'{"model": "%b", "extra_body": {"\\u0061pi_key": "x"}}',
        b'{"model": "%b", "extra_body": {}, "extra_body": {"api_key": "x"}}',
        b'{"model": "%b", "extra_body": {"api_key": "x"}, "extra_body": {}}',
        b'{"model": "%b", "providerOptions": {"api_key": "x"}, "providerOptions": {}}',
        b'{"model": "%b", "PROVIDEROPTIONS": {"api_key": "x"}}',
        b'{"model": "%b", "extra_body": [' + b"0," * 20_000 + b"0]}",
    ],
)
async def test_however_it_is_written(body: bytes) -> None:
    """In another case, with escapes, or twice."""
    async with proxied(chat_json()) as (running, (upstream,)):
        sent = body.replace(b"%b", ROLE_NAME.encode())
        response = await ask(running, request("POST", PATH, body=sent))
        assert response.status == 400
        assert upstream.requests == []


@pytest.mark.parametrize("name", ["api_base", "API_KEY", "fallbacks", "extra_body"])
async def test_forms_choose_no_url_either(name: str) -> None:
    """Nor a model beside `model`."""
    part = '--x\r\ncontent-disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    text = part.format("model", ROLE_NAME) + part.format(name, EVIL) + part.format("file", "abc") + "--x--\r\n"
    async with proxied(chat_json()) as (running, (upstream,)):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = await ask(running, request("POST", "/v1/audio/transcriptions", body=text.encode(), headers=headers))
        assert response.status == 400
        assert response.json["error"]["code"] == "field_not_allowed"
        assert upstream.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {"fallbacks": ["other"]},
        {"extra_body": {"top_k": 3, "models": ["other"]}},
        {"metadata": {"api_base": "what the caller calls so"}},
        {"provider": {"order": ["together"]}, "transforms": ["middle-out"], "route": "fallback"},
        {"tools": [{"type": "mcp", "server_url": EVIL, "headers": {"authorization": "k"}}]},
    ],
)
async def test_what_a_caller_may_choose(fields: dict[str, object]) -> None:
    """A key for every model may choose among models anywhere; it arrives as it was sent."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, request("POST", PATH, {"model": ROLE_NAME, **fields}))
        assert response.status == 200
        assert fields.items() <= upstream.requests[0].json.items()


# -- a key for certain models


@pytest.mark.parametrize(
    "fields",
    [
        *({name: ["other"]} for name in sorted(CHOICES)),
        {"models": ["first/other"]},
        {"extra_body": {"fallbacks": ["other"]}},
        {"extra_body": {"models": ["other"]}},
        {"litellm_params": {"model": "other"}},
        {"providerOptions": {"gateway": {"models": ["other"]}}},
        {"plugins": [{"id": "fusion", "analysis_models": ["other"]}]},
        {"plugins": [{"id": "fusion", "model": "other"}]},
        {"model": "first/allowed,other"},
        {"model": "first/allowed, first/other"},
        {"model": "other,first/allowed"},
    ],
)
async def test_a_key_for_certain_models(fields: dict[str, object], tmp_path: Path) -> None:
    """It chooses no other by a field that another gateway obeys; the refusal names the field."""
    headers = {"authorization": f"Bearer {secret('few')}"}
    async with keyed(tmp_path, key("few", routes=("first/allowed*",))) as gate:
        sent = request("POST", PATH, {"model": "first/allowed", **fields}, headers)
        response = await ask(gate.running, sent)
        assert response.status == 403
        error = response.json["error"]
        assert error["code"] == "model_not_allowed"
        name = next(iter(fields))
        assert name in (error["param"].partition(".")[0], "models")
        assert gate.upstream.requests == []
        plain = {"model": "first/allowed", "plugins": [{"id": "web"}], "provider": {"order": ["x"]}}
        assert (await ask(gate.running, request("POST", PATH, plain, headers))).status == 200


# -- who is kept on one upstream

STICKY = """
providers:
  one: {{kind: openai-compatible, base_url: "{0}", models: [a, b, c, d, e, f, g, h]}}
roles: {{work: {{models: [one/a, one/b, one/c, one/d, one/e, one/f, one/g, one/h], order: [sticky]}}}}
"""


@pytest.mark.parametrize("carrier", ["authorization", "x-api-key", "api-key"])
async def test_callers_are_told_apart_by_their_credential(carrier: str) -> None:
    """Whichever header has it: each stays where it is, and together they use more than one model."""
    async with FaultyUpstream(chat_json()) as one, serving(STICKY.format(one.base_url)) as running:
        found: dict[str, set[str]] = {}
        for number in range(12):
            credential = f"key-{number}"
            for _ in range(2):
                headers = {carrier: f"Bearer {credential}" if carrier == "authorization" else credential}
                async with Client(running.port) as client:
                    await client.send(chat(model="role:work", headers=headers))
                    response = await client.response()
                found.setdefault(credential, set()).add(response.headers["x-gateway-model"])
        assert all(len(models) == 1 for models in found.values())
        assert len(set.union(*found.values())) > 1


async def test_a_caller_is_the_same_in_every_header() -> None:
    """Two SDKs with one key go to one upstream."""
    async with FaultyUpstream(chat_json()) as one, serving(STICKY.format(one.base_url)) as running:
        for number in range(6):
            found = set()
            for headers in (
                {"authorization": f"Bearer k{number}"},
                {"x-api-key": f"k{number}"},
                {"api-key": f"k{number}"},
            ):
                async with Client(running.port) as client:
                    await client.send(chat(model="role:work", headers=headers))
                    found.add((await client.response()).headers["x-gateway-model"])
            assert len(found) == 1
