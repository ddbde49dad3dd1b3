"""Changes as a user makes them: they count at once, survive a restart, lose nothing, and show no secret."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import Client, Pause, Stall, chat_json, chat_stream, error_json, json_answer, request
from tests.web.admin.scene import CALLER, LITERAL, SENTINEL, Scene, administered, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Response


async def call(scene: Scene, model: str, *, stream: bool = False) -> Response:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    async with Client(scene.running.port) as client:
        await client.send(request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {CALLER}"}))
        return await client.response()


async def recorded(scene: Scene, identity: str) -> list[dict[str, Any]]:
    """Return the attempts of a call, once the ledger has their ends."""

    async def found() -> bool:
        answer = await scene.ask("GET", f"/calls/{identity}")
        return answer.status == 200 and all(one["outcome"] for one in answer.json["data"])

    await eventually(found)
    attempts: list[dict[str, Any]] = (await scene.get(f"/calls/{identity}"))["data"]
    return attempts


def overlay_in(folder: Path) -> Path:
    (file,) = folder.rglob("overlay.yaml")
    return file


def holding(folder: Path, secret: str) -> list[str]:
    """Return the names of the files that hold a secret."""
    return [one.name for one in folder.rglob("*") if one.is_file() and secret.encode() in one.read_bytes()]


async def test_a_change_counts_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """An alias, a provider with its key, and the switch of a role, without a restart and through one."""
    async with administered(tmp_path) as scene:
        assert (await call(scene, "fast")).status == 404
        await scene.edit("PUT", "/aliases/fast", "a/x")
        assert (await call(scene, "fast")).status == 200
        new = {"kind": "openai", "base_url": scene.upstream.base_url, "api_key": SENTINEL, "probe": False}
        await scene.edit("PUT", "/providers/new", new)
        await scene.edit("PATCH", "/roles/rlm", {"models": ["new/z"]})
        assert (await call(scene, "role:rlm")).headers["x-gateway-provider"] == "new"
        assert scene.upstream.requests[-1].headers["authorization"] == f"Bearer {SENTINEL}"
    async with administered(tmp_path) as scene:
        assert (await call(scene, "fast")).status == 200
        # The new upstream has another port; all else is as it was.
        assert (await scene.get("/roles/rlm"))["value"] == {"models": ["new/z"]}
        assert (await scene.get("/providers/new"))["set_in"] == "run_time"
        history = (await scene.get("/history"))["data"]
        assert [(one["by"], one["via"], one["steps"][0]["path"]) for one in history] == [
            ("config", "api", "roles.rlm"), ("config", "api", "providers.new"), ("config", "api", "models.fast"),
        ]  # fmt: skip
        await scene.edit("POST", "/config/revert", {"all": True})
        assert (await call(scene, "fast")).status == 404
        assert (await scene.get("/config/diff"))["entries"] == []


async def test_a_switch_under_load_drops_nothing(tmp_path: Path) -> None:
    """Calls under way end as they began, while the alias that they named leads elsewhere."""
    slow = chat_stream("Hel", "lo")

    def answer(seen: Any) -> Any:
        return (*slow[:2], Pause(0.3), *slow[2:]) if seen.json.get("stream") else chat_json("Hi")

    async with administered(tmp_path, answer=answer) as scene:
        calls = asyncio.gather(*(call(scene, "main", stream=True) for _ in range(20)))
        for target in ("b/y", "a/y", "b/y"):
            await scene.edit("PUT", "/aliases/main", target)
        assert all(response.complete and response.status == 200 for response in await calls)
        assert (await call(scene, "main")).headers["x-gateway-provider"] == "b"


async def test_two_editors_lose_nothing(tmp_path: Path) -> None:
    """Of ten who edit at the same time, each gets 200 in the end, and each change is there."""
    async with administered(tmp_path) as scene:
        refused: list[int] = []

        async def edit(name: str) -> None:
            while True:
                version = await scene.version()
                response = await scene.ask("PUT", f"/aliases/{name}", "a/x", version=version)
                if response.status == 200:
                    return
                refused.append(response.status)

        names = [f"n{number}" for number in range(6)]
        await asyncio.gather(*map(edit, names))
        known = {one["name"] for one in (await scene.get("/aliases"))["data"]}
        assert set(names) < known
        assert set(refused) <= {412}


async def test_no_secret_is_ever_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a key that was set at run time, nor one of the file: in no answer, no file but one, and no log."""
    caplog.set_level(logging.DEBUG)
    said = f"the key {SENTINEL} is wrong, and so is {LITERAL}"
    async with administered(tmp_path, answer=error_json(401, said)) as scene:
        answers: list[bytes] = []

        async def ask(method: str, path: str, body: object = None, version: str | None = None) -> Response:
            response = await scene.ask(method, path, body, version=version)
            answers.append(response.body)
            return response

        for dry_run in ("?dry_run=true", ""):
            await ask("PATCH", f"/providers/a{dry_run}", {"api_key": SENTINEL}, "*")
            await ask("PATCH", f"/providers/b{dry_run}", {"headers": {"x-token": SENTINEL}}, "*")
            budget = {"scope": "total", "limit_usd": 1, "webhook": f"http://127.0.0.1:9/{SENTINEL}"}
            await ask("PUT", f"/budgets{dry_run}", [budget], "*")
        assert (await ask("PATCH", "/providers/a", {"api_key": SENTINEL, "wrong": 1}, "*")).status == 400
        assert (await ask("PATCH", "/providers/a", {"timeouts": {"idle": SENTINEL}}, "*")).status == 400
        assert not (await ask("POST", "/providers/a/test")).json["ok"]
        assert not (await ask("POST", "/providers/b/test")).json["ok"]
        await call(scene, "main")
        for method, path in scene.rows:
            if method == "GET" and "{" not in path and path not in ("/events", "/plans", "/api/models"):
                assert (await ask("GET", path)).status == 200, path
        for path in (
            "/providers/a",
            "/providers/b",
            "/plans?model=main",
            "/config?layer=file",
            "/config?layer=overlay",
        ):
            assert (await ask("GET", path)).status == 200, path
        for secret in (SENTINEL.encode(), LITERAL.encode()):
            assert not [one for one in answers if secret in one]
            assert secret.decode() not in caplog.text
        assert holding(tmp_path, SENTINEL) == ["secrets.env"]


