"""Write the request of one attempt: the client's body with another model, parameters of ours, and a head before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.core.room import most_output
from gateway.dialects.body import LARGE, render, render_in_pieces
from gateway.dialects.needs import lowered_limits
from gateway.dialects.wording import worded
from gateway.proxy.headers import safe
from gateway.types import BodyKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import Call, Candidate, Needs, Params
    from gateway.upstream.client import Target

_JSON = BodyKind.JSON
# Bytes of a header. Clients make up the names of fields.
MOST_LOST = 1024


def written(
    call: Call, candidate: Candidate, needs: Needs, target: Target, model: bytes, forwarded: bytes, *,
    ask_for_usage: bool,
) -> tuple[bytes, Sequence[bytes | memoryview]]:  # fmt: skip
    """Return a whole request; or the head of a large one, and its body in pieces that refer to the client's.

    `model`: the upstream's name as it stands in a body. `forwarded`: header lines of the client's that pass.

    Raises:
        BadRequest: the client spells a field so that our parameter would not replace it.
    """
    if target.defaults:
        forwarded += b"".join([line for name, line in target.defaults if name not in forwarded])
    params = worded(candidate.params, call)
    if candidate.upstream.provider.strict_max_tokens:
        params = _lowered(call, candidate, needs, params)
    if len(call.body) >= LARGE or call.rest is not None:
        return _large(call, target, model, params, forwarded, ask_for_usage=ask_for_usage)
    if call.endpoint.body is _JSON and (ask_for_usage or params.acts):
        body = render(call, model, params, ask_for_usage=ask_for_usage)
    else:
        start, end = call.model_span
        body = b"".join((call.body[:start], model, call.body[end:]))
    return b"".join((
        target.head, forwarded, b"content-type: ", call.content_type,
        b"\r\ncontent-length: %d\r\n\r\n" % len(body), body,
    )), ()  # fmt: skip


def _large(
    call: Call, target: Target, model: bytes, params: Params, forwarded: bytes, *, ask_for_usage: bool
) -> tuple[bytes, Sequence[bytes | memoryview]]:
    pieces: Sequence[bytes | memoryview]
    if call.endpoint.body is _JSON:
        pieces = render_in_pieces(call, model, params, ask_for_usage=ask_for_usage)
    else:
        (start, end), body = call.model_span, memoryview(call.body)
        pieces = (body[:start], model, body[end:])
    size = sum(map(len, pieces))
    if call.rest_bytes is None:
        framing, pieces = b"transfer-encoding: chunked", (b"%x\r\n" % size, *pieces, b"\r\n")
    else:
        framing = b"content-length: %d" % (size + call.rest_bytes)
    head = (target.head, forwarded, b"content-type: ", call.content_type, b"\r\n", framing, b"\r\n\r\n")
    return b"".join(head), pieces


def bridge_lines(call: Call, far: str, lost: Sequence[str]) -> bytes:
    """Return the header lines that say how a call was translated, and what could not be said in the other dialect."""
    lines = b"x-gateway-bridge: %b->%b\r\n" % (call.endpoint.dialect.encode(), far.encode())
    if not lost:
        return lines
    return lines + b"x-gateway-lost: %b\r\n" % b", ".join(map(safe, lost))[:MOST_LOST]


def _lowered(call: Call, candidate: Candidate, needs: Needs, params: Params) -> Params:
    """Return parameters with lower limits forced where the upstream would refuse the client's.

    Only for providers with `strict_max_tokens`. `params`: the candidate's, in the words of the call.
    """
    most = _most(candidate, needs)
    return params if most is None else replace(params, forced={**lowered_limits(call, most), **params.forced})


def lowering_line(call: Call, candidate: Candidate, needs: Needs) -> bytes:
    """Return the header line that says from what to what `max_tokens` was lowered, or nothing."""
    most = _most(candidate, needs)
    if most is None or lowered_limits(call, most).keys() <= worded(candidate.params, call).forced.keys():
        return b""  # a forced value is not lowered
    return b"x-gateway-max-tokens: %d->%d\r\n" % (needs.output_tokens, most)


def _most(candidate: Candidate, needs: Needs) -> int | None:
    """The longest answer that may be asked for, if that is shorter than what the client allows."""
    most = most_output(candidate.upstream.ability, needs) if needs.output_tokens else None
    return most if most is not None and most < needs.output_tokens else None
