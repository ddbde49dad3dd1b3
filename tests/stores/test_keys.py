"""Where keys are kept: each database does the same, and none loses what it was told."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config.settings import LedgerSettings
from gateway.core.keys import Kept
from gateway.stores.keys import NameTaken, SQLiteKeys, open_keys
from gateway.stores.keys_postgres import PostgresKeys
from gateway.stores.store import StoreError
from gateway.types import Key, Window
from tests.stores.databases import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stores.keys import KeyStore

ROOT = Path(__file__).parents[2]
NOW = 1_790_000_000.25


def key(name: str, **more: Any) -> Key:
    return Key(id=f"key_{name}", name=name, digest=name.encode().ljust(32, b"."), hint=name[-4:], **more)


FULL = key(
    "full", routes=("role:*", 'a"b'), budget_nanousd=2**53 + 1, budget_window=Window.LIFETIME, requests_per_min=1,
    tokens_per_min=2, max_streams=3, expires_at=NOW + 0.5, created_at=NOW, labels=(("team", "s e"),), may_admin=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], KeyStore]]:
    """Return what opens the same keys as often as it is called, as several processes do."""
    opened: list[KeyStore] = []
    if request.param == "sqlite":
        settings = LedgerSettings(state_dir=tmp_path / "deep" / "state")
    else:
        settings = LedgerSettings(database_url=request.getfixturevalue("server").database())

    def open_again() -> KeyStore:
        store = open_keys(settings)
        assert store is not None
        opened.append(store)
        return store

    yield open_again
    for store in opened:
        store.close()


def test_a_key_comes_back_as_it_was(again: Callable[[], KeyStore]) -> None:
    """Every field, also those that have nothing to say."""
    again().insert(FULL)
    again().insert(key("bare", created_at=NOW + 1))
    assert again().all() == [Kept(FULL), Kept(key("bare", created_at=NOW + 1))]


def test_every_change_is_seen_by_others(again: Callable[[], KeyStore]) -> None:
    """And what is not a change is not taken for one."""
    store, other = again(), again()
    seen = [other.version()]
    for change in (
        lambda: store.insert(key("a")),
        lambda: store.rotate("key_a", b"new", "new", NOW),
        lambda: store.revoke("key_a", NOW),
    ):
        change()
        assert other.version() == other.version()
        seen.append(other.version())
    assert len(set(seen)) == 4


def test_a_name_is_free_again_once_its_key_is_revoked(again: Callable[[], KeyStore]) -> None:
    """Not sooner; and keys without a name do not get in each other's way."""
    store = again()
    store.insert(key("ci"))
    second = Key(id="key_2", name="ci", digest=b"2")
    with pytest.raises(NameTaken):
        again().insert(second)
    store.revoke("key_ci", NOW)
    store.insert(second)
    store.insert(Key(id="key_3", digest=b"3"))
    store.insert(Key(id="key_4", digest=b"4"))
    assert len(store.all()) == 4


def test_revoking(again: Callable[[], KeyStore]) -> None:
    """Once, and it stays as it was the first time."""
    store = again()
    assert store.revoke("key_ci", NOW) is False
    store.insert(key("ci"))
    assert store.revoke("key_ci", NOW) is True
    assert again().revoke("key_ci", NOW + 9) is False
    assert [kept.key.revoked_at for kept in again().all()] == [NOW]
    assert store.rotate("key_ci", b"new", "new", NOW) is False
    assert store.all()[0] == Kept(key("ci", revoked_at=NOW))


def test_rotating(again: Callable[[], KeyStore]) -> None:
    """The secrets before are kept for their grace; a shorter one holds for all of them, a longer one does not."""
    store = again()
    store.insert(FULL)
    digests = [FULL.digest, b"second", b"third", b"fourth"]
    kept: Kept | None = None
    for digest, grace_s in ((b"second", 100.0), (b"third", 50.0), (b"fourth", 70.0)):
        assert store.rotate(FULL.id, digest, "hint", NOW + grace_s)
        (kept,) = again().all()
        assert kept.key.digest == digest
        assert kept.key.labels == FULL.labels
    assert kept is not None
    assert dict(kept.replaced) == {digests[0]: NOW + 50, digests[1]: NOW + 50, digests[2]: NOW + 70}
    assert store.rotate("key_other", b"x", "x", NOW) is False


