"""A call needs no socket: the gateway can make one by itself, on behalf of another."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from gateway.core.keys import LOCAL
from gateway.core.plan import Terms
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT
from gateway.proxy.admission import Admission
from gateway.proxy.exchange import Exchange
from gateway.proxy.outlet import Outlet
from gateway.proxy.tab import Tab
from tests.faults import FaultyUpstream, chat_json, chat_stream
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.proxy.gateway import Gateway
    from tests.faults import Request, Script

YAML = """
providers:
  first: {{kind: openai-compatible, base_url: "{url}"}}
"""


class Within:
    """The calling side of a call that comes from within: it never hangs up, and has no more of a body."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] = task
        self.received_at = monotonic()
        self.gone = False
        self.answered = 0
        self.on_hang_up: Callable[[], None] | None = None

    async def read_some(self) -> bytes:
        return b""


class Kept:
    """Where the answer goes: into a list."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self.status = 0
        self.lines = b""
        self.pieces: list[bytes] = []
        self.end = ""

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.start(status, lines, len(body))
        self.write(body)
        self.finish()

    def start(self, status: int, lines: bytes, length: int | None) -> None:  # as `Sink` has it
        self.status, self.lines = status, lines

    def write(self, chunk: bytes) -> bool:
        self.pieces.append(chunk)
        return True

    def finish(self) -> None:
        self.end = "finished"

    def abort(self) -> None:
        self.end = "aborted"


async def delegate(gateway: Gateway, body: bytes) -> Kept:
    """Make a call on behalf of another, as `req_1` knows it."""
    call = read_call(CHAT, body)
    ruleset = gateway.now
    route = gateway.resolve(call.model, ruleset)
    admission = Admission(gateway, LOCAL, call, route, Terms(2), ruleset, b"req_2", b"", monotonic(), parent="req_1")
    kept = Kept()
    await Exchange(admission, Within(), Outlet(kept), Tab(gateway.books, LOCAL)).run()
    return kept


async def test_a_call_from_within_is_answered_and_settled_like_any_other() -> None:
    """Plain or streamed; its settlement names the call that it was made for."""
    stream = b'{"model":"first/m","messages":[{"role":"user","content":"Hi"}],"stream":true}'

    def answer(seen: Request) -> Script:
        return chat_stream("Hel", "lo") if seen.json.get("stream") else chat_json()

    async with FaultyUpstream(answer) as upstream, serving(YAML.format(url=upstream.base_url)) as running:
        plain = await delegate(running.gateway, stream.replace(b',"stream":true', b""))
        streamed = await delegate(running.gateway, stream)
        assert (plain.status, plain.end, len(plain.pieces)) == (200, "finished", 1)
        assert (streamed.status, streamed.end) == (200, "finished")
        assert b"".join(streamed.pieces).endswith(b"data: [DONE]\n\n")
        assert b"x-request-id: req_2\r\n" in streamed.lines
        for settlement in running.audit.settlements:
            assert (settlement.parent, settlement.request_id, settlement.status) == ("req_1", b"req_2", 200)
            assert settlement.plan is not None
            assert [one.attempt[-2:] for one in settlement.receipts] == ["/1"]
