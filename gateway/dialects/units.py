"""Read the units that are charged otherwise than by the token, from a call and from the end of its answer.

Rule: a call whose price has no such unit never comes by here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.counted import Auditor
from gateway.dialects.endpoints import DIALECTS

if TYPE_CHECKING:
    from gateway.types import Call

# No provider makes more answers or pictures for one call: OpenAI makes 128 at most.
MOST_ANSWERS = 1000
# Common speech in any language of Europe, transcribed: 150 words of six letters a minute.
BYTES_PER_SECOND = 15

# `00:01:27,480` in srt, `01:27.480` in vtt.
_TIME = re.compile(rb"(?:(\d{1,3}):)?([0-5]\d):([0-5]\d)[.,](\d{3})")

_count = msgspec.json.Decoder(int | None).decode


def answers_of(call: Call) -> int:
    """Return how many answers or pictures a call asks for, and pays for."""
    most = 1
    for name in DIALECTS[call.endpoint.dialect].words.answers:
        raw = call.fields.get(name)
        if isinstance(raw, msgspec.Raw):
            try:
                most = max(most, _count(raw) or 1)
            except msgspec.MsgspecError:
                continue  # the upstream says what is wrong with the value
    return min(most, MOST_ANSWERS)


def heard_ms(end: bytes, size: int) -> int:
    """Return a guess at the length of a transcript's sound, in milliseconds; 0 where there is nothing to guess by.

    `end`: the last bytes of the answer. Subtitles and segments end with a time, plain text has `size` bytes.
    """
    times = _TIME.findall(end)
    if times and b"-->" in end:
        hours, minutes, seconds, millis = (int(part or 0) for part in times[-1])
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
    if len(end) == size and end[:1] == b"{":
        try:
            said = _transcript(end)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # another shape is measured by its size
        else:
            if said.segments and (last := Auditor().milliseconds(said.segments[-1].end)):
                return last
            size = len(said.text.encode(errors="replace"))
    return size * 1000 // BYTES_PER_SECOND


class _Segment(msgspec.Struct, gc=False):
    end: Any = None


class _Transcript(msgspec.Struct, gc=False):
    text: str = ""
    segments: list[_Segment] | None = None


_transcript = msgspec.json.Decoder(_Transcript).decode
