"""Parameters over the admin API: shown with their origins, changed by version, rehearsed, told by the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.web.admin.scene import administered

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_life_of_a_parameter(tmp_path: Path) -> None:
    """Rehearsed, refused for an old version, set, shown with its origin, used, told and removed."""
    async with administered(tmp_path) as scene:
        first = await scene.version()
        rehearsal = await scene.ask("PATCH", "/params/role:rlm?dry_run=true", {"temperature": 0.2}, version=first)
        assert "+      temperature: 0.2" in rehearsal.json["diff"]
        assert await scene.version() == first
        assert (await scene.ask("PATCH", "/params/role:rlm", {"temperature": 0.2})).status == 428
        assert (await scene.ask("PATCH", "/params/role:rlm", {"temperature": 0.2}, version="old")).status == 412
        done = await scene.edit("PATCH", "/params/role:rlm", {"temperature": 0.2, "force": {"seed": 1}})
        assert (done["stored"], done["in_use"]) == (True, True)

        response = await scene.ask("GET", "/params/role:rlm@calm")
        assert response.headers["etag"] == f'"{done["version"]}"'
        shown = response.json
        assert (shown["name"], shown["preset"]) == ("role:rlm", "calm")
        found = {one["field"]: one for one in shown["candidates"][0]["params"]}
        assert found["temperature"]["origins"][0]["level"] == "preset:calm"
        assert found["seed"]["verb"] == "force"
        assert found["seed"]["origins"][0]["file"].endswith("overlay.yaml")

        listed = {one["name"]: one for one in (await scene.get("/params"))["data"]}
        assert listed["role:rlm"]["value"] == {"temperature": 0.2, "force": {"seed": 1}}
        assert listed["role:rlm"]["set_in"] == "run_time"
        assert listed["other"]["set_in"] == "file"

        await scene.edit("PATCH", "/params/role:rlm", {"temperature": None})
        gone = await scene.ask("PATCH", "/params/role:rlm", {"temperature": None}, version="*")
        assert (gone.status, "does not set" in gone.json["error"]["message"]) == (400, True)
        steps = [step["path"] for line in (await scene.get("/history"))["data"] for step in line["steps"]]
        assert steps.count("roles.rlm.params") == 2


async def test_bad_names(tmp_path: Path) -> None:
    """A level or a name that does not exist is refused with what is meant."""
    async with administered(tmp_path) as scene:
        unknown = await scene.ask("PATCH", "/params/role:rml", {"temperature": 1}, version="*")
        assert (unknown.status, 'did you mean "role:rlm"' in unknown.json["error"]["message"].replace('\\', "")) == (
            404, True,
        )  # fmt: skip
        assert (await scene.ask("GET", "/params/nothing-like-it")).status == 404
        assert (await scene.ask("PATCH", "/params/main", [1], version="*")).status == 400
