"""The OpenAPI 3.1 document of the admin API, made from its table of routes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from gateway import __version__
from gateway.config import schema
from gateway.web.admin.table import Effect, NoQuery, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.web.admin.table import Row

_REF = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_ERROR = {
    "type": "object",
    "description": "OpenAI's shape of an error. `param` names the field.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_REFUSALS: Mapping[int, str] = {
    400: "A field or parameter is unknown, missing or wrong.",
    401: "No admin key, or an unknown one.",
    403: "The key makes calls only.",
    404: "There is no such thing.",
    503: "It cannot be read or stored at the moment.",
}
_OF_EDITS: Mapping[int, str] = {
    409: "Another part of the configuration needs what the change takes away.",
    412: "The configuration has changed since the version in If-Match.",
    428: "If-Match is missing.",
}


def document(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the document."""
    rows = tuple(rows)
    types = [one for row in rows for one in (row.answer, row.query, row.body) if isinstance(one, type)]
    _, components = msgspec.json.schema_components(dict.fromkeys(types), ref_template=_REF + "{name}")
    written = schema()["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = _PARAMETER.sub(r"{\1}", row.place)
        paths.setdefault(path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gateway admin API", "version": __version__, "description": _ABOUT},
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {"Error": _ERROR, **_referring(written), **components},
        },
    }


_ABOUT = (
    "Changes the configuration of a gateway that runs. Every change is stored in the overlay, counts for new calls "
    "when it is answered, and survives a restart. Secrets are written and never read."
)


def _referring(value: Any) -> Any:
    """Return a part of gateway.yaml's schema with the document's references, and with its names set apart."""
    if isinstance(value, dict):
        return {
            key: inner.replace("#/$defs/", _REF) if key == "$ref" else _referring(inner) for key, inner in value.items()
        }
    return [_referring(inner) for inner in value] if isinstance(value, list) else value


def _operation(row: Row) -> dict[str, Any]:
    refusals = {**_REFUSALS, **(_OF_EDITS if row.effect is Effect.EDIT else {})}
    found: dict[str, Any] = {
        "operationId": _identity(row),
        "tags": [row.tag],
        "summary": row.summary,
        "parameters": _parameters(row),
        "responses": {
            "200": {"description": "Done.", "content": _content(row)},
            **{
                str(status): {
                    "description": words,
                    "content": {"application/json": {"schema": {"$ref": f"{_REF}Error"}}},
                }
                for status, words in sorted(refusals.items())
            },
        },
    }
    if row.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema_of(row.body)}}}
    return found


def _identity(row: Row) -> str:
    words = re.sub(r"[^a-z]+", "_", _PARAMETER.sub("one", row.path).lower()).strip("_")
    return f"{row.method.lower()}_{words}"


def _content(row: Row) -> dict[str, Any]:
    if row.answer is None:
        return {"text/event-stream": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": _schema_of(row.answer)}}


def _schema_of(wanted: Any) -> dict[str, Any]:
    if not isinstance(wanted, Value):
        return {"$ref": _REF + wanted.__name__} if issubclass(wanted, msgspec.Struct) else {"type": "object"}
    if wanted.is_patch:
        return {"type": "object", "description": f"A JSON merge patch of {wanted.definition}; null removes a field."}
    one = {"$ref": _REF + wanted.definition} if wanted.definition else {"type": "object"}
    return {"type": "array", "items": one} if wanted.is_list else one


def _parameters(row: Row) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(row.path)
    ]
    if row.query is not NoQuery:
        fields = msgspec.json.schema(row.query)
        one = fields["$defs"][row.query.__name__]
        found += [
            {"name": name, "in": "query", "required": name in one.get("required", ()), "schema": said}
            for name, said in one["properties"].items()
        ]
    if row.takes_dry_run:
        words = "Say what would change and break, and change nothing."
        found.append({"name": "dry_run", "in": "query", "description": words, "schema": {"type": "boolean"}})
    if row.effect is Effect.EDIT:
        words = "The version that was read (an ETag), or * for any."
        found.append(
            {"name": "If-Match", "in": "header", "required": True, "description": words, "schema": {"type": "string"}}
        )
    return found