WRITER = """
import sys
from pathlib import Path
from gateway.config.settings import LedgerSettings
from gateway.stores.keys import open_keys
from gateway.types import Key
where, me = sys.argv[1:]
settings = LedgerSettings(database_url=where) if "://" in where else LedgerSettings(state_dir=Path(where))
store = open_keys(settings)
for number in range(25):
    store.insert(Key(id=f"key_{me}_{number}", name=f"{me} {number}", digest=f"{me} {number}".encode()))
    store.rotate(f"key_{me}_{number}", f"{me} {number} new".encode(), "", 9.0)
store.close()
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_several_processes_write_at_once(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing is lost and nothing is damaged, also while the first of them makes the tables."""
    where = str(tmp_path) if database == "sqlite" else request.getfixturevalue("server").database()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, where, f"w{n}"], cwd=ROOT) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    store = SQLiteKeys(tmp_path / "keys.sqlite") if database == "sqlite" else PostgresKeys(where)
    found = store.all()
    store.close()
    assert len({kept.key.id for kept in found}) == 100
    assert all(len(kept.replaced) == 1 for kept in found)
    if database == "sqlite":
        connection = sqlite3.connect(tmp_path / "keys.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_looking_makes_no_file(tmp_path: Path) -> None:
    """Whoever has no keys finds nothing on the disk."""
    store = SQLiteKeys(tmp_path / "none" / "keys.sqlite")
    assert (store.version(), store.all(), store.revoke("key_1", NOW)) == (None, [], False)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_its_owner_s(tmp_path: Path) -> None:
    """It tells who may do what, and has a rollback journal."""
    store = SQLiteKeys(tmp_path / "state" / "keys.sqlite")
    store.insert(key("ci"))
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["keys.sqlite"]
    assert (tmp_path / "state" / "keys.sqlite").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    connection = store._existing()
    assert connection is not None
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    """A backup that is put back, or a file that is taken away, counts at once."""
    store, other = SQLiteKeys(tmp_path / "keys.sqlite"), SQLiteKeys(tmp_path / "other.sqlite")
    store.insert(key("ci"))
    other.insert(key("laptop"))
    other.close()
    before = store.version()
    (tmp_path / "other.sqlite").replace(tmp_path / "keys.sqlite")
    assert store.version() != before
    assert [kept.key.name for kept in store.all()] == ["laptop"]
    (tmp_path / "keys.sqlite").unlink()
    assert (store.version(), store.all()) == (None, [])
    store.close()


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """The message names it and what can be done; once it is mended all is well."""
    file = tmp_path / "keys.sqlite"
    store = SQLiteKeys(file)
    file.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"keys\.sqlite: file is not a database; let .* GATEWAY_STATE_DIR"):
        store.version()
    file.unlink()
    store.insert(key("ci"))
    assert len(store.all()) == 1
    store.close()


def test_there_may_be_no_place(tmp_path: Path) -> None:
    """Then there are no keys; a directory that cannot be is a mistake."""
    assert open_keys(LedgerSettings()) is None
    (tmp_path / "file").touch()
    store = SQLiteKeys(tmp_path / "file" / "keys.sqlite")
    assert store.all() == []
    with pytest.raises(StoreError, match="GATEWAY_STATE_DIR"):
        store.insert(key("ci"))