async def test_what_is_shown_can_be_sent_back(tmp_path: Path) -> None:
    """A client that reads a provider, changes a field and writes all of it back keeps the key; a mask is no key."""
    async with administered(tmp_path) as scene:
        await scene.edit("PATCH", "/providers/a", {"api_key": SENTINEL})
        shown = (await scene.get("/providers/a"))["value"]
        await scene.edit("PUT", "/providers/a", {**shown, "models": ["x", "q"]})
        without = {name: value for name, value in shown.items() if name != "api_key"}
        await scene.edit("PUT", "/providers/a", without)
        assert (await call(scene, "main")).status == 200
        assert scene.upstream.requests[-1].headers["authorization"] == f"Bearer {SENTINEL}"
        literal = (await scene.get("/providers/b"))["value"]
        assert literal["api_key"] == "***"
        refused = await scene.ask("PUT", "/providers/b", literal, version="*")
        assert (refused.status, refused.json["error"]["param"]) == (400, "providers.b.api_key")
        await scene.edit("PATCH", "/providers/a", {"api_key": None})
        await call(scene, "main")
        assert "authorization" not in scene.upstream.requests[-1].headers


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param", "message"),
    [
        ("DELETE", "/aliases/other", None, 409, "roles.rlm.models.1", 'unknown model or alias "other"'),
        ("DELETE", "/providers/b", None, 409, "models.other.model", 'no provider "b" is configured'),
        ("DELETE", "/aliases/othr", None, 404, "name", 'there is no alias "othr"; did you mean "other"?'),
        ("PATCH", "/roles/rml", {}, 404, "name", 'there is no role "rml"'),
        ("POST", "/providers/z/test", None, 404, "name", 'there is no provider "z"'),
        ("POST", "/providers/z/enable", None, 404, "name", 'there is no provider "z"'),
        ("PUT", "/aliases/role:x", "a/x", 400, "name", "cannot name an alias"),
        ("PUT", "/aliases/fast", "gone/x", 400, "models.fast", 'unknown model "gone/x"'),
        ("PUT", "/aliases/fast", None, 400, None, "the body is missing"),
        ("PUT", "/providers/c", {"kind": "vlm"}, 400, "providers.c.kind", 'unknown kind "vlm"'),
        ("PATCH", "/config", {"changes": [{"path": "server.port", "value": 1}]}, 400, "server.port", "gateway.yaml"),
        ("PATCH", "/config", {"changes": [{"path": "a..b"}]}, 400, "path", "is not a path"),
        ("PATCH", "/config", {"changes": []}, 400, "changes", ""),
        ("PATCH", "/config", {}, 400, "changes", '"changes" is missing'),
        ("POST", "/config/revert", {}, 400, "paths", 'name "paths"'),
        ("POST", "/config/revert", {"paths": ["models"], "all": True}, 400, "paths", 'name "paths"'),
        ("PUT", "/rules", {"use": "main"}, 400, None, "the body must be a list"),
        (
            "PUT",
            "/rules",
            [{"when": {"model": "*"}, "use": "gone"}],
            400,
            "rules.0.use",
            'unknown model or alias "gone"',
        ),
        ("GET", "/plans?model=gone", None, 404, "model", 'unknown model "gone"'),
        ("GET", "/plans", None, 400, "model", '"model" is missing'),
        ("GET", "/models?needs=tool", None, 400, "needs", 'did you mean "tools"?'),
        ("GET", "/models?provider=z", None, 400, "provider", 'there is no provider "z"'),
        ("GET", "/models?pool=all", None, 400, "pool", ""),
        ("GET", "/usage?by=colour", None, 400, "by", "usage cannot be grouped"),
        ("GET", "/usage?since=then", None, 400, "since", "is not a time"),
        ("GET", "/calls?limit=0", None, 400, "limit", ""),
        ("GET", "/calls/none", None, 404, "request_id", "no call"),
        ("POST", "/keys", {"name": "x", "routes": ["a b"]}, 400, "routes", "is not a pattern"),
        ("POST", "/keys", {"admin": True, "rpm": 5}, 400, "admin", "makes no calls"),
        ("POST", "/keys", {"rpm": "many"}, 400, "rpm", ""),
        ("DELETE", "/keys/key_0", None, 404, "id", "no active key"),
        ("GET", "/nowhere", None, 404, None, "no such path"),
        ("DELETE", "/config", None, 405, None, "is not possible here"),
    ],
)
async def test_refusals(
    tmp_path: Path, method: str, path: str, body: object, status: int, param: str | None, message: str
) -> None:
    """Each names the field and the remedy, in OpenAI's shape; nothing has changed."""
    async with administered(tmp_path) as scene:
        before = await scene.version()
        response = await scene.ask(method, path, body, version="*")
        error = response.json["error"]
        assert (response.status, error["param"]) == (status, param), error
        assert message in error["message"]
        assert error["type"] == "invalid_request_error"
        assert await scene.version() == before


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"changes": NaN}', b""])
async def test_bodies_that_are_none(tmp_path: Path, body: bytes) -> None:
    async with administered(tmp_path) as scene, Client(scene.running.port) as client:
        headers = {"x-api-key": "sk-admin-0123456789abcdef", "if-match": "*"}
        await client.send(request("PATCH", "/admin/v1/config", headers=headers, body=body))
        assert (await client.response()).status == 400


