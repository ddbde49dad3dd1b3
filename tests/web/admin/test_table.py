"""Every route of the admin API in every case that its kind has. A route without an example fails."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gateway.web.admin.table import Effect, NoQuery, Value
from tests.faults import Client, Stall, chat_json, request
from tests.web.admin.scene import ADMIN, CALLER, Scene, administered
from tests.web.admin.test_life import recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.web.admin.table import Row


@dataclass(frozen=True, slots=True)
class Example:
    """A request that succeeds."""

    target: str = ""
    """The path with its parameters and query, if the route's own will not do."""
    body: Any = None
    wrong: Any = None
    """A body with a field that is unknown."""
    changes: bool = True
    """An edit that changes something."""


PROVIDER = {"kind": "vllm", "base_url": "http://c.test/v1"}
EXAMPLES: dict[tuple[str, str], Example] = {
    ("GET", "/openapi.json"): Example(),
    ("GET", "/events"): Example(),
    ("GET", "/config"): Example("/config?layer=file"),
    ("PATCH", "/config"): Example(
        body={"changes": [{"path": "models.fast", "value": "a/x"}]}, wrong={"changes": [{"path": "x", "valeu": 1}]}
    ),
    ("GET", "/config/diff"): Example(),
    ("GET", "/config/export"): Example(),
    ("POST", "/config/revert"): Example(body={"paths": ["models.changed"]}, wrong={"path": ["models.changed"]}),
    ("GET", "/history"): Example("/history?limit=3"),
    ("POST", "/reload"): Example(),
    ("GET", "/kinds"): Example(),
    ("GET", "/providers"): Example(),
    ("GET", "/providers/{name:path}"): Example("/providers/a"),
    ("PUT", "/providers/{name:path}"): Example("/providers/c", PROVIDER, {**PROVIDER, "base_ulr": "x"}),
    ("PATCH", "/providers/{name:path}"): Example("/providers/a", {"models": ["x", "z"]}, {"model": ["x"]}),
    ("DELETE", "/providers/{name:path}"): Example("/providers/spare"),
    ("POST", "/providers/{name}/enable"): Example("/providers/off/enable"),
    ("POST", "/providers/{name}/disable"): Example("/providers/a/disable"),
    ("POST", "/providers/{name}/test"): Example("/providers/a/test", {"models": ["x"]}, {"model": ["x"]}),
    ("GET", "/aliases"): Example(),
    ("GET", "/aliases/{name:path}"): Example("/aliases/main"),
    ("PUT", "/aliases/{name:path}"): Example("/aliases/fast", {"model": "a/z"}, {"model": "a/z", "contxt": 1}),
    ("PATCH", "/aliases/{name:path}"): Example("/aliases/main", {"context": "8k"}, {"contxt": "8k"}),
    ("DELETE", "/aliases/{name:path}"): Example("/aliases/changed"),
    ("POST", "/aliases/{name:path}/rename"): Example("/aliases/other/rename", {"to": "second"}, {"into": "second"}),
    ("GET", "/roles"): Example(),
    ("GET", "/roles/{name:path}"): Example("/roles/rlm"),
    ("PUT", "/roles/{name:path}"): Example("/roles/new", {"models": ["main"]}, {"models": ["main"], "ordr": []}),
    ("PATCH", "/roles/{name:path}"): Example("/roles/rlm", {"needs": ["tools"]}, {"need": ["tools"]}),
    ("DELETE", "/roles/{name:path}"): Example("/roles/only"),
    ("GET", "/fallbacks"): Example(),
    ("GET", "/fallbacks/{name:path}"): Example("/fallbacks/main"),
    ("PUT", "/fallbacks/{name:path}"): Example("/fallbacks/other", ["main"], {"models": ["main"]}),
    ("PATCH", "/fallbacks/{name:path}"): Example("/fallbacks/main", ["other", "b/z"], {"models": ["main"]}),
    ("DELETE", "/fallbacks/{name:path}"): Example("/fallbacks/main"),
    ("GET", "/presets"): Example(),
    ("GET", "/presets/{name:path}"): Example("/presets/calm"),
    ("PUT", "/presets/{name:path}"): Example("/presets/wild", {"temperature": 2}, {"force": 1}),
    ("PATCH", "/presets/{name:path}"): Example("/presets/calm", {"top_p": 0.5}, {"force": 1}),
    ("DELETE", "/presets/{name:path}"): Example("/presets/calm"),
    ("GET", "/params"): Example(),
    ("GET", "/params/{name:path}"): Example("/params/role:rlm"),
    ("PATCH", "/params/{name:path}"): Example("/params/role:rlm", {"temperature": 0.2}, {"force": 1}),
    ("GET", "/experiments/{name}/report"): Example("/experiments/cooler/report?since=7d"),
    ("GET", "/arms"): Example(),
    ("GET", "/experiments"): Example(),
    ("GET", "/experiments/{name:path}"): Example("/experiments/cooler"),
    ("PUT", "/experiments/{name:path}"): Example(
        "/experiments/cooler", {"on": "role:rlm", "arms": {"a": {}, "b": "b/z"}}, {"in": "role:rlm"}
    ),
    ("PATCH", "/experiments/{name:path}"): Example("/experiments/cooler", {"share": 0.5}, {"shaer": 0.5}),
    ("DELETE", "/experiments/{name:path}"): Example("/experiments/cooler"),
    ("GET", "/rules"): Example(),
    ("PUT", "/rules"): Example(
        body=[{"when": {"tools": True}, "use": "main"}], wrong=[{"when": {"tool": True}, "use": "main"}]
    ),
    ("DELETE", "/rules"): Example(changes=False),
    ("GET", "/budgets"): Example(),
    ("PUT", "/budgets"): Example(body=[{"scope": "total", "limit_usd": 5}], wrong=[{"scope": "total", "limit": 5}]),
    ("DELETE", "/budgets"): Example(changes=False),
    ("GET", "/defaults"): Example(),
    ("PUT", "/defaults"): Example(body={"max_attempts": 3}, wrong={"max_atempts": 3}),
    ("DELETE", "/defaults"): Example(changes=False),
    ("GET", "/models"): Example("/models?search=x&pool=curated"),
    ("POST", "/models/refresh"): Example(),
    ("GET", "/facts"): Example(),
    ("GET", "/accounts"): Example(),
    ("GET", "/clients"): Example("/clients?url=http://127.0.0.1:8400&model=main"),
    ("GET", "/spending"): Example(),
    ("GET", "/reconciliation"): Example(),
    ("POST", "/reconciliation"): Example(),
    ("GET", "/plans"): Example("/plans?model=role:rlm&needs=tools"),
    ("GET", "/usage"): Example("/usage?by=day,model&since=7d"),
    ("GET", "/calls"): Example("/calls?limit=5&provider=a"),
    ("GET", "/calls/in-flight"): Example(),
    ("DELETE", "/calls/in-flight/{id:path}"): Example("/calls/in-flight/under-way"),
    ("GET", "/calls/{request_id}"): Example("/calls/made-before"),
    ("GET", "/status"): Example(),
    ("POST", "/switch"): Example(
        body={"name": "role:rlm", "to": "b/other", "force": True}, wrong={"name": "role:rlm", "too": "b/other"}
    ),
    ("GET", "/keys"): Example(),
    ("POST", "/keys"): Example(body={"name": "ci", "rpm": 60, "budget_usd": 5}, wrong={"name": "ci", "rmp": 60}),
    ("DELETE", "/keys/{id}"): Example("/keys/{id}"),
    ("GET", "/api/llm/provider"): Example(),
    ("POST", "/api/llm/provider"): Example(
        body={"provider": "b", "b_api_key": "sk-other"}, wrong={"provider": "b", "b_api_kye": "x"}
    ),
    ("POST", "/api/llm/test"): Example(body={"provider": "b"}, wrong={"provdier": "b"}),
    ("POST", "/api/provider/set"): Example("/api/provider/set?provider=b"),
    ("GET", "/api/models"): Example("/api/models?provider=a"),
}  # fmt: skip


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[Scene]:
    """Serve with something to read, revert and remove."""

    def answer(seen: Any) -> Any:
        return (Stall(),) if b"wait" in seen.body else chat_json("Hi")

    async with administered(folder, answer=answer) as scene:
        changes = [
            {"path": "models.changed", "value": "a/z"},
            {"path": "providers.spare", "value": PROVIDER},
            {"path": "providers.off", "value": {**PROVIDER, "enabled": False}},
        ]
        await scene.edit("PATCH", "/config", {"changes": changes})
        yield scene


