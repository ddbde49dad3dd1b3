"""What clients say of the answers that they were given."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import Client, chat, chat_json, request
from tests.proxy.ledgered import ledgered, rows_in
from tests.proxy.scene import ROLE_NAME, until
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults import Response
    from tests.proxy.ledgered import Ledgered

ALICE = {"authorization": f"Bearer {secret('alice')}"}
BOB = {"authorization": f"Bearer {secret('bob')}"}
TRIED = "experiments: {x: {on: role:rlm, sticky: call, arms: {a: {}, b: {params: {seed: 1}}}}}"


@asynccontextmanager
async def judged(folder: Path) -> AsyncIterator[Ledgered]:
    async with ledgered(folder, chat_json(), keys=[key("alice"), key("bob")], extra=TRIED) as scene:
        await scene.running.app._keyring.refresh()
        yield scene


async def say(scene: Ledgered, body: Any, headers: dict[str, str] = ALICE) -> Response:
    async with Client(scene.running.port) as client:
        await client.send(request("POST", "/v1/outcomes", body, headers))
        return await client.response()


async def answered(scene: Ledgered, headers: dict[str, str] = ALICE) -> Response:
    body = {"model": ROLE_NAME, "messages": [{"role": "user", "content": "Hi"}]}
    return await scene.ask(request("POST", "/v1/chat/completions", body, headers))


async def recorded(scene: Ledgered, request_id: str, *expected: tuple[str, float | None, str]) -> None:
    """Wait until the verdicts on the calls with this id, by key, are these."""

    def there() -> bool:
        found = {(row.key, row.score, row.verdict) for row in rows_in(scene.folder) if row.request_id == request_id}
        return found == set(expected)

    await until(there, what="the record of a verdict")


async def test_a_verdict_reaches_its_call(tmp_path: Path) -> None:
    """Right after the answer; once more changes nothing; another replaces it; and the report has it."""
    async with judged(tmp_path) as scene:
        response = await answered(scene)
        made, arm = response.headers["x-request-id"], response.headers["x-gateway-arm"]
        said = await say(scene, {"request_id": made, "score": 0.75, "label": "pass"})
        assert (said.status, said.json["arm"], said.json["score"], said.json["label"]) == (200, arm, 0.75, "pass")
        await recorded(scene, made, ("key_alice", 0.75, "pass"))
        (before,) = rows_in(scene.folder)
        assert (await say(scene, {"request_id": made, "score": 0.75, "label": "pass"})).status == 200
        assert rows_in(scene.folder) == [before]
        assert (await say(scene, {"request_id": made, "score": 0})).status == 200
        await recorded(scene, made, ("key_alice", 0.0, ""))


async def test_only_the_key_that_made_the_call(tmp_path: Path) -> None:
    """Another learns no more than that it has made none; and of two calls with one id each key judges its own."""
    async with judged(tmp_path) as scene:
        scene.running.app._web.outcomes._within_s = 0.3
        mine, both = {**ALICE, "x-request-id": "mine"}, "both"
        await answered(scene, mine)
        await answered(scene, {**ALICE, "x-request-id": both})
        await answered(scene, {**BOB, "x-request-id": both})
        assert len(await scene.rows()) == 3
        for asked, who in (("mine", BOB), ("nobodys", BOB)):
            refused = await say(scene, {"request_id": asked, "score": 1}, who)
            assert (refused.status, refused.json["error"]["code"]) == (404, "call_not_found")
            assert refused.json["error"]["message"] == (
                f'this key has made no call "{asked}" that is over; name the x-request-id of an answer'
            )
        assert (await say(scene, {"request_id": both, "label": "bob"}, BOB)).status == 200
        assert (await say(scene, {"request_id": both, "label": "alice"}, ALICE)).status == 200
        await recorded(scene, both, ("key_alice", None, "alice"), ("key_bob", None, "bob"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"request_id": "r", "score": 1.5}, "<= 1.0"),
        ({"request_id": "r", "score": "good"}, "$.score"),
        ({"request_id": "r"}, "a score from 0 to 1, a label or both"),
        ({"score": 1}, "request_id"),
        ({"request_id": "r", "scoer": 1}, "scoer"),
        ({"request_id": "r", "label": "x" * 65}, "<= 64"),
        ([], "object"),
        ("x" * 5000, "longer than 4096 bytes"),
    ],
)
async def test_bad_verdicts(tmp_path: Path, body: Any, says: str) -> None:
    async with judged(tmp_path) as scene:
        refused = await say(scene, body)
        assert refused.status == 400
        assert says in refused.json["error"]["message"]


async def test_without_a_ledger(tmp_path: Path) -> None:
    async with ledgered(tmp_path, chat_json(), extra="ledger: {enabled: false}") as scene:
        assert (await scene.ask(chat(model=ROLE_NAME))).status == 200
        refused = await say(scene, {"request_id": "r", "score": 1}, {})
        assert (refused.status, refused.json["error"]["code"]) == (503, "ledger_unavailable")
        assert "ledger.enabled" in refused.json["error"]["message"]
