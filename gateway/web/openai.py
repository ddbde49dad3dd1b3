"""OpenAI's operations as ASGI applications: admit the caller, read the call, resolve its route, run the exchange."""

from __future__ import annotations

import itertools
import re
import secrets
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any

from gateway.dialects.endpoints import dialect_of
from gateway.errors import ModelNotFound, Refusal
from gateway.proxy.admission import Admission
from gateway.proxy.caching import Hit
from gateway.proxy.crossing import crossing_of
from gateway.proxy.downstream import SCOPE_KEY
from gateway.proxy.exchange import Exchange
from gateway.proxy.headers import forwarded
from gateway.proxy.outlet import Outlet
from gateway.proxy.tab import Tab
from gateway.types import Settlement
from gateway.web.door import ABOUT_KEYS, Access, credential_of
from gateway.web.reading import read_at_once, read_request
from gateway.web.responses import at_keeper, continuing, goes_on
from gateway.web.steering import refuse_other_names, steer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from gateway.proxy.crossing import Crossing
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.gateway import Gateway
    from gateway.types import Call, Endpoint, Key, Route
    from gateway.web.door import Door

# Names go into headers and the ledger, so their length is limited. No provider has a name of half this length.
LONGEST_MODEL = 512

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_PROCESS = secrets.token_hex(6).encode()
_numbers = itertools.count(1)


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the client's `x-request-id` if it is valid, else a new id, unique across processes."""
    sent = headers.get(b"x-request-id")
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent
    return b"req_%b%08x" % (_PROCESS, next(_numbers))


def passing(endpoint: Endpoint, scope: Mapping[str, Any]) -> bytes:
    """Return the query string of a request if providers of the dialect get it too, else nothing."""
    query: bytes = scope["query_string"]
    return query if query in dialect_of(endpoint).queries else b""


class Operation:
    """One endpoint of the data plane."""

    access = Access.CALL

    def __init__(self, gateway: Gateway, endpoint: Endpoint, door: Door) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._door = door

    def __repr__(self) -> str:
        return f"<Operation POST {self._endpoint.path}>"

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],  # noqa: ARG002  # ASGI; the body comes from the downstream
        send: Callable[[Any], Awaitable[None]],  # noqa: ARG002  # ASGI; the answer goes to the downstream
    ) -> None:
        """Serve one call."""
        client: Downstream = scope["extensions"][SCOPE_KEY]
        identity = request_id(client.headers)
        routed = counted = False
        key: Key | None = None
        try:
            key = self._door.admit(scope, client.headers, self.access)
            admission = await self._admission(scope, client, key, identity)
            tab = Tab(self._gateway.books, key)
            if tab.is_limited():
                counted = True
                await tab.admit(admission.terms.needs)
            routed = True
            outlet = Outlet(client)
            exchange = Exchange(admission, client, outlet, tab)
            if admission.route.cache is not None:
                await serve_kept(exchange, admission, client, outlet, tab)
            else:
                await exchange.run()
        except Refusal as refused:
            refusal = refused
            if not routed:
                refusal = await self._refused(refused, identity, None if counted else key)
            refuse(client, refusal, identity, dialect_of(self._endpoint).refusal(refusal))

    async def _admission(
        self, scope: MutableMapping[str, Any], client: Downstream, key: Key, identity: bytes
    ) -> Admission:
        """Read a call, and decide where it goes and how."""
        gateway, headers = self._gateway, client.headers
        config = gateway.now.config
        asked = self._endpoint, client, config.server.max_body_bytes, config.default_models
        call = read_at_once(*asked) or await read_request(*asked)
        if len(call.model) > LONGEST_MODEL:
            raise ModelNotFound(
                f'"model" is {len(call.model)} characters long; no name has more than {LONGEST_MODEL}', param="model"
            )
        if key.routes:
            refuse_other_names(key, call, headers, gateway.now.directory)
        keeper = ""
        if goes_on(call):
            call, keeper = await continuing(gateway, call, key)
        ruleset = gateway.now  # the call keeps this ruleset, also after a reload
        try:
            steered = steer(gateway, ruleset, call, headers, key, identity, keeper)
        except ModelNotFound:
            if not await gateway.looked_again():
                raise
            ruleset = gateway.now
            steered = steer(gateway, ruleset, call, headers, key, identity, keeper)
        call, route, terms = steered
        if keeper:
            route = at_keeper(route, keeper, call, gateway.spoken)
        crossing = None
        if self._endpoint.dialect not in ruleset.straight or gateway.memory.unspoken:
            crossing, route = await self._crossed(call, route)
        return Admission(
            gateway, key, call, route, terms, ruleset, identity, forwarded(scope["headers"], headers),
            client.received_at, crossing, passing(self._endpoint, scope) if scope["query_string"] else b"",
        )  # fmt: skip

    async def _refused(self, refused: Refusal, identity: bytes, key: Key | None) -> Refusal:
        """Count a refusal of a request that has no route, and return what the client is told.

        `key`: the caller's, if the request has not been counted against its limits yet.
        """
        gateway = self._gateway
        refusal = refused
        if key is not None:  # a refused request counts too
            refusal = await gateway.books.count_refused(identity, key) or refused
        gateway.metrics.refuse(self._endpoint, refusal.status)
        if refusal.code in ABOUT_KEYS:
            gateway.metrics.key_refused(refusal.code)
        return refusal

    async def _crossed(self, call: Call, route: Route) -> tuple[Crossing | None, Route]:
        """Return the crossing of a call, if it takes bridges, and its route as the call takes it."""
        gateway = self._gateway
        crossing = crossing_of(call, route, gateway.spoken, is_kept=gateway.books.keeps_content)
        return crossing, route if crossing is None else await crossing.over(route)


