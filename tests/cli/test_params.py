"""`gateway params`: on the files alone, and with a gateway that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import Done, gateway, gateway_async
from tests.cli.test_reload import running_with, status_of

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
defaults: {params: {temperature: 0.7}}
providers: {a: {kind: vllm, base_url: "http://127.0.0.1:1/v1", models: [x], params: {clamp: {temperature: [0, 1]}}}}
models: {main: a/x}
roles: {rlm: main}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(FILE)
    return tmp_path


def params(folder: Path, *args: str) -> Done:
    return gateway("params", *args, cwd=folder)


def test_set_show_unset(folder: Path) -> None:
    """A value set at run time is shown with its place; unset, the outer level counts again."""
    done = params(folder, "set", "role:rlm", "temperature=0.2", "force.max_tokens=400", "drop=[seed]")
    assert (done.status, "role:rlm: temperature=0.2" in done.out) == (0, True)
    shown = params(folder, "show", "role:rlm").out
    rows = {line.split()[1]: line for line in shown.splitlines()[1:]}
    assert "role:rlm (" in rows["temperature=0.2"]
    assert "overlay.yaml:" in rows["temperature=0.2"]
    assert "max_tokens=400 (forced)" in rows["max_tokens=400"]
    assert "drop seed" in rows["drop"]
    assert "clamp temperature=0..1" in rows["clamp"]
    assert "gateway.yaml:2" in rows["clamp"]
    assert "global" not in rows["temperature=0.2"]
    (candidate,) = params(folder, "show", "role:rlm@precise", "--json").json["candidates"]
    value = next(one for one in candidate["params"] if (one["verb"], one["field"]) == ("default", "temperature"))
    assert (value["value"], value["origins"][0]["level"]) == (0.1, "preset:precise")
    listed = params(folder, "list").out
    assert "preset:economical" in listed
    assert "role:rlm" in listed
    assert params(folder, "unset", "role:rlm", "temperature", "force.max_tokens").status == 0
    assert "global (" in params(folder, "show", "role:rlm").out


def test_dry_run_changes_nothing(folder: Path) -> None:
    """It shows the difference."""
    done = params(folder, "set", "main", "top_p=0.5", "--dry-run")
    assert (done.status, "+      top_p: 0.5" in done.out) == (0, True)
    assert not list(folder.rglob("overlay.yaml"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("set", "role:rml", "temperature=1"), 'did you mean "role:rlm"'),
        (("set", "main", "temperature"), "write FIELD=VALUE"),
        (("set", "main", "temperature="), "gateway params unset main temperature"),
        (("set", "main", "top_p=[1"), "top_p: "),
        (("set", "main", "model=x"), "comes from the call, never from parameters"),
        (("set", "main", "clamp.top_p=[2,1]"), "clamp.top_p"),
        (("set", "a/x", "top_p=1"), "gateway alias set"),
        (("unset", "main", "top_p"), 'main does not set "top_p"'),
        (("show", "role:rml"), 'unknown role "rml"'),
        (("show", "main@creatve"), 'did you mean "creative"'),
    ],
)
def test_mistakes(folder: Path, args: tuple[str, ...], said: str) -> None:
    """Each names the thing and the remedy."""
    done = params(folder, *args)
    assert done.status != 0
    assert said in done.err, done.err


async def test_a_running_gateway_uses_it_at_once(tmp_path: Path) -> None:
    """The next call has the new value, and the change needs no restart."""
    async with running_with(tmp_path) as (running, upstream):
        assert await status_of(running, "one") == 200
        done = await gateway_async("params", "set", "one", "temperature=0.2", cwd=tmp_path)
        assert "the running gateway uses it" in done.out
        assert await status_of(running, "one") == 200
    assert [one.json.get("temperature") for one in upstream.requests] == [None, 0.2]
