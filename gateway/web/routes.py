"""Every path the gateway serves, with and without the `/v1` prefix, and who may use it."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.routing import Route, Router

from gateway.dialects.endpoints import COUNT_TOKENS, ENDPOINTS, INPUT_TOKENS
from gateway.errors import MethodNotAllowed, NotFound, Refusal
from gateway.stores.keyring import Keyring
from gateway.web.answers import refusal_answer
from gateway.web.counting import CountTokens
from gateway.web.door import CALLER, Access, Door
from gateway.web.explain import Explain
from gateway.web.health import Health
from gateway.web.models import Models
from gateway.web.openai import Operation
from gateway.web.outcomes import Outcomes
from gateway.web.responses import KeptResponses
from gateway.web.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from gateway.background.supervisor import Standing
    from gateway.catalog import Refresh
    from gateway.proxy.gateway import Gateway
    from gateway.types import Header
    from gateway.web.admin.api import Admin

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

PREFIXES = ("/v1", "")
_OPEN = frozenset({Access.PUBLIC, Access.METRICS})
_SLASHES = re.compile("//+")
_REPEATED_PREFIX = re.compile("(?:/v1)+(?=/v1(?:/|$))")


class UpgradeRequired(Refusal):
    """The client wants a WebSocket. Codex falls back to HTTP at once on this status and no other (release 0.169)."""

    status = 426
    code = "websocket_not_supported"


class Place(Route):
    """A route with its access. The check wraps the route's own application, so no other way leads around it."""

    def __init__(
        self, path: str, endpoint: Callable[..., Awaitable[Response | None]], access: Access, method: str = "GET"
    ) -> None:
        """`endpoint`: takes a request and returns a response, or is an ASGI application."""
        super().__init__(path, endpoint, methods=[method])
        self.access = access

    def guard(self, door: Door) -> None:
        """Admit only callers that `door` admits. The endpoint finds the caller's key in the scope under CALLER."""
        answer = self.app

        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            scope[CALLER] = door.admit(scope, dict(scope["headers"]), self.access)
            await answer(scope, receive, send)

        self.app = admitted


