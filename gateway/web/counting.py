"""`POST /v1/messages/count_tokens` and `/v1/responses/input_tokens`: the provider's count where it has one, or ours.

Counting is free of charge, and no limit of a key applies: Claude Code asks 25 times at once. So the count never fails
for a reason that is not the client's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import structs

from gateway.dialects.endpoints import dialect_of
from gateway.dialects.needs import read_needs
from gateway.errors import BadRequest, Refusal
from gateway.proxy.admission import Admission
from gateway.proxy.downstream import SCOPE_KEY
from gateway.proxy.exchange import Exchange
from gateway.proxy.headers import forwarded
from gateway.proxy.outlet import Outlet
from gateway.proxy.tab import Tab
from gateway.proxy.within import Kept, Within
from gateway.web.door import Access
from gateway.web.openai import passing, refuse, request_id
from gateway.web.reading import read_at_once, read_request
from gateway.web.steering import refuse_other_names, steer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from gateway.core.plan import Terms
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.types import Call, Endpoint, Key, Route
    from gateway.web.door import Door

_JSON = b"content-type: application/json\r\n"
# Whose fault a refused count is: with these the client's own, and the provider says what is wrong.
_THE_CLIENTS = frozenset({400, 413, 422})


class CountTokens:
    """Counts the tokens of a prompt."""

    access = Access.CALL

    def __init__(self, gateway: Gateway, endpoint: Endpoint, door: Door) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._door = door

    def __repr__(self) -> str:
        return f"<CountTokens POST {self._endpoint.path}>"

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],  # noqa: ARG002  # ASGI; the body comes from the downstream
        send: Callable[[Any], Awaitable[None]],  # noqa: ARG002  # ASGI; the answer goes to the downstream
    ) -> None:
        """Serve one request."""
        client: Downstream = scope["extensions"][SCOPE_KEY]
        identity = request_id(client.headers)
        try:
            key = self._door.admit(scope, client.headers, self.access)
            config = self._gateway.now.config
            asked = self._endpoint, client, config.server.max_body_bytes, config.default_models
            call = read_at_once(*asked) or await read_request(*asked)
            if key.routes:
                refuse_other_names(key, call, client.headers, self._gateway.now.directory)
            ruleset = self._gateway.now
            call, route, terms = steer(self._gateway, ruleset, call, client.headers, key)
            lines = forwarded(scope["headers"], client.headers)
            query = passing(self._endpoint, scope)
            kept = await self._ask(ruleset, key, call, route, terms, identity, lines, query)
        except Refusal as refusal:
            self._gateway.metrics.refuse(self._endpoint, refusal.status)
            refuse(client, refusal, identity, dialect_of(self._endpoint).refusal(refusal))
            return
        if kept is not None:
            client.respond(kept.status, kept.lines, kept.body)
            return
        tokens = (call.needs or read_needs(call)).input_tokens
        body = dialect_of(self._endpoint).counted(max(1, tokens))
        client.respond(200, b"%bx-request-id: %b\r\nx-gateway-estimate: tokens\r\n" % (_JSON, identity), body)

    async def _ask(
        self, ruleset: Ruleset, key: Key, call: Call, route: Route, terms: Terms, identity: bytes, lines: bytes,
        query: bytes,
    ) -> Kept | None:  # fmt: skip
        """Return a provider's own answer; None: none of the route counts tokens, or none could just now.

        Raises:
            BadRequest: the prompt is malformed, by the gateway's own judgement.
        """
        spoken = self._gateway.spoken
        able = tuple(one for one in route.candidates if self._endpoint.dialect in spoken(one.upstream.provider))
        if not able or able[0] is not route.candidates[0]:  # another model would count in other tokens
            self._gateway.metrics.answered(self._endpoint, 200)
            return None
        within, kept = Within(), Kept()
        admission = Admission(
            self._gateway, key, call, replace(route, candidates=able), at_once(terms), ruleset, identity, lines,
            within.received_at, query=query,
        )  # fmt: skip
        try:
            await Exchange(admission, within, Outlet(kept), Tab(self._gateway.books, key)).run()
        except BadRequest:
            raise
        except Refusal:
            return None
        return kept if kept.is_whole and (kept.status < 300 or kept.status in _THE_CLIENTS) else None


def at_once(terms: Terms) -> Terms:
    """Return terms that neither wait nor repeat: an estimate in a moment is better than a count in a while."""
    return structs.replace(terms, max_wait_s=0.0, retries=0)
