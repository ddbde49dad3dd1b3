"""One gateway at a time has a state directory, and what the last one left there is put in order first."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from gateway.cli.state import LOCK, claimed, recover
from gateway.cli.terminal import Unusable
from gateway.core.ledger import RowState
from gateway.stores.journal_segments import segment_path
from gateway.stores.keys import SQLiteKeys
from gateway.stores.sqlite import SQLiteStore
from tests.cli.command import gateway, gateway_async, serving
from tests.faults import Client, FaultyUpstream, chat, chat_json, free_port, request
from tests.proxy.ledgered import rows_in
from tests.serving import config_of
from tests.stores.attempts import attempt, row
from tests.stores.journal_records import A, intent, leave, settle
from tests.web.keyed import key, secret

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config
    from tests.cli.command import Running

WITH_DATABASE = "stores: {database: 'postgresql://127.0.0.1:9/none?connect_timeout=1'}"


def configured(folder: Path | None, more: str = "") -> Config:
    return config_of(f"providers: {{}}\n{more}", {} if folder is None else {"GATEWAY_STATE_DIR": str(folder)})


async def status_of(running: Running, *, model: str = "a/m", headers: dict[str, str] | None = None) -> int:
    async with Client(running.port) as client:
        await client.send(chat(model=model, headers=headers))
        return (await client.response()).status


# -- one at a time


def test_a_claim_lasts_until_it_is_released(tmp_path: Path) -> None:
    """Whoever comes meanwhile is told who has it and what to do; a lock that is merely there keeps nobody out."""
    config = configured(tmp_path / "a" / "state")
    folder = tmp_path / "a" / "state"
    same, claim = claimed(config)
    assert same is config
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / LOCK).read_text() == f"{os.getpid()}\n"
    with pytest.raises(Unusable) as refused:
        claimed(config)
    message = refused.value.format_message()
    assert f"another gateway (pid {os.getpid()}) uses the state directory {folder}" in message
    assert "GATEWAY_STATE_DIR" in message
    claim.release()
    claim.release()
    (folder / LOCK).write_text("4194304 and more than a number")
    _, again = claimed(config)
    assert (folder / LOCK).read_text() == f"{os.getpid()}\n"
    again.release()


def test_where_nothing_is_kept_nothing_is_claimed(tmp_path: Path) -> None:
    """Without a place, or without a ledger."""
    for config in (configured(None), configured(tmp_path / "state", "ledger: {enabled: false}")):
        for _ in range(2):
            assert claimed(config)[0] is config
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_gateway_refuses_to_start(tmp_path: Path, workers: str) -> None:
    """Clearly, and whatever port it has; once the first has ended or was killed, it starts."""
    env = {"GATEWAY_STATE_DIR": str(tmp_path / "state")}
    args = ("run", "--workers", workers)
    async with serving(*args, cwd=tmp_path, env=env) as first:
        second = await gateway_async("run", "--port", str(free_port()), cwd=tmp_path, env=env)
        assert (second.status, second.out) == (2, "")
        assert f"another gateway (pid {first.process.pid}) uses the state directory {tmp_path / 'state'}" in second.err
        assert "set GATEWAY_STATE_DIR to another directory" in second.err
        assert "Traceback" not in second.err
        assert await first.get("/readyz") == 200
        other = {"GATEWAY_STATE_DIR": str(tmp_path / "other")}
        async with serving("run", cwd=tmp_path, env=other) as beside:
            assert await beside.end() == 0
        assert await first.end() == 0
    async with serving(*args, cwd=tmp_path, env=env) as third:
        third.process.send_signal(signal.SIGKILL)
        await third.process.wait()
    async with serving(*args, cwd=tmp_path, env=env) as fourth:
        first_line, told = (tmp_path / "state" / LOCK).read_text().splitlines()
        assert first_line == str(fourth.process.pid)
        assert json.loads(told)["port"] == fourth.port


# -- a place that cannot be written


async def test_without_the_usual_place_it_serves_all_the_same(tmp_path: Path) -> None:
    """And says that nothing is written down."""
    (tmp_path / "file").write_text("no directory")
    async with FaultyUpstream(chat_json()) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{a: {{base_url: '{upstream.base_url}'}}}}\n")
        env = {"XDG_STATE_HOME": str(tmp_path / "file")}
        async with serving(cwd=tmp_path, env=env) as running:
            said = running.banner + "".join(running.err)
            assert f"{tmp_path / 'file' / 'gateway'} cannot be written" in said
            assert "no call is recorded; set GATEWAY_STATE_DIR" in said
            assert await status_of(running) == 200
            assert await running.end() == 0


def test_the_usual_place_with_keys_is_not_done_without(tmp_path: Path) -> None:
    """Or a directory that cannot be written any more would open the gateway."""
    folder = tmp_path / "gateway"
    store = SQLiteKeys(folder / "keys.sqlite")
    store.insert(key("ci"))
    store.close()
    (folder / LOCK).mkdir()  # which nobody can write, not even root
    env = {"XDG_STATE_HOME": str(tmp_path)}
    done = gateway("run", "--port", "0", cwd=tmp_path, env=env)
    assert (done.status, done.out) == (2, "")
    assert "it may contain keys" in done.err
    assert "Traceback" not in done.err
    (folder / "keys.sqlite").rename(folder / "keys.seen")
    assert gateway("run", "--port", "0", cwd=tmp_path, env=env).status == 2


@pytest.mark.parametrize("said", ["environment", ".env"])
def test_a_place_of_ones_choice_must_be_usable(tmp_path: Path, said: str) -> None:
    """Wherever it was chosen: it would be a surprise to find nothing there later."""
    (tmp_path / "file").write_text("no directory")
    (tmp_path / "gateway.yaml").write_text("providers: {}\n")
    place = str(tmp_path / "file" / "state")
    if said == ".env":
        (tmp_path / ".env").write_text(f"GATEWAY_STATE_DIR={place}\n")
    done = gateway("run", "--port", "0", cwd=tmp_path, env={"GATEWAY_STATE_DIR": place} if said != ".env" else {})
    assert (done.status, done.out) == (2, "")
    assert f"the state directory {place} cannot be written: Not a directory." in done.err
    assert "set GATEWAY_STATE_DIR to another directory" in done.err
    assert "Traceback" not in done.err


# -- what was left behind


@pytest.mark.parametrize("content", [b"this is no database, whatever it is called" * 100, b"SQLite format 3\0" * 300])
def test_a_ledger_that_is_none(tmp_path: Path, content: bytes) -> None:
    """Is left alone, and named."""
    file = tmp_path / "state" / "ledger.sqlite"
    file.parent.mkdir()
    file.write_bytes(content)
    done = gateway("run", "--port", "0", cwd=tmp_path, env={"GATEWAY_STATE_DIR": str(file.parent)})
    assert (done.status, done.out) == (2, "")
    assert "the ledger cannot be used" in done.err
    assert str(file) in done.err
    assert "Traceback" not in done.err
    assert file.read_bytes() == content


async def test_a_ledger_with_damaged_pages(tmp_path: Path) -> None:
    """It is said before anything else, calls go on, and what they cost stays in the journal."""
    file = tmp_path / "state" / "ledger.sqlite"
    with SQLiteStore(file) as store:
        store.write([row(call, provider_id="x" * 500) for call in range(2000)])
    whole = await asyncio.to_thread(file.read_bytes)
    await asyncio.to_thread(file.write_bytes, whole[:100_000] + b"\xff" * (len(whole) - 200_000) + whole[-100_000:])
    async with FaultyUpstream(chat_json()) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{a: {{base_url: '{upstream.base_url}'}}}}\n")
        async with serving("run", cwd=tmp_path, env={"GATEWAY_STATE_DIR": str(file.parent)}) as running:
            said = "".join(running.err)
            assert f"the ledger is damaged ({file}: " in said
            assert "restore a backup" in said
            assert "Traceback" not in said
            assert await status_of(running) == 200
            assert await running.end() == 0
    assert list((file.parent / "journal").glob("*.log"))


async def test_a_journal_with_a_damaged_end(tmp_path: Path) -> None:
    """It starts; what came before the damage is in the ledger, the rest is kept, and somebody is told."""
    folder = tmp_path / "state"
    leave(folder / "journal", [settle(attempt(1, 1, A)), intent(attempt(2, 1, A)), settle(attempt(3, 1, A))])
    segment = segment_path(folder / "journal", A, 1)
    damaged = bytearray(segment.read_bytes())
    last = damaged.rindex(b"chatcmpl-1")
    damaged[last] ^= 1
    segment.write_bytes(damaged)
    async with serving("run", cwd=tmp_path, env={"GATEWAY_STATE_DIR": str(folder)}) as running:
        assert await running.get("/readyz") == 200
        assert await running.end() == 0
    rows = rows_in(folder)
    assert [(row.attempt, row.state) for row in rows] == [
        (attempt(1, 1, A), RowState.SETTLED), (attempt(2, 1, A), RowState.IN_DOUBT),
    ]  # fmt: skip
    assert [file.name for file in (folder / "journal").glob("*.quarantined")] == [f"{segment.name}.quarantined"]
    said = "".join(running.err)
    assert "1 journal segments are damaged" in said
    assert "1 calls were under way when the gateway ended last; their costs are estimates" in said


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    segment_path(tmp_path / "journal", A, 1).mkdir(parents=True)
    with pytest.raises(Unusable, match="the ledger's journal cannot be read"):
        recover(configured(tmp_path))


def test_a_database_that_is_away_is_no_reason_not_to_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The journal keeps the calls until it is back."""
    pytest.importorskip("psycopg")
    leave(tmp_path / "journal", [settle(attempt(1, 1, A))])
    recover(configured(tmp_path, WITH_DATABASE))
    said = capsys.readouterr().err
    assert "the ledger's database is away; calls are kept in the journal until it is back" in said


