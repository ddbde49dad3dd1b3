"""The phases of an answer, and what leads from one to the next. The rules of the house are this table.

An answer is in one of five phases. HELD: nothing that the client asked for has come, so another upstream may still be
asked. OPEN: content has come, bytes may go to the client, and nothing can be undone. The other three are ends. WHOLE:
it is complete. REFUSED: it is no answer, and no byte of it was shown. BROKEN: part of it was shown.

Five kinds of things happen to an answer, and each is one of three signs. CONTENT: the first event or byte of what was
asked for. FAULT: an error in it, an end too soon, a broken connection, a timer, the wrong kind of content, more than
may be held. END: all of it is here.

Three lines of the table are rules of the house. A failure is never overwritten by an end. A whole answer is not broken
by what happens to its connection afterwards. A held answer fails over whatever happens to it.
"""

from __future__ import annotations

from gateway.core import outcome as o


class Phase:
    """Where an answer stands. Compared by identity; enumerations hash by name, which every answer would pay for."""

    __slots__ = ("is_end", "name", "next")

    def __init__(self, name: str, *, is_end: bool = False) -> None:
        self.name = name
        self.is_end = is_end
        """It ended before any of it was shown, well or badly."""
        self.next: dict[str, Phase] = {}
        """What follows, by sign."""

    def __repr__(self) -> str:
        return f"<Phase {self.name}>"


HELD, OPEN, BROKEN = Phase("held"), Phase("open"), Phase("broken")
WHOLE, REFUSED = Phase("whole", is_end=True), Phase("refused", is_end=True)
PHASES = (HELD, OPEN, WHOLE, REFUSED, BROKEN)
CONTENT, FAULT, END = SIGNS = ("content", "fault", "end")

NEXT = {
    (HELD, CONTENT): OPEN,
    (HELD, FAULT): REFUSED,
    (HELD, END): WHOLE,
    (OPEN, CONTENT): OPEN,
    (OPEN, FAULT): BROKEN,
    (OPEN, END): WHOLE,
    **{(over, sign): over for over in (WHOLE, REFUSED, BROKEN) for sign in SIGNS},
}
for (_before, _sign), _after in NEXT.items():
    _before.next[_sign] = _after

# The same fault has another name once part of the answer was shown, and one that it can have only then.
ONCE_SHOWN = {o.BROKEN: o.TRUNCATED, o.MALFORMED: o.TRUNCATED, o.EMPTY: o.TRUNCATED, o.STALLED: o.IDLE_TIMEOUT}
WHILE_HELD = {o.IDLE_TIMEOUT: o.STALLED}
