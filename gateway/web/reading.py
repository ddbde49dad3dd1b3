"""Read the body of a call: JSON completely, a form at least up to its model. Content codings are decoded.

`server.max_body` limits the bytes of a body that are held in memory. JSON is held completely. So is a body with a
content coding, and the limit applies to its decoded size. A form is held until its model is known, because the model
decides where the form goes. The rest of a large form is streamed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.dialects.body import no_model, read_call
from gateway.dialects.coding import codings_of, decoded
from gateway.dialects.multipart import FormReader
from gateway.dialects.needs import read_needs
from gateway.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from gateway.types import BodyKind, Call
from gateway.web.charset import refuse_charset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.proxy.downstream import Downstream
    from gateway.types import Endpoint

# A form up to this size is held, so that it can be sent to a second upstream. A larger one is streamed once its model
# is known: holding it would delay the upload, and a few at once would exhaust the memory.
LARGEST_KEPT_FORM = 4 << 20
# One to four milliseconds of work, after which the event loop turns.
_TURN_BYTES = 1 << 20
_MULTIPART = BodyKind.MULTIPART


def read_at_once(endpoint: Endpoint, client: Downstream, limit: int, default_models: Mapping[str, str]) -> Call | None:
    """Return the call of a request whose JSON body has arrived and is not long. None: use `read_request`.

    Nearly every request is such a one, and an `await` would cost as much as reading it.

    Raises:
        BadRequest: the body is malformed, or names no model.
    """
    headers = client.headers
    if (
        headers.get(b"content-type") != b"application/json"
        or endpoint.body is _MULTIPART
        or b"content-encoding" in headers
    ):
        return None
    body = client.body_at_hand(min(_TURN_BYTES, limit))
    return None if body is None else read_call(endpoint, body, default_models)


async def read_request(endpoint: Endpoint, client: Downstream, limit: int, default_models: Mapping[str, str]) -> Call:
    """Return the call of a request. `limit`: server.max_body, in bytes. `default_models`: as in `read_call`.

    Raises:
        BadRequest: the body is malformed, or names no model.
        BodyTooLarge: more than `limit` bytes of the body would have to be held.
        UnsupportedMediaType: the content type is not the endpoint's, or the content coding is unknown.
        ClientGone: the client left before the end of the body.
    """
    headers = client.headers
    content_type = headers.get(b"content-type", b"")
    kind = content_type.partition(b";")[0].strip().lower()
    wanted = b"multipart/form-data" if endpoint.body is _MULTIPART else b"application/json"
    if kind != wanted:
        raise UnsupportedMediaType(_wrong_type(content_type, wanted.decode()))
    if kind == b"application/json" and len(kind) != len(content_type):
        refuse_charset(content_type)
    codings = codings_of(headers[b"content-encoding"]) if b"content-encoding" in headers else ()
    if endpoint.body is _MULTIPART and not codings:
        return await _read_form(endpoint, client, content_type, limit)
    body = await client.read_body(limit)
    for coding in reversed(codings):
        body = await _undo(coding, body, limit)
    if endpoint.body is _MULTIPART:
        return await _read_held_form(endpoint, body, content_type)
    return await _call_in(endpoint, body, default_models)


async def _call_in(endpoint: Endpoint, body: bytes, default_models: Mapping[str, str]) -> Call:
    if len(body) < _TURN_BYTES:
        return read_call(endpoint, body, default_models)
    # In a thread: each step of the parsing holds the interpreter for milliseconds, and the loop can turn in between.
    return await asyncio.to_thread(_read_large, endpoint, body, default_models)


def _read_large(endpoint: Endpoint, body: bytes, default_models: Mapping[str, str]) -> Call:
    call = read_call(endpoint, body, default_models)
    return replace(call, needs=read_needs(call))


async def _undo(coding: str, body: bytes, limit: int) -> bytes:
    """Decode one content coding, and let the event loop turn now and then."""
    pieces = []
    size = worked = 0
    for piece in decoded(coding, body, _TURN_BYTES):
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(
                f"the body is longer than {limit} bytes when its {coding} is undone (server.max_body); send less, or "
                "have the operator of the gateway raise server.max_body"
            )
        pieces.append(piece)
        worked += len(piece) + 64 * 1024  # an empty piece has cost its decoding
        if worked >= _TURN_BYTES:
            worked = 0
            await asyncio.sleep(0)
    return b"".join(pieces)


async def _read_held_form(endpoint: Endpoint, body: bytes, content_type: bytes) -> Call:
    """Read a form that is held completely."""
    form = FormReader(content_type)
    for at in range(0, len(body), _TURN_BYTES):
        form.feed(body[at : at + _TURN_BYTES])
        await asyncio.sleep(0)
    form.end()
    return _call_of(endpoint, form, body, content_type)


async def _read_form(endpoint: Endpoint, client: Downstream, content_type: bytes, limit: int) -> Call:
    """Read a form as it arrives. Hold only enough to know its model and, if it is small, to send it twice."""
    length = client.content_length
    form = FormReader(content_type)
    held: list[bytes] = []
    size = 0
    most = min(LARGEST_KEPT_FORM, limit)
    while piece := await client.read_some():
        held.append(piece)
        size += len(piece)
        form.feed(piece)
        if form.span is None:
            if size > limit:
                raise BodyTooLarge(
                    f'the first {limit} bytes of the form hold no "model" (server.max_body): put the field "model" '
                    "before the file, or have the operator of the gateway raise server.max_body"
                )
            if size > most:  # so much is held already that all of it may be
                most = limit
        elif (size if length is None else length) > most:
            rest_bytes = None if length is None else length - form.passed
            return _call_of(endpoint, form, b"".join(held)[: form.passed], content_type, rest_bytes)
    form.end()
    return _call_of(endpoint, form, b"".join(held), content_type)


def _call_of(
    endpoint: Endpoint, form: FormReader, body: bytes, content_type: bytes, rest_bytes: int | None = 0
) -> Call:
    if form.span is None:
        raise no_model(endpoint)
    start, end = form.span
    try:
        model = body[start:end].decode()
    except UnicodeDecodeError:
        raise BadRequest('"model" is not UTF-8', param="model") from None
    return Call(
        endpoint=endpoint,
        model=model,
        body=body,
        model_span=form.span,
        content_type=content_type,
        rest_bytes=rest_bytes,
        rest=None if rest_bytes == 0 else form,
    )


def _wrong_type(content_type: bytes, wanted: str) -> str:
    sent = content_type.decode("latin-1")[:100] or "missing"
    return f'the content type is "{sent}"; send {wanted}'