async def target_of(scene: Scene, row: Row, example: Example) -> str:
    """Return the path of an example, after making what it is about."""
    target = example.target or row.path
    if target == "/calls/in-flight/under-way":
        await waiting(scene)
        (one,) = (await scene.get("/calls/in-flight"))["data"]
        return f"/calls/in-flight/{one['attempt']}"
    if target == "/calls/made-before":
        async with Client(scene.running.port) as client:
            body = {"model": "main", "messages": [{"role": "user", "content": "Hi"}]}
            headers = {"authorization": f"Bearer {CALLER}"}
            await client.send(request("POST", "/v1/chat/completions", body, headers))
            made = (await client.response()).headers["x-request-id"]
        await recorded(scene, made)
        return f"/calls/{made}"
    if "{id}" in target:
        made = (await scene.ask("POST", "/keys", {"name": "made", "admin": True})).json["id"]
        return target.replace("{id}", made)
    return target


async def waiting(scene: Scene) -> None:
    """Make a call that gets no answer, from a client that stays until the test is over."""
    client = await scene.stack.enter_async_context(Client(scene.running.port))
    body = {"model": "main", "messages": [{"role": "user", "content": "wait"}]}
    await client.send(request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {CALLER}"}))
    await scene.upstream.wait_request()


def params(*effects: Effect) -> list[Any]:
    return [pytest.param(place, id=" ".join(place)) for place in EXAMPLES if effect_of(place) in effects]


def effect_of(place: tuple[str, str]) -> Effect:
    method, path = place
    if method == "GET":
        return Effect.READ
    acts = (
        "/calls/in-flight/{id:path}",
        "/reload", "/models/refresh", "/reconciliation", "/providers/{name}/test", "/keys", "/keys/{id}",
        "/api/llm/provider", "/api/llm/test", "/api/provider/set",
    )  # fmt: skip
    return Effect.ACT if path in acts else Effect.EDIT


async def test_every_route_has_an_example(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        rows = scene.rows
        assert rows.keys() == EXAMPLES.keys()
        assert {place: row.effect for place, row in rows.items()} == {place: effect_of(place) for place in rows}
        assert all((row.body is not None) == (EXAMPLES[place].wrong is not None) for place, row in rows.items())
        served = {(method, path) for method, path, access in scene.running.app._web.routes if access.value == "admin"}
        assert served >= {(row.method, row.place) for row in rows.values()}


@pytest.mark.parametrize("place", params(Effect.READ, Effect.ACT))
async def test_what_needs_no_version(tmp_path: Path, place: tuple[str, str]) -> None:
    """Reading and acting work without If-Match; an unknown field or parameter is refused, and named."""
    async with prepared(tmp_path) as scene:
        row, example = scene.rows[place], EXAMPLES[place]
        target = await target_of(scene, row, example)
        mark = "&" if "?" in target else "?"
        response = await scene.ask(row.method, f"{target}{mark}nonsense=1", example.body)
        assert (response.status, response.json["error"]["code"]) == (400, "unknown_field"), response.body
        assert response.json["error"]["param"] == "nonsense"
        if example.wrong is not None:
            response = await scene.ask(row.method, target, example.wrong)
            is_entry = isinstance(row.body, Value) and row.body.definition
            code = "invalid_configuration" if is_entry else "unknown_field"
            assert (response.status, response.json["error"]["code"]) == (400, code), response.body
        if row.path == "/events":
            return  # its stream has tests of its own
        if row.takes_dry_run:
            before = await scene.get("/keys")
            response = await scene.ask(row.method, f"{target}?dry_run=true", example.body)
            assert (response.status, response.json["stored"]) == (200, False), response.body
            assert await scene.get("/keys") == before
        response = await scene.ask(row.method, target, example.body)
        assert response.status == 200, response.body
        assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("place", params(Effect.EDIT))
async def test_edits(tmp_path: Path, place: tuple[str, str]) -> None:
    """In order: no version, a wrong one, an unknown field, a rehearsal, the change itself."""
    async with prepared(tmp_path) as scene:
        row, example = scene.rows[place], EXAMPLES[place]
        target = await target_of(scene, row, example)
        shown, version = await scene.get("/config"), await scene.version()
        missing = await scene.ask(row.method, target, example.body)
        assert (missing.status, missing.json["error"]["param"]) == (428, "If-Match"), missing.body
        assert version in missing.json["error"]["message"]
        for dry_run in ("", "?dry_run=true"):
            other = await scene.ask(row.method, target + dry_run, example.body, version="0123456789")
            assert (other.status, other.json["error"]["code"]) == (412, "version_mismatch"), other.body
        unknown = await scene.ask(row.method, f"{target}?nonsense=1", example.body, version=version)
        assert (unknown.status, unknown.json["error"]["param"]) == (400, "nonsense")
        odd = await scene.ask(row.method, f"{target}?dry_run=perhaps", example.body, version=version)
        assert (odd.status, odd.json["error"]["param"]) == (400, "dry_run")
        if example.wrong is not None:
            wrong = await scene.ask(row.method, target, example.wrong, version=version)
            assert wrong.status == 400, wrong.body
            assert wrong.json["error"]["param"]
        rehearsed = await scene.ask(row.method, f"{target}?dry_run=true", example.body, version=version)
        assert (rehearsed.status, rehearsed.json["stored"], rehearsed.json["version"]) == (200, False, version)
        assert bool(rehearsed.json["diff"]) is example.changes
        assert rehearsed.json["problems"] == []
        assert await scene.get("/config") == shown
        done = await scene.ask(row.method, target, example.body, version=f'"{version}"')
        assert (done.status, done.json["stored"], done.json["in_use"]) == (200, example.changes, True), done.body
        assert done.json["diff"] == rehearsed.json["diff"]
        assert done.headers["etag"] == f'"{done.json["version"]}"'
        after = await scene.get("/config")
        assert (after["version"] != version) is example.changes
        assert after["running_version"] == shown["running_version"] + example.changes
        assert after["version"] == done.json["version"]


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "invalid_api_key"),
        ("sk-unknown-0123456789abcdef", 401, "invalid_api_key"),
        (CALLER, 403, "forbidden"),
    ],
)
async def test_strangers(tmp_path: Path, key: str | None, status: int, code: str) -> None:
    """Nobody without an admin key reads or changes anything, on this machine or another."""
    async with administered(tmp_path) as scene:
        version = await scene.version()
        for place, row in scene.rows.items():
            scene.running.app._web.door._failures.clear()
            target = EXAMPLES[place].target or row.path
            response = await scene.ask(row.method, target, EXAMPLES[place].body, key=key, version="*")
            assert (response.status, response.json["error"]["code"]) == (status, code), place
        scene.running.app._web.door._failures.clear()
        assert await scene.version() == version