def test_a_server_that_is_away_or_hangs(server: PostgresServer) -> None:
    """It is said within seconds, without the password, and afterwards all is as it was."""
    with pytest.raises(StoreError, match="URL of the database") as refused:
        PostgresKeys("postgresql://u:s3cret/@host/name")
    assert "s3cret" not in str(refused.value)
    away = PostgresKeys("postgresql://gateway:s3cret@127.0.0.1:1/ledger")
    with pytest.raises(StoreError, match=r"at 127\.0\.0\.1: .*refused.*GATEWAY_DATABASE_URL") as refused:
        away.version()
    assert "s3cret" not in str(refused.value)
    store = PostgresKeys(server.database())
    store.insert(key("ci"))
    with server.stopped():
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"does not answer|timeout expired"):
            store.version()
        assert time.monotonic() - began < 6
    assert len(store.all()) == 1
    store.close()


# -- PostgreSQL that is not as it should be


def test_text_without_an_encoding_is_refused(server: PostgresServer) -> None:
    """By what it is and what to do; a gateway that cannot read its keys admits nobody."""
    server.tell("postgres", "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    store = PostgresKeys(server.url("bytes"))
    for ask in (store.version, store.all, lambda: store.insert(key("ci"))):
        with pytest.raises(StoreError, match=r"SQL_ASCII.*ENCODING 'UTF8'"):
            ask()
    store.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_the_client_s_encoding_is_ours(encoding: str, server: PostgresServer) -> None:
    """Whatever the user's, the database's or the URL's is."""
    url = server.database()
    name = url.partition("?")[0].rpartition("/")[2]
    server.tell("postgres", f"ALTER DATABASE {name} SET client_encoding = '{encoding}'")
    store = PostgresKeys(f"{url}&client_encoding={encoding}")
    store.insert(key("clé", labels=(("team", "é€"),)))
    assert [kept.key for kept in store.all()] == [key("clé", labels=(("team", "é€"),))]
    store.close()


def test_a_user_without_rights(server: PostgresServer) -> None:
    """The message says what the database refuses, and the remedy."""
    name = server.database().partition("?")[0].rpartition("/")[2]
    server.tell("postgres", "CREATE ROLE stranger LOGIN")
    store = PostgresKeys(server.url(name).replace("//gateway@", "//stranger@"))
    with pytest.raises(StoreError, match=r"permission denied for schema public.*ALTER DATABASE NAME OWNER TO USER"):
        store.all()
    store.close()


def test_keys_that_are_gone(again: Callable[[], KeyStore], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Keys are revoked and never deleted: an empty table that has had some is no store without keys."""
    store = again()
    store.insert(key("ci"))
    if isinstance(store, PostgresKeys):
        name = store._url.partition("?")[0].rpartition("/")[2]
        request.getfixturevalue("server").tell(name, "TRUNCATE virtual_keys CASCADE")
    else:
        with closing(sqlite3.connect(tmp_path / "deep" / "state" / "keys.sqlite")) as connection, connection:
            connection.execute("DELETE FROM virtual_keys")
    with pytest.raises(StoreError, match=r"all of them are gone.*gateway keys forget"):
        store.all()
    store.insert(key("new"))
    assert [kept.key.name for kept in store.all()] == ["new"]
    store.forget_lost()
    assert store.version() not in (0, None)
    if isinstance(store, PostgresKeys):
        request.getfixturevalue("server").tell(name, "TRUNCATE virtual_keys CASCADE")
        store.forget_lost()
        assert store.all() == []


def test_a_row_in_postgresql_that_cannot_be_read(server: PostgresServer) -> None:
    """The others are."""
    url = server.database()
    store = PostgresKeys(url)
    for name in ("a", "b"):
        store.insert(key(name))
    name = url.partition("?")[0].rpartition("/")[2]
    server.tell(name, "UPDATE virtual_keys SET budget_window = 'fortnight', expires_at = 'NaN' WHERE name = 'a'")
    first, second = store.all()
    assert first.problem
    assert (first.key.id, first.key.digest) == ("key_a", key("a").digest)
    assert second == Kept(key("b"))
    server.tell(name, "UPDATE virtual_keys SET budget_window = 'month' WHERE name = 'a'")
    assert store.all()[0].problem
    store.close()
