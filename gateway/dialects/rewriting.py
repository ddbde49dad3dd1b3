"""Write the fields of a JSON body anew, and copy every byte that does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.core.params import bounded
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.params import Adapted
    from gateway.dialects.fields import Field
    from gateway.types import Params

_encode = msgspec.json.encode


def refuse_misspelled(sent: Mapping[str, object], params: Params) -> None:
    """Refuse a field whose name differs only in case from a field that the client must not decide alone.

    Raises:
        BadRequest: some parsers ignore case, so the upstream could read the client's value in place of ours.
    """
    if not params.forced and not params.adapts:
        return
    for key in sent:
        plain = key.casefold()
        if key != plain and not _is_ruled(key, params) and _is_ruled(plain, params):
            raise BadRequest(f'the field "{key}" must be written "{plain}"', param=plain)


def _is_ruled(key: str, params: Params) -> bool:
    return key in params.forced or key in params.drops or key in params.renames or key in params.clamps


def rewritten(
    body: memoryview, opening: int, fields: Iterable[Field], now: Adapted, params: Params
) -> Sequence[bytes | memoryview]:
    """Return a body in pieces: changed fields stand where they stood, and new ones behind the opening brace.

    `opening`: the place behind that brace. A key that occurs twice changes twice, or a reader of the other occurrence
    would see the client's value.
    """
    new = b"".join(_encode(name) + b":" + value + b"," for name, value in now.added)
    pieces: list[bytes | memoryview] = [body[:opening], new]
    # Everything up to `done` is written or left out. A comma belongs to the field behind it, and goes with that field.
    done = end = opening
    is_first = True
    for field in fields:
        name = now.names.get(field.key)
        if name is None:
            pieces.append(body[done:end])
            done = end = field.end
            continue
        if is_first and done != opening:  # those before it are gone, so its comma has no purpose
            done = field.at
        is_first = False
        if name != field.key:
            pieces += [body[done : field.at], _encode(name)]
            done = field.at + len(field.spelled)
        value = now.values.get(name)
        if value is None and params.clamps:
            sent = body[field.start : field.end].tobytes()
            kept = bounded(field.key, name, sent, params)
            value = None if kept is sent else kept
        if value is not None:
            pieces += [body[done : field.start], value]
            done = field.end
        end = field.end
    pieces.append(body[done:])
    return pieces