class Web:
    """The ASGI application for HTTP. The data plane is one dictionary look-up; everything else is Starlette's."""

    def __init__(
        self,
        gateway: Gateway,
        keyring: Keyring | None = None,
        background: Mapping[str, Standing] | None = None,
        admin: Admin | None = None,
        refreshed: Callable[[], Mapping[str, Refresh]] = dict,
    ) -> None:
        """`keyring`: the virtual keys; the owner refreshes and closes it. None: there are no virtual keys.

        `background`: the state of each piece of background work. `admin`: None: there is no admin API.
        `refreshed`: returns the last request for each provider's list of models.
        """
        self._gateway = gateway
        keyring = Keyring(None) if keyring is None else keyring
        self.door = Door(gateway, keyring)
        self.outcomes = outcomes = Outcomes(gateway)
        usage = Usage(gateway)
        kept = KeptResponses(gateway)
        models, health, explain = (
            Models(gateway, refreshed),
            Health(gateway, keyring, {} if background is None else background),
            Explain(gateway),
        )
        operations: dict[str, Operation | CountTokens] = {
            endpoint.path: Operation(gateway, endpoint, self.door) for endpoint in ENDPOINTS
        }
        for counting in (COUNT_TOKENS, INPUT_TOKENS):
            operations[counting.path] = CountTokens(gateway, counting, self.door)
        self._operations = {prefix + path: app for prefix in PREFIXES for path, app in operations.items()}
        places = [
            Place("/livez", health.live, Access.PUBLIC),
            Place("/readyz", health.ready, Access.PUBLIC),
            Place("/healthz", health.ready, Access.PUBLIC),
            # Front ends and platforms ask for these.
            Place("/health", health.live, Access.PUBLIC),
            Place("/api/health", health.live, Access.PUBLIC),
            Place("/metrics", health.metrics, Access.METRICS),
        ]
        for prefix in PREFIXES:
            places += [
                # Claude Code asks for these before its first call: HEAD / (2.1.197), HEAD /api/hello (2.1.332).
                Place(prefix or "/", health.live, Access.PUBLIC),
                Place(f"{prefix}/api/hello", health.live, Access.PUBLIC),
                Place(f"{prefix}/explain", explain.__call__, Access.CALL),
                Place(f"{prefix}/outcomes", outcomes.__call__, Access.CALL, "POST"),
                Place(f"{prefix}/usage", usage.__call__, Access.CALL),
                Place(f"{prefix}/models", models.every, Access.CALL),
                Place(f"{prefix}/models/{{model:path}}", models.one, Access.CALL),
            ]
            places += [Place(prefix + path, request, kept.access, method) for method, path, request in kept.places()]
        if admin is not None:
            places += [Place(path, endpoint, Access.ADMIN, method) for method, path, endpoint in admin.places()]
        self._places = guarded(places, self.door)
        self._paths = [*self._operations, *(place.path for place in places if "{" not in place.path)]
        router = Router(places, redirect_slashes=False, default=self._missing)
        self._others = ExceptionMiddleware(router, handlers={Refusal: _refused, HTTPException: _refused_by_starlette})

    @property
    def routes(self) -> Iterator[tuple[str, str, Access]]:
        """Yield every method and path that is served, and its access."""
        for path, operation in self._operations.items():
            yield "POST", path, operation.access
        for place in self._places:
            for method in sorted(place.methods or ()):
                yield method, place.path, place.access

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        operation = self._operations.get(scope["path"])
        if operation is None:
            path = scope["path"] = canonical(scope["path"])
            operation = self._operations.get(path)
        if operation is not None and scope["method"] == "POST":
            return operation(scope, receive, send)
        if scope["method"] == "OPTIONS" and (cors := self._gateway.now.cors) is not None:
            allowed = cors.preflight(dict(scope["headers"]))
            if allowed is not None:
                return _preflight_answer(allowed)(scope, receive, send)
        if operation is not None:
            return _not_allowed(scope, "POST")(scope, receive, send)
        scope["app"] = self  # else Starlette would answer a wrong method in plain text
        return self._others(scope, receive, send)

    async def _missing(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if _wants_websocket(scope):
            await _no_websocket(path)(scope, receive, send)
            return
        near = get_close_matches(path[:100], self._paths, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "; the API is below /v1"
        await refusal_answer(path, NotFound(f'no such path "{path[:200]}"{hint}'))(scope, receive, send)


def canonical(path: str) -> str:
    """Return a path as the routes spell it: without double slashes, a repeated `/v1`, or a slash at the end.

    Users paste base URLs with and without `/v1` and a slash, and SDKs add their own. The canonical path is looked up
    like any other, and its route still asks for the key.
    """
    path = _SLASHES.sub("/", path)
    if repeated := _REPEATED_PREFIX.match(path):
        path = path[repeated.end() :]
    return path.removesuffix("/") or "/"


def guarded(routes: Sequence[BaseRoute], door: Door) -> list[Place]:
    """Put the door before every route that is not open to everyone.

    Raises:
        TypeError: a route does not declare its access. The gateway does not start then.
    """
    places: list[Place] = []
    for route in routes:
        if not isinstance(route, Place) or not isinstance(route.access, Access):
            raise TypeError(f"{route} does not say who may use it; make it a Place with an Access")
        if route.access not in _OPEN:
            route.guard(door)
        places.append(route)
    return places


def _wants_websocket(scope: Scope) -> bool:
    """Whether a request is the opening handshake of RFC 6455 section 4.1."""
    if scope["method"] != "GET" or scope["http_version"] == "1.0":
        return False
    offered = b",".join(value for name, value in scope["headers"] if name == b"upgrade").lower()
    return b"websocket" in {token.strip() for token in offered.split(b",")}


def _no_websocket(path: str) -> Response:
    message = "this gateway does not speak WebSocket; send the request with POST, and stream with server-sent events"
    # The answer must name a protocol that the server speaks (RFC 9110 section 15.5.22).
    headers = [(b"upgrade", b"HTTP/1.1"), (b"connection", b"close")]
    return refusal_answer(path, UpgradeRequired(message, headers=headers))


def _preflight_answer(headers: Sequence[Header]) -> Response:
    response = Response(status_code=204)
    response.raw_headers.extend(headers)
    return response


def _not_allowed(scope: Scope, allowed: str) -> Response:
    if _wants_websocket(scope):
        return _no_websocket(scope["path"])
    message = f"{scope['method']} is not possible here; use {allowed}"
    return refusal_answer(scope["path"], MethodNotAllowed(message, headers=[(b"allow", allowed.encode())]))


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    # Anthropic's SDKs send this header to the paths that both APIs have, such as /v1/models.
    return refusal_answer(request.scope["path"], error, anthropic="anthropic-version" in request.headers)


async def _refused_by_starlette(request: Request, error: Exception) -> Response:
    """Answer Starlette's own refusals (a wrong method) in the same shape as all others."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == MethodNotAllowed.status:
        return _not_allowed(request.scope, (error.headers or {}).get("Allow", "GET"))
    return refusal_answer(request.scope["path"], NotFound(str(error.detail), status=error.status_code))
