"""Read and check a request of the admin API by its row. Messages name the field and the remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core.names import nearest, quoted
from gateway.errors import BadRequest, BodyTooLarge, UnsupportedMediaType
from gateway.web.admin.table import Asked, Effect, Value
from gateway.web.door import CALLER

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.web.admin.table import Row, Strict

LARGEST_BODY = 1024 * 1024
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_AT = re.compile(r"(.*?) - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*?)`")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


async def read(row: Row, request: Request) -> Asked:
    """Return a request as its row wants it.

    Raises:
        BadRequest: a field or parameter is unknown, missing or wrong.
        UnsupportedMediaType, BodyTooLarge: the body is not JSON, or too long.
    """
    query = dict(request.query_params)
    dry_run = False
    if row.takes_dry_run and (said := query.pop("dry_run", None)) is not None:
        if said.lower() not in _FLAGS:
            raise BadRequest('"dry_run" must be true or false', param="dry_run")
        dry_run = _FLAGS[said.lower()]
    return Asked(
        path=dict(request.path_params),
        query=_converted(query, row.query),
        body=None if row.body is None else _body(row.body, await _bytes(request)),
        key=request.scope[CALLER],
        expected=_version(request.headers.get("if-match")) if row.effect is Effect.EDIT else None,
        dry_run=dry_run,
    )


def _version(header: str | None) -> str | None:
    """Return the version of an `If-Match` (RFC 9110 section 13.1.1), with or without quotes."""
    return None if header is None else header.strip().removeprefix("W/").strip('"')


async def _bytes(request: Request) -> bytes:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/merge-patch+json"):
        raise UnsupportedMediaType(f'the content type is {quoted(kind)}; send "application/json"')
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > LARGEST_BODY:
            raise BodyTooLarge(f"the body is larger than {LARGEST_BODY // 1024} KiB")
    return bytes(found)


def _body(wanted: type[Strict] | Value, body: bytes) -> Any:
    if not body and isinstance(wanted, Value) and not wanted.is_optional:
        raise BadRequest("the body is missing; send the value as JSON", code="missing_body")
    try:
        value = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {str(error)[:200]}", code="invalid_json") from None
    if not isinstance(wanted, Value):
        return _converted(value, wanted, strict=True)
    if wanted.is_list and not isinstance(value, list):
        raise BadRequest("the body must be a list; it replaces the whole section")
    return value


def _converted(value: Any, wanted: type[Strict], *, strict: bool = False) -> Any:
    try:
        return msgspec.convert(value, wanted, strict=strict)
    except msgspec.ValidationError as error:
        raise _named(str(error), wanted) from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def _named(message: str, wanted: type[Strict]) -> BadRequest:
    """Return the refusal for what msgspec says, with the field that it is about."""
    if unknown := _UNKNOWN.match(message):
        name, around = unknown[1], unknown[2] or ""
        known = wanted.__struct_fields__
        hint = "" if around else nearest(name, known) or f"; there are {', '.join(known) or 'none'}"
        where = f"{around}.{name}" if around else name
        return BadRequest(f'unknown field "{where[:200]}"{hint}', param=where[:200], code="unknown_field")
    if missing := _MISSING.match(message):
        return BadRequest(f'"{missing[1]}" is missing', param=missing[1], code="missing_field")
    at = _AT.match(message)
    said, where = (at[1], at[2]) if at else (message, "")
    return BadRequest(f"{where or 'the body'}: {said[:1].lower()}{said[1:]}", param=where or None, code="invalid_field")