async def test_an_overlay_that_cannot_be_read(tmp_path: Path) -> None:
    """It is said, nothing is lost, and with If-Match: * everything can be reverted."""
    async with administered(tmp_path) as scene:
        await scene.edit("PUT", "/aliases/fast", "a/x")
        overlay_in(tmp_path).write_text("a: [")
        refused = await scene.ask("PUT", "/aliases/new", "a/x", version="*")
        assert (refused.status, refused.json["error"]["code"]) == (503, "state_unavailable")
        assert "not YAML" in refused.json["error"]["message"]
        assert (await call(scene, "fast")).status == 200  # the version in use stays
        await scene.edit("POST", "/config/revert", {"all": True})
        assert (await call(scene, "fast")).status == 404


async def test_what_is_set_aside_is_named(tmp_path: Path) -> None:
    """An entry that no longer fits is named with the rest of the overlay, and the gateway starts."""
    async with administered(tmp_path) as scene:
        await scene.edit("PUT", "/aliases/fast", "a/x")
    file = overlay_in(tmp_path)
    file.write_text(file.read_text() + "  bad: {model: a/x, contxt: 1}\n  late: gone/m\n")
    async with administered(tmp_path) as scene:
        found = await scene.get("/config/diff")
        assert len(found["warnings"]) == 2
        assert (await call(scene, "fast")).status == 200
        await scene.edit("POST", "/config/revert", {"paths": ["models.bad", "models.late"]})
        assert (await scene.get("/config/diff"))["warnings"] == []


