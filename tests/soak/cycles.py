"""Start the gateway, load it, end it at a random moment, and compare three accounts of what happened."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.ledger import RowState
from gateway.stores.postgres import PostgresStore
from gateway.stores.sqlite import SQLiteStore
from tests.cli.command import command, environment
from tests.faults.ports import free_port
from tests.soak.biller import INPUT_TOKENS, Biller, call

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from random import Random

    from gateway.core.ledger import Row
    from gateway.stores.store import Store

CLIENTS = 12
START_WITHIN_S = 20.0
# In nano-USD per token: $2 and $10 per million.
INPUT_PRICE, OUTPUT_PRICE = 2_000, 10_000


def configuration(first: Biller, second: Biller, more: str = "") -> str:
    """Return a gateway.yaml with two providers, the second stepping in for the first."""
    return f"""
providers:
  first: {{kind: openai-compatible, base_url: "http://127.0.0.1:{first.port}/v1", local: false, probe: false,
           discover: false, price: {{input: 2, output: 10}}}}
  second: {{kind: openai-compatible, base_url: "http://127.0.0.1:{second.port}/v1", local: false, probe: false,
            discover: false, price: {{input: 2, output: 10}}}}
roles: {{x: {{models: [first/a, second/b]}}}}
{more}
"""


@dataclass(slots=True)
class Soak:
    """Many lives of one gateway."""

    folder: Path
    """Where gateway.yaml is; the state directory is below it."""
    rng: Random
    env: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    database: str = ""
    """The URL of the PostgreSQL that has the ledger; empty: SQLite."""
    name: str = "call"
    """What the names of its calls begin with."""
    seen: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """What clients saw, by call."""
    waits: list[float] = field(default_factory=list)
    """How long clients waited for the first byte, in seconds, in the order in which it came."""
    lives: int = 0
    _numbers: int = 0

    @property
    def ledger(self) -> Path:
        return self.folder / "state" / "ledger.sqlite"

    @property
    def environment(self) -> dict[str, str]:
        """What its commands are told."""
        where = {"GATEWAY_DATABASE_URL": self.database} if self.database else {}
        return {"GATEWAY_STATE_DIR": str(self.folder / "state"), **where, **self.env}

    async def live(self, end: signal.Signals, for_s: float) -> None:
        """Let the gateway live for so long under load, then end it."""
        process, port = await self.start()
        self.lives += 1
        async with self.loaded(port):
            await asyncio.sleep(for_s)
            process.send_signal(end)
            await process.wait()

    @asynccontextmanager
    async def loaded(self, port: int) -> AsyncIterator[None]:
        """Have clients call it one after another until the block ends."""
        stop = asyncio.Event()
        clients = [asyncio.ensure_future(self._load(port, stop)) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*clients)

    async def settle(self) -> None:
        """Start it once more and end it in peace, so that all that was left behind is in the ledger."""
        process, _ = await self.start()
        await asyncio.sleep(0.5)
        process.terminate()
        assert await process.wait() == 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
        """Have it serve until the block ends, and then end in peace if it has not ended otherwise."""
        process, port = await self.start()
        try:
            yield process, port
            if process.returncode is None:
                process.terminate()
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def start(self, *under: str) -> tuple[asyncio.subprocess.Process, int]:
        """Start it (as an argument of the command `under`) and wait until it listens."""
        port = free_port()
        with (self.folder / "gateway.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *under, *command("run", "--workers", str(self.workers)),
                cwd=self.folder,
                env=environment({
                    "GATEWAY_PORT": str(port), **self.environment,
                }),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(START_WITHIN_S):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return process, port
                if process.returncode is not None:
                    said = (self.folder / "gateway.log").read_text()[-3000:]
                    # Of two hundred ports that were free a moment ago, somebody else may have got one.
                    assert f"port {port} is in use" in said, said
                    return await self.start(*under)
                await asyncio.sleep(0.01)

    async def _load(self, port: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._numbers += 1
            name = f"{self.name}-{self._numbers}"
            self.seen[name] = await call(port, name, waits=self.waits)
            if self.seen[name][0] == 0:
                await asyncio.sleep(0.005)

    def opened(self) -> Store:
        """Return the ledger. The caller closes it."""
        return PostgresStore(self.database) if self.database else SQLiteStore(self.ledger, read_only=True)

    def rows(self) -> list[Row]:
        """Return everything in the ledger."""
        with closing(self.opened()) as store:
            return list(store.recent(sys.maxsize >> 1))


def compare(soak: Soak, rows: list[Row], *billers: Biller, is_strict: bool = False) -> None:
    """Assert that the three accounts agree: the upstreams' bills, what clients saw, and the ledger.

    A process may be killed in the moment between the last event of a stream and its settlement. Only where the ledger
    is strict, no client has seen the end then.
    """
    ids = Counter(row.attempt for row in rows)
    assert not [one for one, count in ids.items() if count > 1]
    booked = Counter((row.request_id, row.provider) for row in rows if row.status in (0, 200))
    for biller in billers:
        lost = [name for name, count in biller.billed.items() if booked[name, biller.name] < count]
        assert not lost, f"{len(lost)} billed attempts are not in the ledger: {lost[:5]}"
    twice = [one for one, count in booked.items() if count > 1]
    assert not twice, f"attempts are in the ledger twice: {twice[:5]}"
    assert not [row for row in rows if row.state is RowState.OPEN]
    complete = {name for name, (_, whole) in soak.seen.items() if whole}
    by_call = {row.request_id: row for row in rows if row.outcome == "ok"}
    in_doubt = {row.request_id for row in rows if row.state is RowState.IN_DOUBT}
    unsettled = complete - by_call.keys()
    assert unsettled <= in_doubt
    assert len(unsettled) <= (0 if is_strict else max(4, soak.lives))
    for name in complete & by_call.keys():
        row = by_call[name]
        written = next(biller.written[name] for biller in billers if biller.name == row.provider)
        assert (row.usage.input_tokens, row.usage.output_tokens) == (INPUT_TOKENS, written), row
        assert row.cost_nanousd == INPUT_TOKENS * INPUT_PRICE + written * OUTPUT_PRICE, row
        assert row.call_status == 200
        assert len(row.sha256) == 32
    for row in rows:
        # What is in doubt is never for nothing.
        if row.state is RowState.IN_DOUBT:
            assert row.cost_nanousd, row
            assert row.usage_is_estimate, row
    with closing(soak.opened()) as store:
        (total,) = store.totals()
    assert total.attempts == len(rows)
    assert total.cost_nanousd == sum(row.cost_nanousd or 0 for row in rows)
