"""`GET /v1/usage`: what the caller's own key has used; and the sums of the ledger for the admin API."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from gateway.control.report import as_record, groups, instant, labels, objection_to, stored, total
from gateway.errors import BadRequest
from gateway.stores.store import Totals
from gateway.web.answers import json_answer
from gateway.web.door import CALLER
from gateway.web.ledger import from_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.proxy.gateway import Gateway
    from gateway.types import Key

_PARAMETERS = frozenset({"by", "since", "until"})


class Usage:
    """The endpoint."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, request: Request) -> Response:
        """Sum up the calls of the caller's key. Parameters: `by`, `since`, `until`, as of `gateway usage`."""
        asked = request.query_params
        if unknown := sorted(set(asked) - _PARAMETERS):
            known = ", ".join(sorted(_PARAMETERS))
            raise BadRequest(f'unknown parameter "{unknown[0][:100]}"; there are {known}', param=unknown[0])
        key: Key = request.scope[CALLER]
        booked = key.id or key.name
        names = {booked: key.name or key.id}
        by, since, until = asked.get("by", "model"), asked.get("since", "30d"), asked.get("until")
        found = await summed(self._gateway, by, since, until, names, {"key": booked})
        return json_answer({"object": "usage", "key": names[booked], **found})


async def summed(
    gateway: Gateway, by: str, since: str, until: str | None, names: Mapping[str, str],
    where: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return sums of the ledger, in groups and in total.

    `by`: dimensions, comma-separated. `names`: of keys, by their ids.

    Raises:
        BadRequest: a dimension is unknown, or a time is malformed.
        Unstored: the ledger cannot be read.
    """
    config = gateway.now.config
    dimensions = tuple(dict.fromkeys(one.strip() for one in by.split(",") if one.strip()))
    for one in dimensions:
        if wrong := objection_to(one, config.recorded):
            raise BadRequest(wrong, param="by")
    now = time()
    start, end = _instant("since", since, now), float("inf")
    if until is not None:
        end = _instant("until", until, now)
    asked = tuple(map(stored, dimensions))
    found = await from_ledger(config.ledger, lambda store: store.totals(asked, since=start, until=end, where=where))
    shown = groups(found or (), dimensions)

    def record(one: Totals) -> dict[str, Any]:
        said = labels(one.group, dimensions, lambda key: names.get(key, key))
        return {**dict(zip(dimensions, said, strict=True)), **as_record(one)}

    return {
        "since": int(start),
        "by": list(dimensions),
        "groups": [record(one) for one in shown],
        "total": as_record(total(Totals(), shown)),
    }


def _instant(name: str, text: str, now: float) -> float:
    try:
        return instant(text, now)
    except ValueError as error:
        raise BadRequest(str(error), param=name) from None
