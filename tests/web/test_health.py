"""Whether a gateway is ready, and what of its background work is not well."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gateway.background.supervisor import Standing, Work
from gateway.stores.keys import FILE, SQLiteKeys
from tests.faults import Client, FaultyUpstream, chat, refuse_port, request
from tests.serving import config_of, serving
from tests.web.keyed import key, keyed, secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.app import App
    from gateway.config import Config
    from tests.faults import Response
    from tests.serving import Running

YAML = 'providers: {{one: {{kind: openai-compatible, base_url: "{0}", models: [m]}}}}\n{1}'


def app_of(running: Running) -> App:
    return running.app


async def asked(running: Running, sent: bytes) -> Response:
    async with Client(running.port) as client:
        await client.send(sent)
        return await client.response()


async def ready(running: Running) -> tuple[int, dict[str, Any]]:
    """Return what `/readyz` says but of the configuration."""
    response = await asked(running, request("GET", "/readyz"))
    return response.status, {name: said for name, said in response.json.items() if name != "configuration"}


def configured(upstream: FaultyUpstream, state: Path | str, extra: str = "", **environ: str) -> Config:
    return config_of(YAML.format(upstream.base_url, extra), {"GATEWAY_STATE_DIR": str(state), **environ})


async def test_a_database_of_keys_that_was_never_reached(tmp_path: Path) -> None:
    """A rollout with a wrong URL must not replace gateways that work."""
    with refuse_port() as port:
        url = f"postgresql://gateway@127.0.0.1:{port}/gateway"
        async with FaultyUpstream() as upstream:
            config = configured(upstream, tmp_path, "ledger: {enabled: false}", GATEWAY_DATABASE_URL=url)
            async with serving(config) as running:
                status, said = await ready(running)
                assert status == 503
                assert said["status"] == "the keys have not been read"
                assert said["keys"] == "unknown"
                assert (await asked(running, request("GET", "/livez"))).status == 200
                response = await asked(running, chat(model="one/m"))
                assert (response.status, response.json["error"]["code"]) == (503, "keys_unavailable")
            assert upstream.requests == []


async def test_keys_are_read_before_the_first_call(tmp_path: Path) -> None:
    """A store that is lost later takes nobody out of service, and opens nothing."""
    store = SQLiteKeys(tmp_path / FILE)
    store.insert(key("ci"))
    async with FaultyUpstream() as upstream, serving(configured(upstream, tmp_path)) as running:
        assert await ready(running) == (200, {"status": "ok"})
        assert (await asked(running, chat(model="one/m"))).status == 401
        (tmp_path / FILE).write_bytes(b"")
        await until(lambda: app_of(running)._keyring.problem != "")
        assert await ready(running) == (200, {"status": "ok", "keys": "stale"})
        assert (await asked(running, chat(model="one/m"))).status == 401
        good = chat(model="one/m", headers={"authorization": f"Bearer {secret('ci')}"})
        assert (await asked(running, good)).status == 200
        store.close()
    async with FaultyUpstream() as upstream, serving(configured(upstream, tmp_path)) as running:
        status, said = await ready(running)
        assert (status, said["status"]) == (503, "the keys have not been read")
        response = await asked(running, chat(model="one/m"))
        assert (response.status, response.json["error"]["code"]) == (503, "keys_unavailable")
        assert upstream.requests == []


async def test_revoking_beside_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    """The revoked key is refused within a second, and the unreadable one at once; the rest goes on."""
    async with keyed(tmp_path, key("bad"), key("gone"), key("good"), strict=False) as gate:

        async def status_of(name: str) -> tuple[int, str | None]:
            headers = {"authorization": f"Bearer {secret(name)}"} if name else {}
            response = await asked(gate.running, chat(model="role:rlm", headers=headers))
            return response.status, None if response.status == 200 else response.json["error"]["code"]

        for name in ("bad", "gone", "good"):
            assert await status_of(name) == (200, None)
        with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
            connection.execute("UPDATE virtual_keys SET budget_window = 'fortnight' WHERE name = 'bad'")
        await asyncio.to_thread(gate.store.revoke, "key_gone", time.time())
        revoked_at = time.monotonic()
        while (await status_of("gone"))[0] == 200:
            assert time.monotonic() - revoked_at < 1.0
        assert await status_of("gone") == (401, "revoked_api_key")
        assert await status_of("bad") == (401, "unreadable_api_key")
        assert await status_of("good") == (200, None)
        assert await status_of("") == (401, "invalid_api_key")


async def test_background_work_that_has_failed(tmp_path: Path) -> None:
    """It is named, with its kind and not its words, and takes nobody out of service; metrics count it."""
    async with FaultyUpstream() as upstream, serving(configured(upstream, tmp_path)) as running:
        supervisor = app_of(running).supervisor
        names = {"keys", "prices", "progress", "seeds", "retention", "alerts"}
        assert set(supervisor.standings) == names
        for name in names:
            assert running.metric(f'gateway_background_up{{task="{name}"}}') == 1.0

        async def fail() -> None:
            raise OSError(24, "Too many open files: /secret/path")

        supervisor.start([Work("probes", fail)])
        await until(lambda: supervisor.standings["probes"].restarts > 0)
        assert await ready(running) == (
            200,
            {"status": "ok", "background": {"probes": {"up": False, "restarts": 1, "last": "OSError"}}},
        )
        assert running.metric('gateway_background_up{task="probes"}') == 0.0
        assert running.metric('gateway_background_restarts_total{task="probes"}') == 1.0


@pytest.mark.parametrize("discover", [False, True])
async def test_all_background_work_is_supervised(discover: bool, tmp_path: Path) -> None:
    """Nothing is a task of its own that could end unnoticed, and at the end nothing is left."""
    before = asyncio.all_tasks()
    async with (
        FaultyUpstream(strict=False) as upstream,
        serving(configured(upstream, tmp_path), discover=discover) as running,
    ):
        supervisor = app_of(running).supervisor
        asks = {"discovery", "probes", "balances", "reconciliation"}
        assert asks <= set(supervisor.standings) if discover else not asks & set(supervisor.standings)
        assert {task.get_name() for task in supervisor._tasks} == set(supervisor.standings)
        assert all(standing == Standing() for standing in supervisor.standings.values())
    assert not [task for task in asyncio.all_tasks() - before if task.get_name() in asks | {"keys"}]


async def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 5.0
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
