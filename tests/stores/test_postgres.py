"""What is particular to a ledger on a server: it fails in every way a server can, and several gateways write it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

import psycopg
import pytest

from gateway.stores.postgres import PostgresStore
from gateway.stores.store import Position, StoreError
from tests.stores.attempts import WRITER, kept, recomputed, row, summed, versions
from tests.stores.databases import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    with PostgresStore(url) as opened:
        yield opened


def name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def test_it_connects_when_it_has_something_to_do(server: PostgresServer) -> None:
    """A gateway starts while its database does not."""
    store = PostgresStore("postgresql://gateway@127.0.0.1:1/ledger")
    assert repr(store) == "<PostgresStore PostgreSQL at 127.0.0.1, database ledger>"
    with pytest.raises(StoreError, match=r"PostgreSQL at 127\.0\.0\.1, database ledger: .*refused"):
        store.write([row(1)])
    with (
        PostgresStore(server.url("nowhere")) as other,
        pytest.raises(StoreError, match='"nowhere" does not exist; check that'),
    ):
        other.write([row(1)])


def test_a_server_that_is_killed(server: PostgresServer, store: PostgresStore) -> None:
    """What was written is there when it is back, and nothing has to be done about the connection."""
    store.write([row(1)])
    server.kill()
    for _ in range(2):
        with pytest.raises(StoreError, match="PostgreSQL at"):
            store.write([row(2)])
    server.start()
    store.write([row(2)])
    assert summed(store) == recomputed([row(1), row(2)])


def test_a_server_that_hangs(server: PostgresServer, url: str) -> None:
    """It is waited for a little, on the connection it has and on a new one, and then it works again."""
    with PostgresStore(url, statement_s=0.2) as store:
        store.write([row(1)])
        for _ in range(2):
            with server.stopped():
                began = time.monotonic()
                with pytest.raises(StoreError):
                    store.write([row(2)])
                assert time.monotonic() - began < 6.0
        store.write([row(2)])
        assert store.totals()[0].attempts == 2


def test_a_place_where_nobody_answers() -> None:
    """It takes connections and keeps silent, as what is behind a lost route does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        store = PostgresStore(f"postgresql://gateway@127.0.0.1:{port}/ledger")
        began = time.monotonic()
        with pytest.raises(StoreError, match="timeout"):
            store.totals()
        assert time.monotonic() - began < 6.0


def test_a_statement_that_takes_too_long(url: str) -> None:
    """The server itself ends it, so that it does not go on for nobody."""
    with PostgresStore(url, statement_s=0.2) as store, psycopg.connect(url) as other:
        store.write([row(1)])
        other.execute("LOCK TABLE attempts")
        with pytest.raises(StoreError, match=r"it did not finish in time.*57014"):
            store.write([row(2)])
        other.rollback()
        store.write([row(2)])
        assert store.totals()[0].attempts == 2


def test_a_connection_that_was_cut_while_nothing_happened(
    server: PostgresServer, store: PostgresStore, url: str
) -> None:
    """Nothing had been asked of it, so nobody notices."""
    store.write([row(1)])
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    assert server.tell(name_of(url), f"SELECT pg_terminate_backend(pid) {others}") == [(True,)]
    store.write([row(2)])
    assert store.totals()[0].attempts == 2


