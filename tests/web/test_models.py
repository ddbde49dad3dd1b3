"""The list of models, as OpenAI's and Anthropic's clients and Claude Code's discovery read it."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from gateway.catalog import Refresh
from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.types import Ability
from gateway.web.routes import Web
from tests.faults import chat, chat_json, request
from tests.proxy.scene import ask, proxied
from tests.serving import serving
from tests.web.keyed import key, keyed, secret

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving import Running

ANTHROPIC = {"anthropic-version": "2023-06-01"}
MANY = "models: {" + ", ".join(f"m{number:02}: first/m" for number in range(45)) + "}"
# What Claude Code's discovery keeps (read in its program, 2.1.332).
KEPT = re.compile("claude|anthropic", re.IGNORECASE)


async def listed(running: Running, query: str = "", headers: dict[str, str] = ANTHROPIC) -> Any:
    response = await ask(running, request("GET", f"/v1/models{query}", headers=headers))
    assert response.status == 200
    return response.json


async def test_anthropics_shape() -> None:
    """The fields that its SDKs know, and no others."""
    async with proxied(chat_json(), extra="models: {main: {model: first/m, context: 32k, max_output: 4k}}") as (run, _):
        answer = await listed(run)
        assert answer.keys() == {"data", "has_more", "first_id", "last_id"}
        (main,) = (one for one in answer["data"] if one["id"] == "main")
        assert datetime.fromisoformat(main.pop("created_at")).tzinfo is not None
        assert main == {
            "type": "model", "id": "main", "display_name": "main", "description": "alias for first/m",
            "max_input_tokens": 32_000, "max_tokens": 4_000,
        }  # fmt: skip
        one = await ask(run, request("GET", "/v1/models/main", headers=ANTHROPIC))
        assert {**one.json, "created_at": ""} == {**main, "created_at": ""}


async def test_who_serves_a_name_now() -> None:
    """A name of the gateway's tells who would answer; health decides, and a model's own name needs no such word."""
    async with proxied(chat_json(), chat_json()) as (running, _):
        role = (await ask(running, request("GET", "/v1/models/role:rlm"))).json
        assert (role["served_by"], role["fallbacks"]) == ("first/m", ["second/m"])
        assert "served_by" not in (await ask(running, request("GET", "/v1/models/first/m"))).json
        assert "served_by" not in (await ask(running, request("GET", "/v1/models/role:rlm", headers=ANTHROPIC))).json
        facts = running.gateway.memory.facts
        facts["first/m"] = Facts(breaker=Breaker(BreakerState.OPEN, retry_at=time.time() + 60))
        role = (await ask(running, request("GET", "/v1/models/role:rlm"))).json
        assert role["served_by"] == "second/m"


async def test_openais_clients_get_all_of_it() -> None:
    """On one page, with the fields of both."""
    async with proxied(chat_json(), extra=MANY) as (running, _):
        answer = await listed(running, headers={})
        assert answer["object"] == "list"
        assert len(answer["data"]) > 45
        assert not answer["has_more"]
        assert all(one["object"] == one["type"] == "model" for one in answer["data"])
        assert {one["id"]: one["description"] for one in answer["data"]}["role:rlm"] == "role for first/m"


@pytest.mark.parametrize(("size", "query"), [(20, ""), (7, "&limit=7"), (1000, "&limit=1000")])
async def test_pages_forwards(size: int, query: str) -> None:
    """Each name once and in order, whatever the size of a page; twenty is Anthropic's own."""
    async with proxied(chat_json(), extra=MANY) as (running, _):
        every = [one["id"] for one in (await listed(running, headers={}))["data"]]
        seen: list[str] = []
        more, after = True, ""
        while more:
            page = await listed(running, f"?{after}{query}")
            ids = [one["id"] for one in page["data"]]
            assert 0 < len(ids) <= size
            assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
            seen += ids
            more, after = page["has_more"], f"after_id={ids[-1]}"
        assert seen == every


async def test_pages_backwards() -> None:
    """`before_id` gives the page that ends just before it."""
    async with proxied(chat_json(), extra=MANY) as (running, _):
        every = [one["id"] for one in (await listed(running, headers={}))["data"]]
        page = await listed(running, f"?before_id={every[30]}")
        assert [one["id"] for one in page["data"]] == every[10:30]
        assert page["has_more"]
        page = await listed(running, f"?before_id={every[3]}&limit=5")
        assert ([one["id"] for one in page["data"]], page["has_more"]) == (every[:3], False)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/models?limit=0", 400, "invalid_request_error"),
        ("/v1/models?limit=1001", 400, "invalid_request_error"),
        ("/v1/models?limit=0000000001" + "9" * 5000, 400, "invalid_request_error"),
        ("/v1/models/nobody", 404, "not_found_error"),
    ],
)
async def test_refusals_are_in_anthropics_shape(path: str, status: int, kind: str) -> None:
    """Its SDKs read the message from there; OpenAI's get theirs."""
    async with proxied(chat_json()) as (running, _):
        response = await ask(running, request("GET", path, headers=ANTHROPIC))
        assert (response.status, response.json["type"], response.json["error"]["type"]) == (status, "error", kind)
        response = await ask(running, request("GET", path))
        if "1001" not in path:  # only Anthropic has a longest page
            assert (response.status, "code" in response.json["error"]) == (status, True)


