"""`gateway reload` and `gateway status`, and what a gateway does by itself when its files change."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import gateway_async, serving
from tests.faults import Client, FaultyUpstream, Pause, chat, chat_json, chat_stream, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.cli.command import Done, Running

STREAM = chat_stream("Hel", "lo")
SLOW = (*STREAM[:3], Pause(1.0), *STREAM[3:])
KEY = "sk-gateway-0123456789abcdef"


def written(folder: Path, upstream: FaultyUpstream, *aliases: str, server: str = "{}", more: str = "") -> None:
    """Write a configuration in which the aliases lead to the upstream."""
    models = ", ".join(f"{one}: a/m" for one in aliases)
    (folder / "gateway.yaml").write_text(
        f"server: {server}\nproviders: {{a: {{base_url: '{upstream.base_url}', models: [m], probe: false, "
        f"discover: false}}}}\nmodels: {{{models}}}\n{more}"
    )


@contextlib.asynccontextmanager
async def running_with(
    folder: Path, *args: str, watch: bool = False, server: str = ""
) -> AsyncIterator[tuple[Running, FaultyUpstream]]:
    """Serve the alias `one`. `watch`: it looks at its files by itself."""

    def answer(seen: Any) -> Any:
        return SLOW if seen.json.get("stream") else chat_json("Hi")

    async with FaultyUpstream(answer) as upstream:
        written(folder, upstream, "one", server=server or f"{{watch: {str(watch).lower()}}}")
        async with serving(*args, cwd=folder) as running:
            yield running, upstream


async def status_of(running: Running, model: str, key: str = "") -> int:
    async with Client(running.port) as client:
        await client.send(chat("Hi", model=model, headers={"authorization": f"Bearer {key}"} if key else {}))
        return (await client.response()).status


async def configuration(running: Running) -> dict[str, Any]:
    async with Client(running.port) as client:
        await client.send(request("GET", "/readyz"))
        found: dict[str, Any] = (await client.response()).json["configuration"]
        return found


async def until(reached: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await reached():  # noqa: ASYNC110  # another process tells nobody
            await asyncio.sleep(0.02)


async def reload(folder: Path, *args: str) -> Done:
    return await gateway_async("reload", *args, cwd=folder)


async def everywhere(running: Running, version: int) -> None:
    """Wait until each worker has a version: whichever takes a connection, twenty times in a row."""

    async def is_there() -> bool:
        return all([(await configuration(running))["version"] == version for _ in range(20)])

    await until(is_there)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_bad_file_changes_nothing_and_a_good_one_is_used(tmp_path: Path, workers: str) -> None:
    """The command names the mistakes and what must wait; a stream that is under way ends whole."""
    async with running_with(tmp_path, "--workers", workers) as (running, upstream), Client(running.port) as client:
        await client.send(chat("Hi", model="one", stream=True))
        stream = await client.head()
        written(tmp_path, upstream, "two", server="{watch: false}", more="rles: {}")
        done = await reload(tmp_path)
        assert (done.status, done.out) == (1, "")
        assert done.err == 'gateway.yaml:4:1: unknown key "rles"; did you mean "rules"?\nversion 1 stays in use\n'
        assert [await status_of(running, one) for one in ("one", "two")] == [200, 404]

        written(tmp_path, upstream, "two", server="{watch: false}", more="ledger: {retention: 7}")
        done = await reload(tmp_path)
        waits = "ledger.retention: 400 -> 7 takes effect after a restart"
        assert (done.status, done.out) == (0, f"version 2 of gateway.yaml is in use\n{waits}\n"), done.err
        await everywhere(running, 2)
        assert [await status_of(running, one) for one in ("one", "two")] == [404, 200]
        await client.finish(stream)
        assert stream.events[-1] == b"[DONE]"

        done = await gateway_async("status", "--json", cwd=tmp_path)
        said = done.json
        assert (done.status, said["pid"], said["workers"]) == (0, running.process.pid, int(workers))
        assert said["ready"]
        assert said["configuration"]["version"] == 2
        assert said["configuration"]["after_restart"] == [waits]
    assert "the configuration is not taken over, and version 1 stays in use" in "".join(running.err)
    assert "Traceback" not in "".join(running.err)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_files_are_read_when_they_have_changed(tmp_path: Path, workers: str) -> None:
    """Half of a file is not read while the other half is being written; a key comes with `.env`."""
    async with running_with(tmp_path, "--workers", workers, watch=True) as (running, upstream):
        file = tmp_path / "gateway.yaml"
        written(tmp_path, upstream, "one", "two", server="{api_keys: ['${OURS}']}")
        whole = file.read_text()
        (tmp_path / ".env").write_text(f"OURS={KEY}\n")
        for end in range(len(whole) - 8, len(whole) + 1):  # for longer than one look takes, some of it no YAML
            file.write_text(whole[:end])
            await asyncio.sleep(0.2)
        await everywhere(running, 2)
        assert [await status_of(running, "two", key) for key in ("", KEY)] == [401, 200]
        assert (await configuration(running))["error"] is None
    assert "not taken over" not in "".join(running.err)


async def test_a_worker_that_is_replaced_has_the_version_in_use(tmp_path: Path) -> None:
    """Also while the file has mistakes."""
    async with running_with(tmp_path, "--workers", "2") as (running, upstream):
        written(tmp_path, upstream, "two", server="{watch: false}")
        assert (await reload(tmp_path)).status == 0
        written(tmp_path, upstream, "three", server="{watch: false}", more="rles: {}")
        assert (await reload(tmp_path)).status == 1
        children = await asyncio.to_thread(_children, running.process.pid)
        assert len(children) == 2
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: _replaced(running))
        await everywhere(running, 2)
        assert (await configuration(running))["error"] is not None
        assert [await status_of(running, one) for one in ("two", "three")] == [200, 404]


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def _replaced(running: Running) -> bool:
    return sum("starting another" in line for line in running.err) == 2


async def test_keys_that_are_taken_out_open_nothing(tmp_path: Path) -> None:
    """A gateway that others can reach keeps its keys, and says why."""
    server = f"{{host: 0.0.0.0, api_keys: [{KEY}], watch: false}}"
    async with running_with(tmp_path, server=server) as (running, upstream):
        written(tmp_path, upstream, "one", server="{host: 127.0.0.1, watch: false}")
        done = await reload(tmp_path)
        assert done.status == 1
        assert "refusing to listen on 0.0.0.0 without a key" in done.err
        assert [await status_of(running, "one", key) for key in ("", KEY)] == [401, 200]


async def test_without_a_file_keys_are_looked_for_again(tmp_path: Path) -> None:
    """In `.env`; and a gateway.yaml that is new counts."""

    async def listed(running: Running) -> set[str]:
        async with Client(running.port) as client:
            await client.send(request("GET", "/v1/models"))
            return {one["id"] for one in (await client.response()).json["data"]}

    async with FaultyUpstream(chat_json("Hi")) as upstream, serving(cwd=tmp_path) as running:
        assert "groq/openai/gpt-oss-20b" not in await listed(running)
        (tmp_path / ".env").write_text("GROQ_API_KEY=gsk_0123456789\n")
        await until(lambda: _has(running, 2))
        assert "groq/openai/gpt-oss-20b" in await listed(running)
        written(tmp_path, upstream, "one")
        done = await reload(tmp_path)
        assert done.status == 0, done.err
        assert done.out == "version 3 of gateway.yaml is in use\n"
        assert await status_of(running, "one") == 200


async def _has(running: Running, version: int) -> bool:
    found: int = (await configuration(running))["version"]
    return found == version


async def test_a_file_that_is_gone_is_a_mistake(tmp_path: Path) -> None:
    async with running_with(tmp_path) as (running, _):
        (tmp_path / "gateway.yaml").unlink()
        done = await reload(tmp_path)
        assert done.status == 1
        assert "gateway.yaml: cannot be read: No such file or directory" in done.err
        assert await status_of(running, "one") == 200


async def test_status_of_a_gateway_that_is_well(tmp_path: Path) -> None:
    async with running_with(tmp_path) as (running, _):
        done = await gateway_async("status", cwd=tmp_path)
        assert done.status == 0
        first, second, third, _, *table = done.out.splitlines()
        at = f"pid {running.process.pid}, http://127.0.0.1:{running.port}, 1 worker"
        assert first.startswith(f"gateway        {at}, up ")
        assert second == "ready          yes"
        assert third.startswith("configuration  version 1 of gateway.yaml, read ")
        assert table[0].split()[:3] == ["PROVIDER", "REACHABLE", "KEY"]
        assert [line.split()[0] for line in table[1:]] == ["a"], done.out
        said = (await gateway_async("status", "--json", cwd=tmp_path)).json
        assert [one["name"] for one in said["providers"]] == ["a"]


@pytest.mark.parametrize("command", ["reload", "status"])
async def test_no_gateway_is_no_answer(tmp_path: Path, command: str) -> None:
    """Also when one was killed and its lock file is still there."""
    done = await gateway_async(command, cwd=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("no gateway has the state directory")
    async with running_with(tmp_path) as (running, _):
        running.process.kill()
        await running.process.wait()
        assert (await gateway_async(command, cwd=tmp_path)).err == done.err
