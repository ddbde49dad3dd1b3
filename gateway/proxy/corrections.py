"""Correct an upstream's answer before the client sees it: headers that are not true, and our own credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.dialects.inflate import decoded, is_coded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.secrets import Mask
    from gateway.types import Header

# Headers that are about the bytes as the upstream sent them.
_ABOUT_CODING = frozenset({b"content-encoding", b"content-length"})


def corrected(headers: Sequence[Header], content_type: bytes | None, *, is_decoded: bool) -> list[Header]:
    """Return headers that are true of what the client gets.

    `content_type`: of the body, where the upstream's is wrong. `is_decoded`: the coding is undone on the way.
    """
    gone = _ABOUT_CODING if is_decoded else frozenset()
    if content_type is None:
        return [header for header in headers if header[0] not in gone]
    gone |= {b"content-type"}
    return [*(header for header in headers if header[0] not in gone), (b"content-type", content_type)]


def masked(
    mask: Mask, headers: Sequence[Header], fields: Mapping[bytes, bytes], body: bytes, unreadable: Callable[[], bytes]
) -> tuple[list[Header], bytes] | None:
    """Take our credentials out of the body of a refusal; return new headers and body, or None if none was in it.

    A body in which one stood goes on without its coding. A coding that cannot be undone was not asked for, and may
    hide them: then nothing of the body goes on, and `unreadable` makes the one that takes its place.
    """
    coding = fields.get(b"content-encoding", b"")
    plain = decoded(coding, body) if is_coded(coding) else body
    hidden = mask.bytes(plain)
    if hidden is plain and (plain or not is_coded(coding)):
        return None
    if hidden:
        return corrected(headers, None, is_decoded=True), hidden
    return corrected(headers, b"application/json", is_decoded=True), unreadable()
