"""Judge an answer in the provider's dialect, and let it pass in the client's.

The judgement is the `Judge`'s own: by the provider's grammar, on the provider's bytes. The bytes that may pass are
decoded into deltas and encoded again. So the commit, the limits and the phases are the same on both passages, and the
caller need not know which one an answer takes.

Rule: an answer ends in the client's dialect only when all of it has been said there. Until then the end of the
provider's stream is kept back (`_move`), or half an answer could look like a whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.dialects import seals
from gateway.dialects.deltas import Failed
from gateway.dialects.inflate import decoded
from gateway.dialects.judge import BROKEN, LARGEST_HELD, REFUSED, WHOLE, Judge
from gateway.dialects.openai import TOO_LONG
from gateway.dialects.phases import END
from gateway.errors import Refusal, UpstreamsFailed
from gateway.types import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialects.events import StreamReader
    from gateway.dialects.passage import Bridge
    from gateway.types import Call, Outcome

# In place of the provider's comments, which keep the client's connection open.
_STILL_HERE = b":\n\n"
_JSON = b"application/json"


class BridgedJudge(Judge):
    """The judgement of an answer that crosses a bridge. It has the same face as any other."""

    def __init__(
        self, call: Call, bridge: Bridge, crossed: Call, *, now: float, name: str, provider: str,
        mask: Callable[[bytes], bytes] | None = None,
    ) -> None:  # fmt: skip
        """`call`: the client's. `crossed`: the same in the provider's dialect. `mask`: see `Judge`.

        `now`: in wall-clock seconds. `name`: of this answer alone; the client's ids are made of it. The usage is asked
        for in the provider's dialect, and passes to the client only if the client wants it. `provider`: by its name,
        whose seals go to the client.
        """
        super().__init__(crossed, mask=mask)
        self._near = bridge.near
        self._decoder = bridge.far_codec.decoder()
        self._owner = seals.owner_of(bridge.far.name, provider)
        self._encoder = bridge.near_codec.encoder(call, now, name)
        self._has_ended = False
        """The provider's stream is complete, and its end is not said yet."""
        self._has_said = False
        """The client's stream has its error event."""
        self._flown_bytes = 0
        """Of an event that is too large to be read at once, and cannot be decoded in pieces."""

    rewrites = True

    @property
    def is_decoded(self) -> bool:
        """The client gets other bytes than the provider sent: headers about those are not true."""
        return True

    @property
    def _passes_coded(self) -> bool:
        return False

    @property
    def steady(self) -> StreamReader | None:
        """No event passes as it came."""
        return None

    @property
    def is_said(self) -> bool:
        """The client's stream has ended in an error event."""
        return self._has_said

    def receive(self, piece: bytes) -> bytes:
        """Take the next piece of the provider's body. Return what may go to the client."""
        if self.reader is not None and self.reader.is_amid_event:
            self._flown_bytes += len(piece)
            if self._flown_bytes > LARGEST_HELD:
                self._fault(o.MALFORMED, f"an event of more than {LARGEST_HELD} bytes")
                return b""
        else:
            self._flown_bytes = 0
        return self._across(super().receive(piece))

    def end(self) -> bytes:
        """The provider's body is complete. Return what may still go to the client."""
        return self._across(super().end())

    def closing(self) -> bytes:
        """Return the event that ends a broken stream, in the client's dialect."""
        if self.phase is not BROKEN or self.reader is None or self._has_said or self.outcome is None:
            return b""
        return self._encoder.feed([Failed(UpstreamError(self.message, code=f"upstream_{self.outcome.name}"))])

    def body(self) -> bytes:
        """Return the plain answer, or the refusal, in the client's dialect."""
        if self.phase is not REFUSED:
            return super().body()
        error = self.error or UpstreamError()
        code = TOO_LONG if self.outcome is o.CONTEXT_LENGTH else error.code or f"upstream_{self._status}"
        return self._near.refusal(Refusal(self.message, status=self._status, param=error.param, code=code))

    def unreadable(self) -> bytes:
        """Return the body that stands in for a refusal whose coding cannot be undone."""
        return self._near.refusal(UpstreamsFailed(self.message))

    def _across(self, passes: bytes) -> bytes:
        """Return in the client's dialect what may pass of a stream."""
        written = b""
        if passes and not self._has_said:
            try:
                deltas = seals.marked(self._decoder.feed(passes), self._owner)
            except ValueError as error:
                self._fault(o.MALFORMED, str(error))
                return b""
            for place, delta in enumerate(deltas):
                if isinstance(delta, Failed):  # nothing follows an error
                    self._has_said = True
                    del deltas[place + 1 :]
                    break
            written = self._encoder.feed(deltas)
            if not deltas and passes.startswith(b":") and not self._flown_bytes:
                written = _STILL_HERE
        if self._has_ended:
            self._has_ended = False
            super()._move(END)
            if self.phase is WHOLE:
                written += self._encoder.finish()
        return written

    def _move(self, sign: str) -> None:
        if sign is END and self.reader is not None:
            self._has_ended = True
        else:
            super()._move(sign)

    def _end_body(self) -> None:
        """All of a plain answer is here: judge it, and write it anew."""
        super()._end_body()
        if self.phase is WHOLE:
            self.content_type = _JSON
            body = decoded(self._coding, self.body()) if self._coding else self.body()
            self._body = [self._encoder.whole(seals.marked(self._decoder.whole(body), self._owner))]

    def _fault(self, outcome: Outcome, message: str) -> None:
        super()._fault(outcome, message)
        if self.phase is REFUSED:
            self.content_type = _JSON

    def _begin_flow(self) -> bytes:
        self._fault(o.MALFORMED, f"an answer of more than {LARGEST_HELD} bytes")
        return b""