async def test_keys(tmp_path: Path) -> None:
    """A key is good as soon as it is made, is shown once, and is refused as soon as it is revoked."""
    async with administered(tmp_path) as scene:
        made = (await scene.ask("POST", "/keys", {"name": "ci", "routes": ["main"], "budget_usd": 2})).json
        again = await scene.ask("POST", "/keys", {"name": "ci"})
        assert (again.status, again.json["error"]["code"]) == (409, "name_taken")
        listed = await scene.ask("GET", "/keys")
        assert made["secret"].encode() not in listed.body
        assert (listed.json["data"][0]["name"], listed.json["data"][0]["budget_nanousd"]) == ("ci", 2_000_000_000)

        async def status() -> int:
            async with Client(scene.running.port) as client:
                await client.send(request("GET", "/v1/models", headers={"x-api-key": made["secret"]}))
                return (await client.response()).status

        assert await status() == 200
        assert (await scene.ask("DELETE", f"/keys/{made['id']}")).json["state"] == "revoked"
        assert await status() == 401


async def test_calls_and_usage(tmp_path: Path) -> None:
    """The ledger has the attempts of a call with their outcomes, and the sums."""

    def answer(seen: Any) -> Any:
        return error_json(500) if seen.json["model"] == "x" else chat_json("Hi")

    async with administered(tmp_path, answer=answer) as scene:
        identity = (await call(scene, "role:rlm")).headers["x-request-id"]
        attempts = await recorded(scene, identity)
        assert [(one["provider"], one["outcome"]) for one in attempts][-1] == ("b", "ok")
        assert attempts[0]["outcome"] == "server_error"
        usage = await scene.get("/usage?by=provider")
        assert {one["provider"] for one in usage["groups"]} == {"a", "b"}
        facts = (await scene.get("/facts"))["data"]
        assert {one["upstream"] for one in facts} >= {"b/y"}


async def test_attempts_under_way(tmp_path: Path) -> None:
    slow = chat_stream("Hel", "lo")
    async with administered(tmp_path, answer=(*slow[:2], Pause(0.5), *slow[2:])) as scene:
        under_way = asyncio.gather(call(scene, "main", stream=True))

        async def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await scene.get("/calls/in-flight"))["data"]
            return found

        await eventually(listed)
        found = await listed()
        assert (found[0]["route"], found[0]["upstream"], found[0]["endpoint"]) == ("main", "a/x", "chat")
        await under_way
        assert (await scene.get("/calls/in-flight"))["data"] == []


