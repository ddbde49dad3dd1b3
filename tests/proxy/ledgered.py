"""A gateway that keeps books: scripted upstreams with prices, and what the ledger says afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gateway.stores.keys import SQLiteKeys
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import StoreError
from tests.faults import Client, FaultyUpstream, chat, request
from tests.proxy.scene import PATIENT, ROLE_NAME, exchange_is_over, url_of
from tests.serving import config_of, serving
from tests.stores.journal_records import all_of, folded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from gateway.background.bookkeeping import Bookkeeping
    from gateway.core.ledger import Row
    from gateway.proxy.books import Books
    from gateway.types import Key
    from tests.faults import Answer, Response
    from tests.serving import Running

# Two dollars and ten per million tokens, in nano-USD per token.
INPUT_PRICE, OUTPUT_PRICE = 2_000, 10_000
PAID = "price: {input: 2, output: 10}"
UNPRICED = ""
FREE = "local: true"
# What tests.faults.recipes.USAGE comes to, 7 tokens read and 2 written: $0.000034.
ONE_CALL = 7 * INPUT_PRICE + 2 * OUTPUT_PRICE
# Without `stream_options`: the gateway asks for usage itself, and takes its event out again.
UNASKED = request(
    "POST",
    "/v1/chat/completions",
    {"model": ROLE_NAME, "stream": True, "messages": [{"role": "user", "content": "Hi"}]},
)
NAMES = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True, slots=True)
class Ledgered:
    """What a test needs of it."""

    running: Running
    upstreams: Sequence[FaultyUpstream]
    folder: Path
    """The state directory."""

    @property
    def books(self) -> Books:
        return self.running.gateway.books

    @property
    def bookkeeping(self) -> Bookkeeping:
        return self.running.app.bookkeeping

    async def ask(self, request: bytes | None = None) -> Response:
        """Return what a client of its own gets for one request, a plain chat of the role unless told."""
        async with Client(self.running.port) as client:
            await client.send(request or chat(model=ROLE_NAME))
            return await client.response()

    def journalled(self) -> list[Row]:
        """Return what the journal of this process says at this moment, attempts under way included."""
        self.books.write_endings()  # they would be at the end of this turn of the event loop
        return folded(all_of(self.folder / "journal", self.books.writer))

    async def rows(self) -> list[Row]:
        """Return what the ledger says once all calls are over and it has all that the journal has, the oldest first."""
        await exchange_is_over(self.running)
        expected = {row.attempt: row.version for row in self.journalled()}
        end = time.monotonic() + 5.0
        while True:
            rows = rows_in(self.folder)
            if expected.items() <= {row.attempt: row.version for row in rows}.items():
                return rows
            assert time.monotonic() < end, "the journal was not imported"
            await asyncio.sleep(0.01)

    async def row(self) -> Row:
        """Return the only row."""
        (row,) = await self.rows()
        return row

    def spent(self, account: str) -> int:
        """Return what is counted in the latest window of a budget that was charged here, in nano-USD."""
        charge = self.bookkeeping._counted[account]
        return self.books.limits.counted(account, charge.window_start)[0]


def rows_in(folder: Path) -> list[Row]:
    """Return what the ledger of a state directory says, the oldest attempt first."""
    try:
        with SQLiteStore(folder / "ledger.sqlite", read_only=True) as store:
            return sorted(store.recent(sys.maxsize >> 1), key=lambda row: row.attempt)
    except StoreError:  # nothing was ever imported
        return []


def configured(
    ports: Sequence[int],
    kinds: Sequence[str] = (),
    *,
    extra: str = "",
    order: str = "[listed]",
    timeouts: str = PATIENT,
) -> str:
    """Return a gateway.yaml whose role `rlm` tries these ports as first/m, second/m, ...; `kinds`: PAID unless told."""
    lines = [f"defaults: {{timeouts: {{{timeouts}}}}}", "providers:"]
    for number, port in enumerate(ports):
        said = kinds[number] if number < len(kinds) else PAID
        said = said if "local" in said else f"local: false, {said}"
        lines.append(
            f"  {NAMES[number]}: {{kind: openai-compatible, base_url: '{url_of(port)}', stream_usage: true, "
            f"probe: false, discover: false, {said.rstrip(', ')}}}"
        )
    models = ", ".join(f"{name}/m" for name in NAMES[: len(ports)])
    lines += ["roles:", f"  rlm: {{models: [{models}], order: {order}}}", extra]
    return "\n".join(lines)


@asynccontextmanager
async def ledgered(
    folder: Path,
    *answers: Answer | int,
    kinds: Sequence[str] = (),
    keys: Sequence[Key] = (),
    extra: str = "",
    order: str = "[listed]",
    timeouts: str = PATIENT,
    remember: bool = False,
) -> AsyncIterator[Ledgered]:
    """Run an upstream for each of `answers` (or take the port), and a gateway that writes down what they cost.

    `folder`: the state directory. `extra`: more of the gateway.yaml, budgets for example; after `roles:`, so indented
    lines add roles. `remember`: as of `serving`.
    """
    store = SQLiteKeys(folder / "keys.sqlite")
    for key in keys:
        store.insert(key)
    store.close()
    async with AsyncExitStack() as stack:
        upstreams = [
            await stack.enter_async_context(FaultyUpstream(answer, strict=False))
            for answer in answers
            if not isinstance(answer, int)
        ]
        started = iter(upstreams)
        ports = [answer if isinstance(answer, int) else next(started).port for answer in answers]
        text = configured(ports, kinds, extra=extra, order=order, timeouts=timeouts)
        config = config_of(text, {"GATEWAY_STATE_DIR": str(folder)})
        running = await stack.enter_async_context(serving(config, remember=remember))
        yield Ledgered(running, upstreams, folder)


def error_of(response: Response) -> dict[str, str | None]:
    """Return the error that a client was told, which must be in OpenAI's shape and nothing else."""
    body = msgspec.json.decode(response.body, type=dict[str, dict[str, str | None]])
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return body["error"]
