"""Where a call goes: by its name, by rules, and by what the client says beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.errors import BadRequest
from gateway.types import Key
from gateway.web.steering import may_name
from tests.faults import Client, FaultyUpstream, chat, chat_json, error_json, request
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from tests.faults.client import Response

YAML = """
providers:
  one: {{kind: openai-compatible, base_url: "{0}", models: [small, tiny]}}
  two: {{kind: openai-compatible, base_url: "{1}", models: [big]}}
models:
  small: {{model: one/small, price: {{input: 1, output: 1}}, lacks: [vision], context: 1k, strength: 10}}
  big:   {{model: two/big, price: {{input: 9, output: 9}}, capabilities: [vision, tools], strength: 90}}
roles:
  work: {{models: [big, small], order: [cheapest]}}
  see:  {{models: [small, big], needs: [vision]}}
rules:
  - {{when: {{task: summarize}}, use: small}}
  - {{when: {{images: true}}, use: "role:see"}}
"""
PATH = "/v1/chat/completions"


async def ask(body: dict[str, object], headers: dict[str, str] | None = None, first: int = 200) -> tuple[Response, str]:
    """Return what a request gets from two upstreams, of which the first may fail, and who it went to."""
    answer = chat_json() if first == 200 else error_json(first)
    async with (
        FaultyUpstream(answer) as one,
        FaultyUpstream(chat_json()) as two,
        serving(YAML.format(one.base_url, two.base_url)) as running,
        Client(running.port) as client,
    ):
        body = {"messages": [{"role": "user", "content": "Hello"}], **body}
        await client.send(request("POST", PATH, body, headers or {}))
        response = await client.response()
        return response, response.headers.get("x-gateway-model", "")


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


@pytest.mark.parametrize(
    ("body", "headers", "model"),
    [
        ({"model": "role:work"}, {}, "small"),  # the cheaper one
        ({"model": "role:work"}, {"x-gateway-order": "listed"}, "big"),
        ({"model": "role:work"}, {"x-gateway-order": "strongest, cheapest"}, "big"),
        ({"model": "role:see"}, {}, "big"),  # the other one cannot see
        ({"model": "role:work", "messages": [{"role": "user", "content": IMAGE}]}, {}, "big"),  # the rule for images
        ({"model": "big", "task": "summarize"}, {}, "small"),
        ({"model": "big", "metadata": {"task": "summarize"}}, {}, "small"),
        ({"model": "big"}, {"x-gateway-task": "summarize"}, "small"),
        ({"model": "role:work", "max_tokens": 4000}, {}, "big"),  # does not fit into the small context
        ({"model": "auto:cheap"}, {}, "tiny"),  # local, so it costs nothing
        ({"model": "auto", "messages": [{"role": "user", "content": "Prove this theorem step by step."}]}, {}, "big"),
    ],
)
async def test_where_it_goes(body: dict[str, object], headers: dict[str, str], model: str) -> None:
    """By policy, need, rule and room."""
    response, answered = await ask(body, headers)
    assert (response.status, answered) == (200, model)


@pytest.mark.parametrize("how", ["body", "header"])
async def test_fallbacks_of_one_request(how: str) -> None:
    """OpenRouter's `models`, or a header; the field does not reach an upstream that does not know it."""
    body: dict[str, object] = {"model": "small"}
    headers = {}
    if how == "body":
        body["models"] = ["big"]
    else:
        headers["x-gateway-fallback"] = "big"
    response, answered = await ask(body, headers, first=503)
    assert (response.status, answered, response.headers["x-gateway-attempts"]) == (200, "big", "2")


@pytest.mark.parametrize(
    ("body", "headers", "code", "names"),
    [
        ({"model": "big"}, {"x-gateway-order": "fancy"}, "unknown_policy", "cheapest"),
        ({"model": "big", "models": ["nobody"]}, {}, "model_not_found", "nobody"),
        ({"model": "big", "models": "small"}, {}, "invalid_request", "models"),
        (
            {"model": "small", "messages": [{"role": "user", "content": "x" * 9000}]},
            {},
            "context_length_exceeded",
            "maximum context length is 1000 tokens",
        ),
    ],
)
async def test_what_cannot_be(body: dict[str, object], headers: dict[str, str], code: str, names: str) -> None:
    """It is refused with a 4xx that names the thing and what there is instead."""
    response, _ = await ask(body, headers)
    assert 400 <= response.status < 500
    assert response.json["error"]["code"] == code
    assert names in response.json["error"]["message"]


async def test_a_plan_explains_itself() -> None:
    """Every candidate is in the order or rejected, each with a reason."""
    response, _ = await ask({"model": "role:see"}, {"x-gateway-explain": "1"})
    plan = json.loads(response.headers["x-gateway-plan"])
    assert [one["upstream"] for one in plan["order"]] == ["two/big"]
    assert plan["rejected"] == [{"upstream": "one/small", "why": "lacks vision"}]


async def test_the_field_for_fallbacks_is_taken_out() -> None:
    """Byte for byte the rest is the client's."""
    async with (
        FaultyUpstream(chat_json()) as one,
        FaultyUpstream(chat_json()) as two,
        serving(YAML.format(one.base_url, two.base_url)) as running,
        Client(running.port) as client,
    ):
        body = b'{"model" : "big", "models":["small"] , "messages":[{"role":"user","content":"1.0"}],"n":1.0}'
        await client.send(request("POST", PATH, body=body, headers={"content-type": "application/json"}))
        assert (await client.response()).status == 200
        sent = b'{"model" : "big", "messages":[{"role":"user","content":"1.0"}],"n":1.0}'
        assert two.requests[0].body == sent


async def test_plain_calls_are_not_read_twice() -> None:
    """Without rules, order or fallbacks nothing but the name decides."""
    async with FaultyUpstream(chat_json()) as one, FaultyUpstream(chat_json()) as two:
        yaml = YAML.format(one.base_url, two.base_url).partition("rules:")[0]
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat("Hi", model="two/big"))
            assert (await client.response()).headers["x-gateway-provider"] == "two"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("role:work", True),
        ("role:work@fast", True),
        ("role:see@fast", False),
        ("role:see@nothing", False),  # and not: there is no such preset, which would tell that there is such a role
        ("small@tag", False),  # an alias of its own, not `small` with a preset
    ],
)
def test_a_key_may_choose_any_preset_of_its_names(name: str, allowed: bool) -> None:
    """The name before the preset is the one that counts."""
    directory = config_of(
        "providers: {p: {base_url: 'http://127.0.0.1:1/v1', models: [m]}}\n"
        "models: {small: p/m, small@tag: p/m}\nroles: {work: small, see: small}\n"
    ).directory
    assert may_name(Key(id="k", name="k", routes=("role:work", "small")), name, directory) is allowed
    with pytest.raises(BadRequest, match="unknown preset"):
        may_name(Key(id="k", name="k", routes=("role:work",)), "role:work@nothing", directory)