def test_a_server_that_has_become_a_replica(server: PostgresServer, store: PostgresStore, url: str) -> None:
    """It is said, it can be read, and the next call finds the new primary."""
    store.write([row(1)])
    name = name_of(url)
    server.tell("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store.close()
    with pytest.raises(StoreError, match=r"it is read-only; after a failover.*25006"):
        store.write([row(2)])
    assert store.totals()[0].attempts == 1
    server.tell("postgres", f"ALTER DATABASE {name} RESET default_transaction_read_only")
    with pytest.raises(StoreError, match="25006"):
        store.write([row(2)])
    store.write([row(2)])
    assert store.totals()[0].attempts == 2


@contextmanager
def deaf_to_commits(server: PostgresServer) -> Iterator[tuple[str, list[bool]]]:
    """Stand before the server, and lose its answer to the first COMMIT that comes after the list has been filled."""
    cut: list[bool] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(str(server.socket))
                relay(client, upstream)

    def relay(client: socket.socket, upstream: socket.socket) -> None:
        client.settimeout(0.005)
        upstream.settimeout(0.005)
        while True:
            for source, target in ((client, upstream), (upstream, client)):
                try:
                    heard = source.recv(1 << 20)
                except TimeoutError:
                    continue
                if not heard:
                    return
                target.sendall(heard)
                if cut and source is client and b"COMMIT\0" in heard:
                    cut.clear()
                    upstream.settimeout(10.0)
                    assert b"COMMIT" in upstream.recv(1 << 20)
                    return

    with TemporaryDirectory(prefix="gateway-relay-") as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/.s.PGSQL.5432")
        listener.listen()
        thread = Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield directory, cut
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_commit_whose_answer_is_lost(server: PostgresServer, url: str) -> None:
    """It has been done and nobody knows; doing it once more changes nothing."""
    with (
        deaf_to_commits(server) as (directory, cut),
        PostgresStore(f"postgresql://gateway@/{name_of(url)}?host={directory}") as store,
    ):
        store.write([row(1)])
        cut.append(True)
        batch, position = [row(1, version=1 << 21, cost_nanousd=5), row(2)], Position(WRITER, 1, 7)
        with pytest.raises(StoreError, match="closed"):
            store.write(batch, position)
        with PostgresStore(url) as other:
            assert (len(kept(other)), other.position(WRITER)) == (2, position)
        store.write(batch, position)
        assert kept(store) == batch
        assert summed(store) == recomputed(batch)


def test_gateways_write_at_the_same_time(url: str) -> None:
    """Into the same sums, and two of them import the same journal: each attempt counts once."""
    journals = [f"{number:012x}" for number in (1, 2, 2, 3)]
    histories = []
    for journal in journals:
        rng = Random(journal)
        known = [versions(rng, call) for call in range(80)]
        for ones in known:
            for one in ones:
                one.attempt = journal + one.attempt[12:]
        histories.append([one for ones in known for one in ones])

    def run(number: int) -> None:
        rng, history = Random(number), histories[number]
        with PostgresStore(url) as store:
            for start in range(0, len(history), 10):
                batch = history[start : start + 10]
                store.write(batch + rng.choices(history[: start + 10], k=5), Position(journals[number], 1, start))

    with ThreadPoolExecutor(len(journals)) as threads:
        assert list(threads.map(run, range(len(journals)))) == [None] * 4
    with PostgresStore(url) as store:
        rows = kept(store)
        assert len(rows) == 3 * 80
        assert [(one.attempts, one.cost_nanousd) for one in store.totals(("hour", "key"))] == [
            (one.attempts, one.cost_nanousd) for one in recomputed(rows, ("hour", "key"))
        ]


def test_a_deadlock_is_tried_again(server: PostgresServer, store: PostgresStore, url: str) -> None:
    """Somebody who writes sums in another order than gateways do makes them neither lose nor fail."""
    server.tell("postgres", f"ALTER DATABASE {name_of(url)} SET deadlock_timeout = '500ms'")
    store.write([row(1, key="a"), row(1, 2, key="b")])
    store.close()
    touch = "UPDATE sums SET calls = calls WHERE key = '{}'"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(touch.format("b").encode())
        writing = thread.submit(store.write, [row(2, key="a"), row(2, 2, key="b")])
        while not server.tell(name_of(url), waiting):
            time.sleep(0.005)
        other.execute(touch.format("a").encode())
        other.commit()
        writing.result(10.0)
    assert [(one.group, one.attempts) for one in store.totals(("key",))] == [(("a",), 2), (("b",), 2)]


def test_purging_at_the_same_time(url: str) -> None:
    """Two gateways do not wait for each other, and nothing is counted twice."""
    with PostgresStore(url) as one, PostgresStore(url) as other, ThreadPoolExecutor(2) as threads:
        one.write([row(call) for call in range(2000)])
        purges = [
            threads.submit(lambda store: sum(store.purge(2e9, batch=100) for _ in range(30)), s) for s in (one, other)
        ]
        assert sum(purge.result() for purge in purges) == 2000
        assert (kept(one), one.totals()[0].attempts) == ([], 2000)


SECRET = "h4nter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://user:{SECRET}%zz@127.0.0.1:1/ledger",
        f"postgresql://user:{SECRET}/x@127.0.0.1:1/ledger",
        f"postgresql://user:1/{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://user:x@{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://user:1?{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://user:[{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://user:x@127.0.0.1:{SECRET}/ledger",
        f"postgresql://user@127.0.0.1:1/ledger?password={SECRET}&sslmode=nonsense",
        f"postgresql://user@127.0.0.1:1/ledger?{SECRET}=1",
        f"host=127.0.0.1 port=1 password={SECRET} dbname=ledger",
        f"host=127.0.0.1 password='{SECRET}",
        SECRET,
    ],
)
def test_the_password_is_in_no_message(url: str) -> None:
    """However it is written, also when its characters have it cut in the wrong place."""
    with pytest.raises(StoreError) as said:
        PostgresStore(url).totals()
    error: BaseException | None = said.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ if error.__cause__ or error.__suppress_context__ else error.__context__


def test_without_the_driver() -> None:
    """It is said how to get it."""
    code = "import sys; sys.modules['psycopg'] = None; import gateway.stores.postgres"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "StoreError: PostgreSQL needs a driver that is missing: pip install 'llm-gateway[postgres]'" in done.stderr