# -- strangers


async def test_a_virtual_key_lets_it_listen_everywhere(tmp_path: Path) -> None:
    """Nobody comes in without one then."""
    env = {"GATEWAY_STATE_DIR": str(tmp_path / "state")}
    made = await gateway_async("keys", "create", "ci", cwd=tmp_path, env=env)
    assert made.status == 0
    async with FaultyUpstream(chat_json()) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{a: {{base_url: '{upstream.base_url}'}}}}\n")
        async with serving("run", "--host", "0.0.0.0", cwd=tmp_path, env=env) as running:
            assert "without api_keys" not in running.banner
            assert await status_of(running) == 401


def test_a_key_that_is_revoked_lets_nobody_listen_everywhere(tmp_path: Path) -> None:
    store = SQLiteKeys(tmp_path / "keys.sqlite")
    store.insert(key("ci"))
    store.revoke("key_ci", 1.0)
    store.close()
    done = gateway("run", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, env={"GATEWAY_STATE_DIR": str(tmp_path)})
    assert (done.status, done.out) == (2, "")
    assert "refusing to listen on 0.0.0.0 without a key" in done.err


def test_keys_that_cannot_be_read_let_nobody_listen_everywhere(tmp_path: Path) -> None:
    """For this machine alone they are no reason not to start."""
    (tmp_path / "keys.sqlite").write_bytes(b"this is no database" * 100)
    done = gateway("run", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, env={"GATEWAY_STATE_DIR": str(tmp_path)})
    assert (done.status, done.out) == (2, "")
    assert "whether there are keys cannot be told" in done.err
    assert "Traceback" not in done.err


