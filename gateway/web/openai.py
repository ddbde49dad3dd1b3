"""OpenAI's operations as ASGI applications: admit, read, resolve, and hand over to the exchange."""

from __future__ import annotations

import itertools
import re
import secrets
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any

from gateway.dialects.openai import error_body
from gateway.errors import ModelNotFound, Refusal
from gateway.proxy.caching import Hit
from gateway.proxy.downstream import SCOPE_KEY
from gateway.proxy.exchange import Exchange
from gateway.proxy.headers import forwarded
from gateway.types import Settlement
from gateway.web.door import ABOUT_KEYS, Access, credential_of
from gateway.web.reading import read_request
from gateway.web.steering import refuse_other_names, steer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from gateway.core.plan import Terms
    from gateway.proxy.books import Tab
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.types import Call, Endpoint, Key, Route
    from gateway.web.door import Door

# Names go into headers and the ledger. No provider has one of half the length.
LONGEST_MODEL = 512

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_PROCESS = secrets.token_hex(6).encode()
_numbers = itertools.count(1)


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the client's own `x-request-id` if it is one, else a new one, unique across processes."""
    sent = headers.get(b"x-request-id")
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent
    return b"req_%b%08x" % (_PROCESS, next(_numbers))


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
        headers = client.headers
        identity = request_id(headers)
        routed = counted = False
        key: Key | None = None
        try:
            key = self._door.admit(scope, headers, self.access)
            call = await read_request(self._endpoint, client, self._gateway.now.config.server.max_body_bytes)
            if len(call.model) > LONGEST_MODEL:
                raise ModelNotFound(
                    f'"model" is {len(call.model)} characters long; no name has more than {LONGEST_MODEL}',
                    param="model",
                )
            if key.routes:
                refuse_other_names(key, call, headers)
            ruleset = self._gateway.now  # all that is decided from here on, also after a reload, is by this one
            try:
                steered = steer(self._gateway, ruleset, call, headers)
            except ModelNotFound:
                if not await self._gateway.looked_again():
                    raise
                ruleset = self._gateway.now
                steered = steer(self._gateway, ruleset, call, headers)
            call, route, terms = steered
            lines = forwarded(scope["headers"], headers)
            tab = self._gateway.books.open(identity, key, route, call, terms.needs, ruleset.spending)
            if tab.is_limited():
                counted = True
                await tab.admit()
            routed = True
            if route.cache is None:
                await Exchange(
                    self._gateway, call, route, terms, client, tab,
                    ruleset=ruleset, request_id=identity, forwarded=lines,
                ).run()  # fmt: skip
            else:
                await self._serve_kept(
                    call, route, terms, client, tab, whose(key, headers),
                    ruleset=ruleset, request_id=identity, forwarded=lines,
                )  # fmt: skip
        except Refusal as refused:
            refusal = refused
            if not routed and not counted and key is not None:  # what is refused is a request too
                refusal = await self._gateway.books.count_refused(identity, key) or refused
            if not routed:
                self._gateway.metrics.refuse(self._endpoint, refusal.status)
                if refusal.code in ABOUT_KEYS:
                    self._gateway.metrics.key_refused(refusal.code)
            refuse(client, refusal, identity)

    async def _serve_kept(
        self, call: Call, route: Route, terms: Terms, client: Downstream, tab: Tab, caller: str,
        *, ruleset: Ruleset, request_id: bytes, forwarded: bytes,
    ) -> None:  # fmt: skip
        """Serve a call of a route whose answers are kept: from there, or keep what it is answered."""
        gateway = self._gateway
        exchange = Exchange(
            gateway, call, route, terms, client, tab, ruleset=ruleset, request_id=request_id, forwarded=forwarded
        )
        try:
            found = await gateway.caching.lookup(call, route, terms, exchange.first, caller, client.headers, forwarded)
            if found is not None:
                gateway.metrics.cache(route, hit=isinstance(found, Hit))
            if isinstance(found, Hit):
                await serve_hit(gateway, call, route, found, client, request_id)
                tab.end(200)
                return
            if found is not None:
                exchange.watch(found.watch(client))
        except BaseException:
            tab.end(0)
            raise
        await exchange.run()
        if found is not None:
            found.keep(exchange.answered_by, exchange.usage)


async def serve_hit(
    gateway: Gateway, call: Call, route: Route, hit: Hit, client: Downstream, request_id: bytes
) -> None:
    """Answer a call from the cache. It counts like any other, but has no attempts and costs nothing."""
    gateway.metrics.enter(call.endpoint)
    whole = False
    try:
        whole = await hit.replay(client, request_id)
    finally:
        gateway.settle(
            Settlement(
                call=call, route=route, attempts=(), status=200 if whole else 499 if client.gone else 503, usage=None,
                hung_up=client.gone and not whole, duration_s=monotonic() - client.received_at, overhead_s=0.0,
                cached=True,
            )
        )  # fmt: skip


def whose(key: Key, headers: Mapping[bytes, bytes]) -> str:
    """Return whose answers a caller may see. All keys of server.api_keys are one `Key`, but not one caller."""
    return key.id or sha256(credential_of(headers) or b"").hexdigest()


def refuse(client: Downstream, refusal: Refusal, identity: bytes) -> None:
    """Answer with a refusal in OpenAI's shape."""
    lines = [b"content-type: application/json\r\nx-request-id: ", identity, b"\r\n"]
    lines += [b"%b: %b\r\n" % header for header in refusal.headers]
    client.respond(refusal.status, b"".join(lines), error_body(refusal))