async def serve_kept(exchange: Exchange, admission: Admission, client: Downstream, outlet: Outlet, tab: Tab) -> None:
    """Serve a call of a route with a cache: replay the stored answer, or run the exchange and store its answer."""
    gateway, call, route = admission.gateway, admission.call, admission.route
    try:
        found = await gateway.caching.lookup(
            call, route, admission.terms, exchange.first, whose(admission.key, client.headers), client.headers,
            admission.forwarded,
        )  # fmt: skip
        if found is not None:
            gateway.metrics.cache(route, hit=isinstance(found, Hit))
        if isinstance(found, Hit):
            await serve_hit(admission, found, client)
            tab.end(200)
            return
        if found is not None:
            found.watch(outlet)
    except BaseException:
        tab.end(0)
        raise
    await exchange.run()
    if found is not None:
        found.keep(exchange.answered_by, exchange.usage)


async def serve_hit(admission: Admission, hit: Hit, client: Downstream) -> None:
    """Answer a call from the cache. The call counts like any other, but has no attempts and costs nothing."""
    gateway, call = admission.gateway, admission.call
    gateway.metrics.enter(call.endpoint)
    whole = False
    try:
        whole = await hit.replay(client, admission.request_id)
    finally:
        gateway.settle(
            Settlement(
                call=call, route=admission.route, attempts=(), status=200 if whole else 499 if client.gone else 503,
                usage=None, hung_up=client.gone and not whole, duration_s=monotonic() - client.received_at,
                overhead_s=0.0, cached=True, request_id=admission.request_id, key=admission.key,
            )
        )  # fmt: skip


def whose(key: Key, headers: Mapping[bytes, bytes]) -> str:
    """Return the caller's identity in the cache. All keys of server.api_keys share one `Key`, but not one identity."""
    return key.id or sha256(credential_of(headers) or b"").hexdigest()


def refuse(client: Downstream, refusal: Refusal, identity: bytes, body: bytes) -> None:
    """Answer with a refusal. `body`: in the client's dialect."""
    lines = [b"content-type: application/json\r\nx-request-id: ", identity, b"\r\n"]
    lines += [b"%b: %b\r\n" % header for header in refusal.headers]
    client.respond(refusal.status, b"".join(lines), body)
