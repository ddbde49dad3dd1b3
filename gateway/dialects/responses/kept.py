"""Translated responses that the gateway keeps itself: what a client can read of them, and go on from.

A provider of another dialect keeps no response, so the pair of request and answer that the ledger has is all there is.
Both are in the words of this dialect, as the client sent and got them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.core import sse
from gateway.dialects.answers import decode
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDS = frozenset({"response.completed", "response.incomplete"})
_ATTEMPT = re.compile(r"resp_([0-9a-f]{22})n([0-9]{1,4})")
MOST_ITEMS = 100
_USUAL_ITEMS = 20


class Kept(NamedTuple):
    """One response."""

    request: dict[str, Any]
    response: dict[str, Any]


def name_of(attempt: str) -> str:
    """Return the name from which the ids of a translated answer are made (`Codec.encoder`), by its attempt's."""
    return attempt.replace("/", "n")


def id_of(attempt: str) -> str:
    """Return the id of the translated response that an attempt made."""
    return f"resp_{name_of(attempt)}"


def attempt_of(response_id: str) -> str:
    """Return the attempt that made a translated response; empty: the id is not of that form."""
    found = _ATTEMPT.fullmatch(response_id)
    return f"{found[1]}/{found[2]}" if found else ""


def read_kept(request: bytes, answer: bytes) -> Kept | None:
    """Return the response of a call; None: it is not whole, or the client wanted it not to be kept.

    `answer`: the plain answer, or the events of a stream.
    """
    try:
        asked, response = decode(request), _response_in(answer)
    except ValueError:
        return None
    if not isinstance(asked, dict) or asked.get("store") is False or not isinstance(response, dict):
        return None
    return Kept(asked, response) if isinstance(response.get("output"), list) else None


def _response_in(answer: bytes) -> Any:
    if answer.lstrip()[:1] == b"{":
        return decode(answer)
    for event in sse.events(answer):
        if event.data is not None and event.data.startswith(b"{"):
            value = decode(event.data)
            if isinstance(value, dict) and value.get("type") in _ENDS:
                return value.get("response")
    return None


def previous_of(fields: Mapping[str, Any]) -> str:
    """Return the id of the response that a request goes on from; empty if there is none. `fields`: values or raw."""
    value = fields.get("previous_response_id")
    if isinstance(value, msgspec.Raw):
        value = decode(bytes(value))
    return value if isinstance(value, str) else ""


def continued(body: bytes, earlier: Kept) -> bytes:
    """Return a request whose input begins with an earlier one and its answer.

    The earlier request was itself kept with all that went before. As at OpenAI, instructions are not inherited.
    """
    asked = decode(body)
    asked["input"] = [*_items(earlier.request), *earlier.response["output"], *_items(asked)]
    del asked["previous_response_id"]
    return msgspec.json.encode(asked)


def _items(request: dict[str, Any]) -> list[Any]:
    said = request.get("input")
    if isinstance(said, list):
        return said
    return [] if said is None else [{"type": "message", "role": "user", "content": said}]


def input_items(kept: Kept, name: str, query: Mapping[str, str]) -> bytes:
    """Return a page of the input of a response. `name`: of the response, for ids. `query`: `limit`, `order`, `after`.

    Raises:
        BadRequest: a value of the query has no meaning.
    """
    items = [
        {"id": f"item_{name}{number:04d}", **item} if isinstance(item, dict) else item
        for number, item in enumerate(_items(kept.request))
    ]
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest('"order" is asc or desc', param="order")
    if order == "desc":
        items.reverse()
    limit = query.get("limit", str(_USUAL_ITEMS))
    if not (limit.isdecimal() and 1 <= int(limit) <= MOST_ITEMS):
        raise BadRequest(f'"limit" is a number from 1 to {MOST_ITEMS}', param="limit")
    if after := query.get("after"):
        places = [place for place, item in enumerate(items) if isinstance(item, dict) and item["id"] == after]
        if not places:
            raise BadRequest('"after" is not the id of an item of this response', param="after")
        items = items[places[0] + 1 :]
    page = items[: int(limit)]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"object": "list", "data": page, **ends, "has_more": len(page) < len(items)})


def deleted(response_id: str) -> bytes:
    """Return the answer to a deletion."""
    return msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})
