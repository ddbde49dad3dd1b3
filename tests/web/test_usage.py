"""What a caller is told of its own usage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults import Client, chat_json, request
from tests.proxy.ledgered import ONE_CALL, ledgered
from tests.proxy.scene import ROLE_NAME
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Response
    from tests.proxy.ledgered import Ledgered


async def told(scene: Ledgered, query: str, name: str = "alice") -> Response:
    async with Client(scene.running.port) as client:
        headers = {"authorization": f"Bearer {secret(name)}"}
        await client.send(request("GET", f"/v1/usage{query}", headers=headers))
        return await client.response()


async def test_each_key_sees_its_own(tmp_path: Path) -> None:
    """By model, day, user or what else is recorded; and nothing of the others."""
    recorded = "ledger: {record: [user, metadata.source]}"
    keys = [key("alice"), key("bob")]
    async with ledgered(tmp_path, chat_json(), keys=keys, extra=recorded) as scene:
        await scene.running.app._keyring.refresh()
        for name, user in (("alice", "u1"), ("alice", "u2"), ("bob", "u1")):
            body = {"model": ROLE_NAME, "user": user, "messages": [], "metadata": {"source": "ide", "other": "x"}}
            headers = {"authorization": f"Bearer {secret(name)}"}
            assert (await scene.ask(request("POST", "/v1/chat/completions", body, headers))).status == 200
        rows = await scene.rows()
        assert rows[0].tags == '{"user":"u1","metadata.source":"ide"}'
        found = (await told(scene, "")).json
        assert (found["object"], found["key"], found["by"]) == ("usage", "alice", ["model"])
        assert [(one["model"], one["requests"]) for one in found["groups"]] == [("m", 2)]
        assert (found["total"]["requests"], found["total"]["cost_nanousd"]) == (2, 2 * ONE_CALL)
        by_user = (await told(scene, "?by=user,metadata.source&since=1d")).json
        assert {(one["user"], one["metadata.source"], one["requests"]) for one in by_user["groups"]} == {
            ("u1", "ide", 1),
            ("u2", "ide", 1),
        }
        assert (await told(scene, "?by=key", "bob")).json["groups"][0]["key"] == "bob"
        for query, param, says in (
            ("?by=metadata.other", "by", "add it to ledger.record in gateway.yaml"),
            ("?by=modle", "by", 'did you mean "model"?'),
            ("?since=soon", "since", "is not a time"),
            ("?where=key", "where", "there are by, since, until"),
        ):
            refused = await told(scene, query)
            assert (refused.status, refused.json["error"]["param"]) == (400, param)
            assert says in refused.json["error"]["message"]
