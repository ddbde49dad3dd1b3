"""`POST /v1/outcomes`: a client's verdict on the answer of one of its calls, for the reports of experiments.

Rule: a key judges its own calls only, and learns nothing about those of others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from gateway.core.ledger import Judged, Row, encode
from gateway.core.names import quoted
from gateway.errors import BadRequest, NotFound, Refusal
from gateway.web.answers import json_answer
from gateway.web.door import CALLER
from gateway.web.ledger import RECORDED_WITHIN_S, from_ledger

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.proxy.gateway import Gateway
    from gateway.stores.store import Store
    from gateway.types import Key

MOST_BYTES = 4096


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    label: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Unrecorded(Refusal):
    """There is no ledger to keep a verdict in, or it takes none."""

    status = 503
    type = "server_error"
    code = "ledger_unavailable"


class Outcomes:
    """The endpoint."""

    def __init__(self, gateway: Gateway, *, within_s: float = RECORDED_WITHIN_S) -> None:
        """`within_s`: how long a call that is just over may take to reach the ledger."""
        self._gateway = gateway
        self._within_s = within_s

    async def __call__(self, request: Request) -> Response:
        """Record a verdict. The same verdict again changes nothing; another one replaces it."""
        said = await _read(request)
        books = self._gateway.books
        if books.journal is None:
            raise Unrecorded("outcomes are kept in the ledger, and this gateway has none (ledger.enabled)")
        row = await self._call(said.request_id, request.scope[CALLER])
        if (row.score, row.verdict) != (said.score, said.label):
            position = books.write(encode(Judged(row.attempt, said.score, said.label)), settles=True)
            if not position:
                raise Unrecorded("the ledger's disk is full; try again later")
            if books.is_strict:
                await books.on_disk(position)
        return json_answer(
            {
                "object": "outcome",
                "request_id": said.request_id,
                "arm": row.arm or None,
                "score": said.score,
                "label": said.label or None,
            }
        )

    async def _call(self, request_id: str, key: Key) -> Row:
        """Return the last attempt of the latest call with this id that the key has made.

        Raises:
            NotFound: the key has made no such call, or none that is over.
        """
        settings, booked = self._gateway.now.config.ledger, key.id or key.name

        def ask(store: Store) -> Row | None:
            latest_first = reversed(store.call(request_id))
            return next((row for row in latest_first if row.key == booked and row.call_status and not row.parent), None)

        found = await from_ledger(settings, ask, within_s=self._within_s)
        if found is None:
            message = f"this key has made no call {quoted(request_id)} that is over; name the x-request-id of an answer"
            raise NotFound(message, param="request_id", code="call_not_found")
        return found


async def _read(request: Request) -> Outcome:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise BadRequest(f"the body is longer than {MOST_BYTES} bytes")
    try:
        said = msgspec.json.decode(body, type=Outcome)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"{error}; send request_id with a score from 0 to 1, a label or both") from None
    if said.score is None and not said.label:
        raise BadRequest("send a score from 0 to 1, a label or both", param="score")
    return said
