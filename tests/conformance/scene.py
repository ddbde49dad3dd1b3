"""One gateway between clients and providers of every dialect, for a whole table of conversations.

A provider is named after its dialect, and a case is the model that it asks for: so conversations run side by side, and
what the provider got and what the ledger says are told apart by the model's name.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tests.conformance import chat, completions, messages, responses
from tests.faults import Body, Client, End, FaultyUpstream, Head, error_json, request, run
from tests.proxy.ledgered import rows_in
from tests.proxy.scene import exchange_is_over, until
from tests.serving import config_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping

    from gateway.core.ledger import Row
    from tests.conformance.spoken import Heard, Json, Question, Refused, Reply
    from tests.faults import Request, Response, Script
    from tests.serving import Running


Case = TypeVar("Case")
Seen = TypeVar("Seen")


class Spoken(Protocol):
    """The module of a dialect."""

    PATH: str
    HEADERS: dict[str, str]
    ID: str
    """Of every answer that a provider tells."""

    def ask(self, question: Question, model: str) -> Json:
        """Write a question."""

    def asked(self, body: Json) -> Question:
        """Read a question."""

    def tell(self, reply: Reply, *, stream: bool) -> list[bytes]:
        """Write an answer, in the pieces in which it comes."""

    def heard(self, body: bytes, *, stream: bool) -> Heard | Refused:
        """Read an answer, and check that it is one."""

    def refuse(self, message: str, code: str) -> Json:
        """Write a refusal."""

    def break_off(self, message: str) -> bytes:
        """Write the event by which the provider says amid a stream that it failed."""


DIALECTS: dict[str, Spoken] = {
    "chat": chat, "messages": messages, "responses": responses, "completions": completions,
}  # fmt: skip
PAIRS = [(near, far) for near in ("chat", "messages", "responses") for far in ("chat", "messages", "responses")]
"""The dialects of client and provider between which everything can be said."""
# In nano-USD per token; cached input costs a tenth.
INPUT_PRICE, CACHED_PRICE, OUTPUT_PRICE = 2_000, 200, 10_000
_PRICE = "price: {input: 2, cached_input: 0.2, output: 10}"


def told(dialect: str, reply: Reply, *, stream: bool) -> Script:
    """Return a provider's whole answer, a piece for each event."""
    said = DIALECTS[dialect].tell(reply, stream=stream)
    kind = "text/event-stream" if stream else "application/json"
    return (Head(200, {"content-type": kind}, "chunked"), *map(Body, said), End())


def call(near: str, body: Json) -> bytes:
    """Return the bytes of a call by a client of a dialect."""
    dialect = DIALECTS[near]
    return request("POST", f"/v1{dialect.PATH}", body, dialect.HEADERS)


@dataclass(slots=True)
class Scene:
    """What the cases of a table share."""

    running: Running
    upstreams: Mapping[str, FaultyUpstream]
    folder: Path
    scripts: dict[str, list[Script]] = field(default_factory=dict)
    """What is answered to each model, one call after the other; the last one repeats."""

    def answer(self, request: Request) -> Script:
        """Answer as the model's script has it."""
        scripts = self.scripts.get(request.json["model"])
        if not scripts:
            return error_json(404)
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]

    async def ask(self, near: str, body: Json) -> Response:
        """Return what a client of a dialect gets."""
        async with Client(self.running.port) as client:
            await client.send(call(near, body))
            return await client.response()

    def seen(self, far: str, model: str) -> list[Request]:
        """Return what a provider was asked for a model."""
        return [one for one in self.upstreams[far].requests if one.json["model"] == model]

    async def rows(self) -> dict[str, list[Row]]:
        """Return what the ledger says of each model, when all calls are over."""
        await exchange_is_over(self.running)
        asked = sum(len(one.requests) for one in self.upstreams.values())
        await until(lambda: self._settled() >= asked, what="the import of the journal")
        rows: dict[str, list[Row]] = {}
        for row in rows_in(self.folder):
            rows.setdefault(row.model, []).append(row)
        return rows

    def _settled(self) -> int:
        return sum(row.state == "settled" for row in rows_in(self.folder))


@asynccontextmanager
async def staged() -> AsyncIterator[Scene]:
    """Run a provider for each dialect and a gateway before them.

    Each is configured twice, as two providers: `chat` and `chat2`.
    """
    with TemporaryDirectory() as folder:
        upstreams = {name: FaultyUpstream(strict=False) for name in DIALECTS}
        async with AsyncExitStack() as stack:
            for upstream in upstreams.values():
                await stack.enter_async_context(upstream)
            lines = ["defaults: {timeouts: {connect: 1s, first_byte: 5s, first_token: 5s, idle: 5s, total: 20s}}"]
            lines.append("providers:")
            for name, upstream in [*upstreams.items(), *((f"{name}2", one) for name, one in upstreams.items())]:
                speaks = name.removesuffix("2").replace("completions", "chat")
                lines.append(
                    f'  {name}: {{kind: openai-compatible, base_url: "{upstream.base_url}", speaks: [{speaks}], '
                    f"stream_usage: true, local: false, probe: false, discover: false, {_PRICE}}}"
                )
            config = config_of("\n".join(lines), {"GATEWAY_STATE_DIR": folder})
            scene = Scene(await stack.enter_async_context(serving(config)), upstreams, Path(folder))
            for upstream in upstreams.values():
                upstream.always(scene.answer)
            yield scene


@dataclass(frozen=True, slots=True)
class Played(Generic[Case, Seen]):
    """What came of a table."""

    seen: dict[Case, Seen]
    rows: dict[str, list[Row]]
    """What the ledger says of each model."""


def at_once(cases: Iterable[Case], play: Callable[[Scene, Case], Coroutine[Any, Any, Seen]]) -> Played[Case, Seen]:
    """Play every case before one gateway, eight side by side."""

    async def all_of() -> Played[Case, Seen]:
        async with staged() as scene:
            room = asyncio.Semaphore(8)

            async def one(case: Case) -> Seen:
                async with room:
                    return await play(scene, case)

            listed = list(cases)
            seen = await asyncio.gather(*map(one, listed))
            return Played(dict(zip(listed, seen, strict=True)), await scene.rows())

    return run(all_of())