@pytest.mark.parametrize(
    ("path", "stream", "wanted"),
    [
        ("/v1/chat/completions", False, b'"code":"cancelled_by_operator"'),
        ("/v1/chat/completions", True, b"the operator of the gateway has cancelled this call"),
        ("/v1/messages", False, b'{"type":"error","error":{"type":"'),
        ("/v1/messages", True, b"event: error\ndata: "),
    ],
)
async def test_a_call_is_cancelled(tmp_path: Path, path: str, wanted: bytes, *, stream: bool) -> None:
    """The client is told in its dialect, the provider's connection is closed, and the ledger says who ended it."""

    def answer(seen: Any) -> Any:
        return (*chat_stream("Hel", "lo")[:3], Stall()) if seen.json.get("stream") else (Stall(),)

    async with administered(tmp_path, answer=answer) as scene, Client(scene.running.port) as client:
        body = {"model": "b/y", "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        await client.send(request("POST", path, body, {"x-api-key": CALLER}))
        await scene.upstream.wait_request()
        if stream:
            response = await client.head()
        (one,) = (await scene.get("/calls/in-flight"))["data"]
        done = await scene.ask("DELETE", f"/calls/in-flight/{one['request_id']}")
        assert (done.status, done.json) == (200, {"cancelled": [one["attempt"]]})
        if stream:
            await client.finish(response)
            assert (response.status, response.complete) == (200, False)
        else:
            response = await client.response()
            assert (response.status, response.headers["x-should-retry"]) == (503, "false")
        assert wanted in response.body, response.body

        async def is_closed() -> bool:
            return scene.upstream.open_connections == 0

        async def is_booked() -> bool:
            return bool((await recorded(scene, one["request_id"]))[0]["outcome"])

        await eventually(is_closed)
        await eventually(is_booked)
        (row,) = await recorded(scene, one["request_id"])
        assert (row["outcome"], row["call_status"]) == ("cancelled", 200 if stream else 503)
        assert (await scene.get("/calls/in-flight"))["data"] == []
        gone = await scene.ask("DELETE", f"/calls/in-flight/{one['request_id']}")
        assert (gone.status, gone.json["error"]["param"]) == (404, "id")
        (facts,) = (await scene.get("/facts"))["data"]
        assert facts["success"] == 1  # it is not the provider's fault


async def test_a_switch_is_checked(tmp_path: Path) -> None:
    """A check that fails is told by a rehearsal, prevents the switch, and can be overruled."""
    async with administered(tmp_path, answer=json_answer({"data": [{"id": "x"}, {"id": "y"}]})) as scene:
        told = await scene.edit("POST", "/switch?dry_run=true", {"name": "role:rlm", "to": "a/z"})
        assert (told["ok"], told["stored"], told["before"], told["after"]) == (False, False, "a/x", "a/z")
        assert {one["step"]: one["ok"] for one in told["steps"]}["listed"] is False
        refused = await scene.ask("POST", "/switch", {"name": "role:rlm", "to": "a/z"}, version="*")
        assert (refused.status, refused.json["error"]["param"]) == (409, "to")
        assert "listed: " in refused.json["error"]["message"]
        assert (await scene.get("/roles/rlm"))["value"] == {"models": ["main", "other"]}
        done = await scene.edit("POST", "/switch", {"name": "role:rlm", "to": "a/y"})
        assert (done["ok"], done["stored"], done["in_use"]) == (True, True, True)
        assert (await scene.get("/roles/rlm"))["value"] == {"models": ["a/y", "other"]}
        for body, status in (({"name": "role:rml", "to": "a/y"}, 404), ({"name": "main", "to": "nobody/x"}, 404)):
            refused = await scene.ask("POST", "/switch", body, version="*")
            assert refused.status == status, refused.body


async def test_the_history_tells_of_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Keys that are created and revoked stand in it with who did that, and no rehearsal does; the log has a line."""
    caplog.set_level(logging.INFO)
    async with administered(tmp_path) as scene:
        await scene.ask("POST", "/keys?dry_run=true", {"name": "never"})
        made = (await scene.ask("POST", "/keys", {"name": "ci", "admin": True})).json
        assert (await scene.ask("DELETE", f"/keys/{made['id']}")).status == 200
        await scene.edit("PUT", "/aliases/fast", "a/x")
        history = (await scene.get("/history"))["data"]
        steps = [(one["by"], one["steps"][0]["path"], one["steps"][0]["action"]) for one in history]
        assert steps == [
            ("config", "models.fast", "set"),
            ("config", f"keys.{made['id']}", "revoked"),
            ("config", f"keys.{made['id']}", "created"),
        ]
        assert made["secret"] not in str(history)
    said = [one.getMessage() for one in caplog.records if one.name == "gateway.admin"]
    assert said == [
        "POST /admin/v1/keys by config",
        f"DELETE /admin/v1/keys/{made['id']} by config",
        "PUT /admin/v1/aliases/fast by config",
    ]


async def test_the_status(tmp_path: Path) -> None:
    """How each provider is, and who serves each role, before and after a provider is switched off."""
    async with administered(tmp_path) as scene:
        await call(scene, "main")
        found = await scene.get("/status")
        providers = {one["name"]: one for one in found["providers"]}
        assert list(providers) == ["a", "b"]
        assert (providers["a"]["reachable"], providers["a"]["key"], providers["b"]["key"]) == (
            True,
            "none needed",
            "sent",
        )
        assert (providers["b"]["reachable"], providers["b"]["last_check_at"]) == (None, None)
        roles = {one["role"]: one for one in found["roles"]}
        assert (roles["role:rlm"]["serves"], roles["role:rlm"]["then"]) == ("a/x", ["b/y"])
        await scene.edit("POST", "/providers/a/disable")
        roles = {one["role"]: one for one in (await scene.get("/status"))["roles"]}
        assert (roles["role:rlm"]["serves"], roles["role:rlm"]["why"]) == ("b/y", "a/x: disabled")
