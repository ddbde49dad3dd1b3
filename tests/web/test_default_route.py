"""Calls for names that nobody lists, over real sockets, and the keys that may make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import chat, chat_json, error_json, request
from tests.proxy.scene import ask, proxied
from tests.web.keyed import key, keyed, secret

if TYPE_CHECKING:
    from pathlib import Path

ROUTE = "route: 'role:rlm'"
KNOWN = "models: {'gpt-known': first/g}"


@pytest.mark.parametrize("name", ["gpt-6.1-sol", "claude-opus-5-5", "anything"])
async def test_a_name_that_a_client_has_built_in(name: str) -> None:
    """It is served, and the answer says by which route."""
    async with proxied(chat_json(), defaults=ROUTE, extra=KNOWN) as (running, (upstream,)):
        response = await ask(running, chat(model=name))
        assert (response.status, response.headers["x-gateway-route"]) == (200, "role:rlm")
        assert upstream.requests[0].json["model"] == "m"
        explained = await ask(running, request("GET", f"/v1/explain?model={name}"))
        assert explained.json["name"] == "role:rlm"


@pytest.mark.parametrize("name", ["frist/m", "role:nobody", "rlm", "first"])
async def test_a_slip_stays_a_404(name: str) -> None:
    async with proxied(chat_json(), defaults=ROUTE, extra=KNOWN) as (running, (upstream,)):
        assert (await ask(running, chat(model=name))).status == 404
        assert upstream.requests == []


@pytest.mark.parametrize(("words", "route"), [("Hello", "auto"), ("Prove this theorem step by step.", "auto:hard")])
async def test_auto_as_the_default_route(words: str, route: str) -> None:
    """It judges the request as if the client had asked for `auto`."""
    async with proxied(chat_json(), defaults="route: auto") as (running, _):
        body = {"model": "gpt-6.1-sol", "messages": [{"role": "user", "content": words}]}
        response = await ask(running, request("POST", "/v1/chat/completions", body))
        assert (response.status, response.headers["x-gateway-route"]) == (200, route)


async def test_a_rule_comes_first() -> None:
    extra = f"{KNOWN}\nrules: [{{when: {{model: 'gpt-*'}}, use: gpt-known}}]"
    async with proxied(chat_json(), defaults=ROUTE, extra=extra) as (running, (upstream,)):
        for name in ("gpt-9", "claude-9"):
            assert (await ask(running, chat(model=name))).status == 200
        assert [one.json["model"] for one in upstream.requests] == ["g", "m"]


@pytest.mark.parametrize(
    ("routes", "name", "status"),
    [
        (("gpt-*",), "gpt-known", 200),
        (("gpt-*",), "gpt-6.1-sol", 404),  # the pattern is not meant to open role:rlm
        (("gpt-*",), "claude-9", 403),
        (("gpt-*", "role:rlm"), "gpt-6.1-sol", 200),
        (("role:rlm",), "gpt-6.1-sol", 403),  # the name itself is not permitted
        ((), "gpt-6.1-sol", 200),
    ],
)
async def test_a_key_for_certain_names(routes: tuple[str, ...], name: str, status: int, tmp_path: Path) -> None:
    """The default route opens nothing to a key that may not ask for it, as model, as fallback or in a plan."""
    async with keyed(tmp_path, key("some", routes=routes), defaults=ROUTE, extra=KNOWN) as gate:
        headers = {"x-api-key": secret("some")}
        assert (await ask(gate.running, chat(model=name, headers=headers))).status == status
        explained = await ask(gate.running, request("GET", f"/v1/explain?model={name}", headers=headers))
        assert explained.status == status
        if (routes, status) == (("gpt-*",), 404):
            response = await ask(gate.running, chat(model="gpt-known", headers=headers | {"x-gateway-fallback": name}))
            assert response.status == 404
            assert gate.upstream.requests == []


async def test_the_default_provider_may_serve_it() -> None:
    """Until it has listed its models it is asked, and the default route stands in for it."""
    defaults = "provider: first, route: second/m"
    async with proxied(error_json(404), chat_json(), defaults=defaults) as (running, (first, second)):
        response = await ask(running, chat(model="gpt-6.1-sol"))
        assert response.status == 200
        assert [one.json["model"] for one in (*first.requests, *second.requests)] == ["gpt-6.1-sol", "m"]
