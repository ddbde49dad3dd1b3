"""Responses that were made before: `/v1/responses/{id}`, its input and its cancellation; and calls that go on from one.

A response is where it was made. The request goes to the provider that keeps it, with the client's own words; nobody
else is asked. A translated response is kept nowhere but in the ledger, and only with `ledger: {content: true}`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import structs
from starlette.responses import Response

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import RESPONSES, dialect_of
from gateway.dialects.responses.kept import continued, deleted, input_items, name_of, previous_of
from gateway.errors import BadRequest, NotFound, UpstreamsFailed
from gateway.proxy.downstream import SCOPE_KEY
from gateway.types import Rejected
from gateway.web.door import CALLER, Access

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping

    from gateway.proxy.downstream import Downstream
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.origins import Origin
    from gateway.types import Call, Key, Provider, Route
    from gateway.upstream.kept import Keeper, KeptAnswer

_ONE = "/responses/{response_id}"
_EVENTS = "text/event-stream"
_UNKNOWN = (
    "no response {id} of this key is known; responses are kept by the provider that made them, and translated ones "
    "only with ledger: {{content: true}}"
)


class KeptResponses:
    """The routes."""

    access = Access.CALL

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keeper: Keeper | None = None

    @property
    def keeper(self) -> Keeper:
        """What asks providers, made at first use: to import httpx takes longer than all else at the start."""
        if self._keeper is None:
            from gateway.upstream.kept import Keeper

            self._keeper = Keeper(self._gateway.client)
        return self._keeper

    def places(self) -> Iterator[tuple[str, str, KeptRequest]]:
        """Yield the method, the path and the application of each route."""
        for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
            yield method, _ONE + rest, KeptRequest(self._gateway, self, method, rest)


class KeptRequest:
    """One request about a response that was made before, as an ASGI application."""

    def __init__(self, gateway: Gateway, routes: KeptResponses, method: str, rest: str) -> None:
        self._gateway = gateway
        self._routes = routes
        self._method = method
        self._rest = rest

    def __repr__(self) -> str:
        return f"<KeptRequest {self._method} {_ONE}{self._rest}>"

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve one request.

        Raises:
            Refusal: the response is unknown here, or its provider does not answer.
        """
        response_id: str = scope["path_params"]["response_id"]
        gateway, key = self._gateway, scope[CALLER]
        config = gateway.now.config
        origin = await gateway.origins.find(response_id, key, config.ledger)
        if origin is None:
            raise NotFound(_unknown(response_id), param="response_id")
        query: str = scope["query_string"].decode("latin-1")
        if origin.attempt:
            body = await self._from_ledger(response_id, origin, dict(parse_qsl(query)))
            await Response(body, media_type="application/json")(scope, receive, send)
            return
        provider = gateway.directory.providers.get(origin.provider)
        if provider is None:
            raise NotFound(
                f"response {_said(response_id)} is kept by {origin.provider}, which the configuration no longer has",
                param="response_id",
            )
        async with self._routes.keeper.ask(provider, self._method, response_id, self._rest, query) as answer:
            if answer.content_type.startswith(_EVENTS):
                await _pass_events(answer, scope["extensions"][SCOPE_KEY])
                return
            body = await answer.whole()
        if self._method == "DELETE" and answer.status < 300:
            gateway.origins.delete(response_id, origin)
        await Response(body, answer.status, {"content-type": answer.content_type})(scope, receive, send)

    async def _from_ledger(self, response_id: str, origin: Origin, query: Mapping[str, str]) -> bytes:
        gateway = self._gateway
        kept = await gateway.origins.kept(origin, gateway.now.config.ledger)
        if kept is None:
            raise NotFound(_unknown(response_id), param="response_id")
        if self._rest == "/cancel":
            raise BadRequest("only a response that is made in the background can be cancelled; this one is complete")
        if self._rest == "/input_items":
            return input_items(kept, name_of(origin.attempt), query)
        if self._method == "DELETE":
            gateway.origins.delete(response_id, origin)
            return deleted(response_id)
        if query.get("stream") == "true":
            raise BadRequest(
                "a translated response is kept whole, without its events; leave out stream", param="stream"
            )
        return msgspec.json.encode(kept.response)