def test_secrets_are_in_no_message(tmp_path: Path) -> None:
    """Nor in what another gateway is told."""
    config = configured(tmp_path, f"server: {{api_keys: ['{secret('ci')}']}}")
    _, claim = claimed(config)
    with pytest.raises(Unusable) as refused:
        claimed(config)
    claim.release()
    assert "sk-gw" not in refused.value.format_message()


# -- the admin key


async def test_an_admin_key_is_made_once(tmp_path: Path) -> None:
    """The first start shows it, later ones do not; it administers, and commands find it."""
    (tmp_path / "gateway.yaml").write_text("providers: {a: {kind: vllm, base_url: 'http://127.0.0.1:9/v1'}}")
    async with serving(cwd=tmp_path) as running:
        found = re.search(r"admin key +(sk-admin-\S+)", running.banner)
        assert found
        for headers, status in (
            ({"x-api-key": found[1]}, 200), ({"authorization": f"Bearer {found[1]}"}, 200),
            ({}, 401), ({"x-api-key": "sk-another-0123456789"}, 401),
        ):  # fmt: skip
            assert await administers(running, headers) == status
        assert await status_of(running) == 502  # on this machine, calls need no key
        done = await gateway_async("providers", cwd=tmp_path)
        assert "not known how they are" not in done.err
        await gateway_async("reload", cwd=tmp_path)
        assert await administers(running, {"x-api-key": found[1]}) == 200
    async with serving(cwd=tmp_path) as running:
        assert "admin key" not in running.banner
        assert found[1] not in "".join(running.out + running.err)
        assert await administers(running, {"x-api-key": found[1]}) == 200
    async with serving(cwd=tmp_path, env={"GATEWAY_ADMIN_KEY": "sk-configured-0123456789"}) as running:
        assert await administers(running, {"x-api-key": found[1]}) == 401
        assert await administers(running, {"x-api-key": "sk-configured-0123456789"}) == 200


async def administers(running: Running, headers: dict[str, str]) -> int:
    async with Client(running.port) as client:
        await client.send(request(target="/admin/v1/config", headers=headers))
        return (await client.response()).status