async def test_an_administrator_makes_no_calls(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene, Client(scene.running.port) as client:
        body = {"model": "main", "messages": [{"role": "user", "content": "Hi"}]}
        await client.send(request("POST", "/v1/chat/completions", body, {"x-api-key": ADMIN}))
        response = await client.response()
        assert (response.status, response.json["error"]["code"]) == (403, "forbidden")


async def test_the_document(tmp_path: Path) -> None:
    """Each route is in it, each reference leads somewhere, and no two definitions share a name."""
    async with administered(tmp_path) as scene:
        found = await scene.get("/openapi.json")
        assert found["openapi"] == "3.1.0"
        described = {(method.upper(), path) for path, item in found["paths"].items() for method in item}
        wanted = {(one.method, one.place.replace(":path}", "}")) for one in scene.rows.values()}
        assert described == wanted
        schemas = found["components"]["schemas"]
        assert {one.rpartition("/")[2] for one in references(found)} <= schemas.keys()
        operations = [one["operationId"] for item in found["paths"].values() for one in item.values()]
        assert len(set(operations)) == len(operations)
        for row in scene.rows.values():
            operation = found["paths"][row.place.replace(":path}", "}")][row.method.lower()]
            names = {one["name"] for one in operation["parameters"]}
            assert ("If-Match" in names) is (row.effect is Effect.EDIT)
            assert ("dry_run" in names) is row.takes_dry_run
            assert ("requestBody" in operation) is (row.body is not None)
            if row.query is not NoQuery:
                assert set(row.query.__struct_fields__) <= names
            if isinstance(row.body, Value) and row.body.definition:
                assert row.body.definition in schemas
        ours = {one.__name__ for row in scene.rows.values() for one in (row.answer, row.body) if isinstance(one, type)}
        from gateway.config import schema

        assert not ours & schema()["$defs"].keys()


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []
