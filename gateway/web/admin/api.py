"""All routes of the admin API: one table, from which the places and the document are made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from gateway.web.admin import configured, openapi
from gateway.web.admin.accounts import Accounts
from gateway.web.admin.bills import Bills
from gateway.web.admin.calls import Calls
from gateway.web.admin.clients import Clients
from gateway.web.admin.events import Feed
from gateway.web.admin.experiments import Experiments
from gateway.web.admin.front_ends import FrontEnds
from gateway.web.admin.keys import Keys
from gateway.web.admin.models import Models
from gateway.web.admin.observed import Observed
from gateway.web.admin.overlay import Overlay
from gateway.web.admin.parameters import Parameters
from gateway.web.admin.providers import Providers
from gateway.web.admin.reading import read
from gateway.web.admin.standing import Standing
from gateway.web.admin.switching import Switching
from gateway.web.admin.table import Effect, Row
from gateway.web.answers import json_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from starlette.requests import Request

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked

    Handle = Callable[[Request], Awaitable[Response]]


_log = logging.getLogger("gateway.admin")


class Admin:
    """The admin API of one process."""

    def __init__(self, control: Control) -> None:
        self.feed = Feed(control.gateway)
        self.rows: tuple[Row, ...] = (
            Row("GET", "/openapi.json", "about", "Return this document.", self._document, dict),
            Row("GET", "/events", "events", "Follow ends of calls, breakers and reloads.", self._events, None),
            *Clients(control).rows(),
            *Overlay(control).rows(),
            *Providers(control).rows(),
            *Experiments(control).rows(),  # before the entries, whose names may have slashes
            *configured.rows(control),
            *Parameters(control).rows(),
            *Models(control).rows(),
            *Observed(control).rows(),
            *Calls(control).rows(),
            *Accounts(control).rows(),
            *Bills(control).rows(),
            *Standing(control).rows(),
            *Switching(control).rows(),
            *Keys(control).rows(),
            *FrontEnds(control).rows(),
        )
        self._text: dict[str, Any] | None = None

    def places(self) -> Iterator[tuple[str, str, Handle]]:
        """Yield the method, the path and the application of each route, in the order in which they are tried."""
        for row in self.rows:
            yield row.method, row.place, _answering(row)

    async def _document(self, _: Asked) -> dict[str, Any]:
        if self._text is None:
            self._text = openapi.document(self.rows)
        return self._text

    async def _events(self, _: Asked) -> Response:
        return _Events(self.feed)


class _Events(Response):
    """The stream of events, as an answer."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    async def __call__(
        self,
        _: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        await self._feed.serve(receive, send)


def _answering(row: Row) -> Handle:
    """Return the application of a row: read, handle, answer. An answer with a version has it as its ETag too."""

    async def answer(request: Request) -> Response:
        asked = await read(row, request)
        try:
            found = await row.handle(asked)
        finally:
            if row.effect is not Effect.READ and not asked.dry_run:
                _log.info("%s %s by %s", row.method, request.url.path, asked.key.name or asked.key.id)
        if isinstance(found, Response):
            return found
        version = getattr(found, "version", None)
        if isinstance(found, tuple):
            found, version = found
        response = json_answer(msgspec.to_builtins(found))
        if isinstance(version, str):
            response.headers["etag"] = f'"{version}"'
        return response

    return answer