def goes_on(call: Call) -> bool:
    """Tell whether a call may name an earlier response."""
    return call.endpoint.stateful and "previous_response_id" in call.fields


async def continuing(gateway: Gateway, call: Call, key: Key) -> tuple[Call, str]:
    """Return a call as it is without `previous_response_id`, and the provider that keeps what it goes on from.

    If a provider keeps that response, the call stays as it is, for this provider alone. A translated response becomes
    input of the call, which then may go to any provider. A response unknown here is for the provider to know: "*".

    Raises:
        BadRequest: the response cannot be gone on from.
    """
    wanted = previous_of(call.fields)
    if not wanted:
        return call, ""
    ledger = gateway.now.config.ledger
    origin = await gateway.origins.find(wanted, key, ledger)
    if origin is None or not origin.attempt:
        return call, "*" if origin is None else origin.provider
    kept = await gateway.origins.kept(origin, ledger)
    if kept is None:
        raise BadRequest(
            f'{_unknown(wanted)}; send the whole conversation in "input"', param="previous_response_id",
            code="previous_response_not_found",
        )  # fmt: skip
    body = await asyncio.to_thread(continued, call.body, kept)
    if len(body) > (most := gateway.now.config.server.max_body_bytes):
        raise BadRequest(
            f"the conversation before is so long that the request would have more than {most} bytes (server.max_body)",
            param="previous_response_id",
        )
    return structs.replace(read_call(call.endpoint, body), content_type=call.content_type), ""


def at_keeper(route: Route, keeper: str, call: Call, speaks: Callable[[Provider], tuple[str, ...]]) -> Route:
    """Return a route with the candidates alone whose provider may know the response that a call goes on from.

    `keeper`: the provider that has the response; "*": any that speaks the dialect may.

    Raises:
        BadRequest: there is no such candidate.
    """
    dialect = call.endpoint.dialect
    known = tuple(
        one for one in route.candidates
        if (keeper in ("*", one.upstream.provider.name)) and dialect in speaks(one.upstream.provider)
    )  # fmt: skip
    if not known:
        where = "is not known here" if keeper == "*" else f"is kept by {keeper}, to which {route.name} does not lead"
        remedy = "" if keeper == "*" else f"ask for {keeper}/MODEL, or "
        raise BadRequest(
            f'response {_said(previous_of(call.fields))} {where}; {remedy}send the whole conversation in "input"',
            param="previous_response_id", code="previous_response_not_found",
        )  # fmt: skip
    gone = tuple(
        Rejected(one.label, "does not keep the response that the call goes on from")
        for one in route.candidates
        if one not in known
    )
    return replace(route, candidates=known, rejected=(*route.rejected, *gone))


async def _pass_events(answer: KeptAnswer, client: Downstream) -> None:
    """Relay the events of a response that is made in the background."""
    if client.gone:
        return
    writable = asyncio.Event()

    def wake() -> None:
        writable.set()

    def hang_up() -> None:
        client.task.cancel()

    async def write(piece: bytes) -> None:
        writable.clear()
        if not client.write(piece):
            await writable.wait()

    client.on_hang_up, client.on_writable = hang_up, wake
    try:
        client.start(answer.status, b"content-type: text/event-stream\r\n", None)
        await answer.relay(write)
        client.finish()
    except UpstreamsFailed as failed:
        client.write(dialect_of(RESPONSES).broken(failed.message, "upstream_broken"))
        client.abort()
    finally:
        client.on_hang_up = client.on_writable = None


def _said(response_id: str) -> str:
    return f'"{response_id[:100]}"'


def _unknown(response_id: str) -> str:
    return _UNKNOWN.format(id=_said(response_id))
