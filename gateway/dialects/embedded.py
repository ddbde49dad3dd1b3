"""Judge an answer with vectors, and write them in the encoding that the client asked for.

Many servers answer with numbers whatever `encoding_format` says. An answer in the right encoding passes byte for byte.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects.inflate import decoded
from gateway.dialects.judge import WHOLE, Judge
from gateway.dialects.vectors import BASE64, FLOAT, in_encoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.types import Call

_FIRST = re.compile(rb'"embedding"[ \t\r\n]*:[ \t\r\n]*(["\[])')
# The first vector stands near the beginning of an answer.
_LOOKED_THROUGH = 64 * 1024
_OPENINGS = {FLOAT: b"[", BASE64: b'"'}
_text = msgspec.json.Decoder(str).decode


def encoding_of(call: Call) -> str:
    """Return the encoding that a call asks for. Numbers are the default (OpenAI's reference, November 2026)."""
    raw = call.fields.get("encoding_format")
    try:
        asked = _text(raw) if isinstance(raw, msgspec.Raw) else FLOAT
    except msgspec.MsgspecError:
        return FLOAT
    return asked if asked in _OPENINGS else ""


class EmbeddingsJudge(Judge):
    """The judgement of an answer with vectors. It has the same face as any other."""

    __slots__ = ("_repaired",)

    def __init__(self, call: Call, *, mask: Callable[[bytes], bytes] | None = None) -> None:
        super().__init__(call, mask=mask)
        self._repaired = False

    @property
    def is_repaired(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """The vectors came in another encoding."""
        return self._repaired

    @property
    def is_decoded(self) -> bool:
        """Headers about the body as it came are not true of a body that was written anew."""
        return self._repaired or super().is_decoded

    def _end_body(self) -> None:
        super()._end_body()
        wanted = encoding_of(self._call)
        if self.phase is not WHOLE or not wanted:
            return
        body = decoded(self._coding, self.body()) if self._coding else self.body()
        first = _FIRST.search(body, 0, _LOOKED_THROUGH)
        if first is None or first[1] == _OPENINGS[wanted]:
            return
        rewritten = in_encoding(body, wanted)
        if rewritten is not body:
            self._repaired = True
            self._body = [rewritten]