@pytest.mark.parametrize("headers", [ANTHROPIC, {}])
async def test_a_key_sees_its_names_only(headers: dict[str, str], tmp_path: Path) -> None:
    async with keyed(tmp_path, key("limited", routes=("role:*",))) as gate:
        found = await listed(gate.running, headers=headers | {"x-api-key": secret("limited")})
        assert {one["id"].partition(":")[0] for one in found["data"]} == {"role"}


async def test_claude_codes_discovery() -> None:
    """It asks for `?limit=1000` and keeps names with `claude` or `anthropic`: an alias brings a role into its menu."""
    extra = "models: {claude-local: 'role:rlm', main: first/m}"
    async with proxied(chat_json(), extra=extra) as (running, (upstream,)):
        found = (await listed(running, "?limit=1000"))["data"]
        kept = [one for one in found if KEPT.search(one["id"])]
        assert [(one["id"], one["display_name"], one["description"]) for one in kept] == [
            ("claude-local", "claude-local", "alias for first/m")
        ]
        response = await ask(running, chat(model=kept[0]["id"]))
        assert (response.status, response.headers["x-gateway-route"]) == (200, "claude-local")
        assert upstream.requests[0].json["model"] == "m"


@pytest.mark.parametrize("path", ["/", "/api/hello", "/v1", "/v1/", "/v1/api/hello"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_claude_codes_first_questions(path: str, method: str) -> None:
    """Answered without a key: it only wants to know that somebody is there."""
    async with proxied(chat_json(), server="{api_keys: [client-key-0123456789abcdef]}") as (running, _):
        assert (await ask(running, request(method, path))).status == 200
        assert (await ask(running, request(method, "/v1/models"))).status == 401


TWO = """
providers:
  paid: {kind: openai, base_url: "http://paid.test/v1", api_key: k, models: [gpt-5, gpt-5-mini]}
  own: {kind: ollama, base_url: "http://127.0.0.1:9/v1", models: ["llama3:8b", "gpt-oss:20b"]}
models: {fast: own/llama3:8b}
"""


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?provider=own", {"own/llama3:8b", "own/gpt-oss:20b"}),
        ("?q=GPT", {"paid/gpt-5", "paid/gpt-5-mini", "own/gpt-oss:20b"}),
        ("?q=gpt+mini", {"paid/gpt-5-mini"}),
        ("?q=gpt&free=true", {"own/gpt-oss:20b"}),
        ("?provider=paid&free=1", set()),
        ("?q=fast", {"fast", "auto:fast"}),
    ],
)
async def test_filters(query: str, wanted: set[str]) -> None:
    async with serving(TWO) as running:
        assert {one["id"] for one in (await listed(running, query, {}))["data"]} == wanted


@pytest.mark.parametrize(
    ("query", "param", "words"),
    [("?provider=piad", "provider", 'did you mean "paid"'), ("?free=perhaps", "free", "true or false")],
)
async def test_wrong_filters(query: str, param: str, words: str) -> None:
    async with serving(TWO) as running:
        refused = await ask(running, request("GET", f"/v1/models{query}"))
        assert (refused.status, refused.json["error"]["param"]) == (400, param)
        assert words in refused.json["error"]["message"]


async def test_the_end_of_a_model() -> None:
    """The date and the replacement that the provider's list states, and since when the list lacks the model."""
    async with serving(TWO) as running:
        ends = Ability(retires_at=1_798_675_200.0, replacement="gpt-6")
        running.gateway.now = running.gateway.now.with_found({"paid": {"gpt-5": ends}})
        state = {"own": Refresh(1000.7, missing={"llama3:8b": 900.5}), "paid": Refresh(2000.0)}
        running.app._web = Web(running.gateway, refreshed=lambda: state)
        found = {one["id"]: one for one in (await listed(running, headers={}))["data"]}
    assert found["own/llama3:8b"]["unlisted_since"] == 900
    assert found["paid/gpt-5"]["expiration_date"] == "2026-12-31"
    assert found["paid/gpt-5"]["deprecation_replacement_model"] == "gpt-6"
    assert "unlisted_since" not in found["paid/gpt-5"]


async def test_when_a_list_was_read() -> None:
    """The header has the time of the oldest list that the answer needs, each model that of its provider's."""
    async with serving(TWO) as running:
        state = {"own": Refresh(1000.7, None, 2), "paid": Refresh(2000.0, None, 2)}
        running.app._web = Web(running.gateway, refreshed=lambda: state)
        for query, at in (("", "1000"), ("?provider=paid", "2000"), ("?q=role:", None)):
            response = await ask(running, request("GET", f"/v1/models{query}"))
            assert response.headers.get("x-refreshed-at") == at, query
        found = {one["id"]: one.get("refreshed_at") for one in (await listed(running, headers={}))["data"]}
        assert (found["own/llama3:8b"], found["paid/gpt-5"], found["fast"]) == (1000, 2000, None)
