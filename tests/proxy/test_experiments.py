"""Experiments on a running gateway: who gets which arm, and what is recorded of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults import Client, chat, chat_json, error_json, request
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ROLE_NAME

if TYPE_CHECKING:
    from pathlib import Path

COOLER = """
experiments:
  cooler:
    on: role:rlm
    sticky: user
    arms:
      usual: {}
      cool: {params: {force: {temperature: 0.25}}}
"""


async def test_users_keep_their_arms(tmp_path: Path) -> None:
    """Two arms of one upstream with different parameters stay two. The answer, the ledger and the plan name the arm."""
    async with ledgered(tmp_path, chat_json(), extra=COOLER) as scene:
        arms: dict[str, set[str]] = {}
        for number in range(24):
            user = f"user-{number % 8}"
            response = await scene.ask(chat(model=ROLE_NAME, user=user))
            assert (response.status, response.headers["x-gateway-route"]) == (200, ROLE_NAME)
            arms.setdefault(user, set()).add(response.headers["x-gateway-arm"])
        assert all(len(one) == 1 for one in arms.values())
        assert set().union(*arms.values()) == {"cooler/usual", "cooler/cool"}
        for seen in scene.upstreams[0].requests:
            (arm,) = arms[seen.json["user"]]
            assert seen.json.get("temperature") == (0.25 if arm == "cooler/cool" else None)
        rows = await scene.rows()
        assert len(rows) == 24
        assert {row.arm for row in rows} == {"cooler/usual", "cooler/cool"}
        assert {row.route for row in rows} == {ROLE_NAME}
        async with Client(scene.running.port) as client:
            await client.send(request("GET", f"/v1/explain?model={ROLE_NAME}"))
            tried = (await client.response()).json["experiment"]
        assert (tried["name"], tried["share"], tried["sticky"], tried["mirror"]) == ("cooler", 1.0, "user", None)
        assert [(arm["name"], arm["share"], arm["params"]) for arm in tried["arms"]] == [
            ("usual", 0.5, {}),
            ("cool", 0.5, {"temperature": 0.25}),
        ]


async def test_an_arm_that_fails_is_rescued(tmp_path: Path) -> None:
    """By the usual models, and then by the client's own fallbacks; the call stays with its arm. Calls beyond the share
    and of other names belong to none."""
    arms = "{on: role:rlm, arms: {weak: second/m, same: {model: second/m, params: {seed: 1}}}}"
    extra = f"experiments: {{x: {arms}}}\nmodels: {{spare: third/m}}"
    answers = (chat_json(), error_json(500), chat_json())
    async with ledgered(tmp_path, *answers, extra=extra) as scene:
        response = await scene.ask(chat(model=ROLE_NAME))
        assert (response.status, response.headers["x-gateway-provider"]) == (200, "first")
        response = await scene.ask(chat(model=ROLE_NAME, models=["spare"]))
        assert (response.status, response.headers["x-gateway-provider"]) == (200, "first")
        assert response.headers["x-gateway-arm"] in ("x/weak", "x/same")
        other = await scene.ask(chat(model="spare"))
        assert "x-gateway-arm" not in other.headers
        rows = await scene.rows()
        assert [bool(row.arm) for row in rows] == [True, True, True, True, False]
