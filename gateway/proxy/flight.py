"""One attempt under way: its entry in the books, its answer, and its place among the memory's busy upstreams.

Rule: a flight that has begun ends exactly once, in `land`. `land` tells memory and books synchronously, because code
behind an `await` may never run once the client has hung up.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic, time
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.deadlines import deadlines_for
from gateway.core.params import changes_to, repaired
from gateway.dialects.bridged import BridgedJudge
from gateway.dialects.embedded import EmbeddingsJudge
from gateway.dialects.judge import Judge
from gateway.dialects.responses.kept import name_of
from gateway.errors import BadRequest
from gateway.proxy.answer import Answer
from gateway.proxy.books import NotOnDisk
from gateway.proxy.entry import Entry
from gateway.proxy.request import bridge_lines, written
from gateway.upstream.h1 import ConnectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.proxy.admission import Admission
    from gateway.proxy.crossing import Crossing
    from gateway.proxy.downstream import Inbound
    from gateway.proxy.tab import Tab
    from gateway.types import Attempt, Candidate, Params, RestOfForm, Route, Usage
    from gateway.upstream.client import Target
    from gateway.upstream.h1 import Channel


class Flight:
    """One attempt of one call. `begin` it, `send` it, await `answer.decided`, and `land` it at the end."""

    __slots__ = (
        "_admission", "_asks_for_usage", "_call", "_crossing", "_inbound", "_pieces", "_quirks", "_request", "_target",
        "answer", "bridge_lines", "candidate", "entry", "is_under_way", "place",
    )  # fmt: skip

    answer: Answer

    def __init__(
        self,
        admission: Admission,
        inbound: Inbound,
        tab: Tab,
        route: Route,
        candidate: Candidate,
        place: int,
        crossing: Crossing | None,
    ) -> None:
        """`place`: the index of the attempt among the attempts of its call. `crossing`: of a call that takes bridges.

        Raises:
            Refusal: the request cannot be written for this candidate. No attempt was made.
        """
        gateway, call, forwarded = admission.gateway, admission.call, admission.forwarded
        upstream = candidate.upstream
        self._admission = admission
        self._call = call
        """In the provider's dialect."""
        self._crossing = crossing if candidate.bridge else None
        self.bridge_lines = b""
        """Header lines for the client, about a bridge."""
        self._quirks: Params = upstream.provider.quirks
        asked = candidate
        if candidate.bridge and crossing is not None:
            crossed = crossing.to(candidate.bridge, upstream.provider.name)
            self.bridge_lines = bridge_lines(call, candidate.bridge, crossed.lost)
            self._call = call = crossed.call
            forwarded = crossing.forwarded(forwarded)
            self._quirks = repaired(self._quirks, upstream.provider, candidate.bridge)
            asked = replace(candidate, params=repaired(candidate.params, upstream.provider, candidate.bridge))
        self._inbound = inbound
        self.candidate = candidate
        self.place = place
        self.is_under_way = False
        """It has begun and has not landed."""
        self._asks_for_usage = bool(
            call.stream
            and not call.wants_usage
            and call.endpoint.usage_on_request
            and (upstream.provider.stream_usage or (candidate.bridge and upstream.provider.stream_usage is None))
            and admission.ruleset.config.inject_stream_usage
        )
        self._target: Target = admission.ruleset.target(gateway.client, upstream.provider, call.endpoint)
        if admission.query and not candidate.bridge:
            self._target = self._target.with_query(admission.query)
        self._request: bytes
        self._pieces: Sequence[bytes | memoryview]
        self._request, self._pieces = written(
            call, asked, admission.terms.needs, self._target, gateway.client.model_value(upstream, call.endpoint),
            forwarded, ask_for_usage=self._asks_for_usage,
        )  # fmt: skip
        self.entry = Entry(tab, admission, route, candidate)

    def __repr__(self) -> str:
        return f"<Flight to {self.candidate.label}{', under way' if self.is_under_way else ''}>"

    def begin(self, now: float, deadline: float, *, is_last: bool, is_retry: bool) -> bool:
        """Begin the attempt. False: its upstream is failing, and the allowance for retries is used up.

        `now`, `deadline`: monotonic; the call is over at the deadline. `is_last`: no other attempt may follow.
        `is_retry`: the call has had an attempt before, at this upstream or another.
        """
        admission, entry, call = self._admission, self.entry, self._call
        if not admission.gateway.memory.begin(self.candidate.upstream, time(), now, is_retry=is_retry):
            entry.give_back()
            return False
        self.is_under_way = True
        provider = self.candidate.upstream.provider
        if self._quirks.adapts:
            admission.gateway.metrics.repaired(provider.name, changes_to(call.fields, self._quirks))
        deadlines = deadlines_for(
            provider.timeouts, deadline - now, is_whole=call.endpoint.generates and not call.stream, is_last=is_last
        )  # fmt: skip
        self.answer = entry.answer = Answer(
            self._judge(), self.candidate, deadlines, self._inbound.loop, self._target.mask
        )
        entry.begin()
        return True

    def _judge(self) -> Judge:
        """Return the judge of the answer: in the client's dialect, or over the bridge."""
        call, crossing, mask = self._admission.call, self._crossing, self._target.mask.bytes
        if crossing is None and call.endpoint.embeds and self.candidate.upstream.provider.repairs:
            return EmbeddingsJudge(call, mask=mask)
        if crossing is None:
            return Judge(call, strip_usage=self._asks_for_usage, mask=mask)
        bridge = crossing.bridge(self.candidate.bridge)
        name, provider = name_of(self.entry.identity), self.candidate.upstream.provider.name
        return BridgedJudge(call, bridge, self._call, now=time(), name=name, provider=provider, mask=mask)

    def send_at_once(self) -> bool:
        """Send the request over a pooled connection. False: use `send`; a new connection or a wait is needed."""
        # The rest of a form cannot be sent twice, so it must not go over a pooled connection, which may be stale.
        if self._pieces or self._admission.call.rest is not None or self._admission.gateway.books.is_strict:
            return False
        channel = self._target.origin.take()
        if channel is None:
            return False
        self.answer.send(channel, self._request)
        self._request = b""
        return True

    async def send(self, deadline: float, *, fresh: bool) -> None:
        """Send the request. `deadline`: monotonic. `fresh`: over a new connection.

        Raises:
            Refusal: the call ends here. The ledger is strict and cannot write, or the rest of a form is malformed.
        """
        answer, origin, call = self.answer, self._target.origin, self._admission.call
        channel = None if fresh or call.rest is not None else origin.take()
        if channel is None:
            try:
                left_s = max(deadline - monotonic(), 0.0)
                channel = await origin.connect(min(self.candidate.upstream.provider.timeouts.connect_s, left_s))
            except ConnectError as error:
                answer.fail(error.failure)
                return
        if self._admission.gateway.books.is_strict:
            await self._written_down(channel)
        answer.send(channel, self._request)
        for piece in self._pieces:
            channel.write(piece)
        self._request, self._pieces = b"", ()
        if call.rest is not None:
            await self._upload(channel, call.rest)

    def land(self, attempt: Attempt, usage: Usage | None, call_status: int, *, is_fallback: bool) -> None:
        """End the attempt. `call_status`: what the client was answered, 0 if the call goes on."""
        if not self.is_under_way:
            return
        self.is_under_way = False
        if self.answer.judge.is_repaired:
            self._admission.gateway.metrics.repaired(self.candidate.upstream.provider.name, ("vectors",))
        memory = self._admission.gateway.memory
        memory.end(self.candidate.upstream, attempt, self.answer.headers, usage, time())
        if self.entry.bill is None:
            self.entry.settle(attempt, usage, call_status, is_fallback=is_fallback)

    async def _written_down(self, channel: Channel) -> None:
        """Wait until the intent is on the ledger's disk.

        Raises:
            NotOnDisk: the intent could not be written, so nothing is sent.
        """
        try:
            await self._admission.gateway.books.on_disk(self.entry.position)
        except NotOnDisk:
            channel.close()
            self.answer.end_as(o.SHUT_DOWN)
            raise
        except asyncio.CancelledError:
            channel.close()
            raise

    async def _upload(self, channel: Channel, rest: RestOfForm) -> None:
        """Stream the rest of a large form: check each piece, send it, and keep nothing.

        Raises:
            BadRequest: a piece must not be sent. The upstream has part of the form, and its connection is closed.
        """
        answer = self.answer
        is_chunked = self._admission.call.rest_bytes is None
        channel.whole = False
        while not channel.whole and not answer.decided.done():
            answer.clock.pause()
            piece = await self._next_piece()
            answer.clock.touch()
            if piece is None:
                return
            try:
                ready = rest.feed(piece) if piece else rest.end()
            except BadRequest:
                answer.close()
                answer.end_as(o.BAD_REQUEST)
                raise
            if is_chunked:
                ready = b"%x\r\n%b\r\n" % (len(ready), ready) if ready else b""
                ready += b"" if piece else b"0\r\n\r\n"
            channel.whole = not piece
            if ready and not channel.write(ready):
                await answer.writable()

    async def _next_piece(self) -> bytes | None:
        """Return the next piece of the form, empty at its end. None: the upstream has answered early."""
        decided = self.answer.decided
        reading = self._inbound.loop.create_task(self._inbound.read_some())
        try:
            await asyncio.wait((reading, decided), return_when=asyncio.FIRST_COMPLETED)
            return None if decided.done() else reading.result()
        finally:
            if not reading.cancel() and not reading.cancelled():
                reading.exception()  # marks the error as seen; the exchange learns of a hang-up by itself
