"""Every path the gateway serves, with and without the `/v1` prefix, and who may use it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Route, Router

from gateway.dialects.endpoints import ENDPOINTS
from gateway.errors import MethodNotAllowed, NotFound, Refusal
from gateway.web.answers import refusal_answer
from gateway.web.door import Door
from gateway.web.explain import Explain
from gateway.web.health import Health
from gateway.web.models import Models
from gateway.web.openai import Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.proxy.gateway import Gateway

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

PREFIXES = ("/v1", "")


class Web:
    """The ASGI application for HTTP. The data plane is one dictionary look-up; everything else is Starlette's."""

    def __init__(self, gateway: Gateway) -> None:
        door = Door(gateway.config.server.api_keys)
        models, health, explain = Models(gateway, door), Health(gateway), Explain(gateway, door)
        operations = {endpoint.path: Operation(gateway, endpoint, door) for endpoint in ENDPOINTS}
        self._operations = {prefix + path: app for prefix in PREFIXES for path, app in operations.items()}
        routes = [
            Route("/livez", health.live),
            Route("/readyz", health.ready),
            Route("/healthz", health.ready),
            Route("/metrics", health.metrics),
        ]
        for prefix in PREFIXES:
            routes.append(Route(f"{prefix}/explain", explain.__call__))
            routes += [Route(f"{prefix}/models", models.every), Route(f"{prefix}/models/{{model:path}}", models.one)]
        self._paths = [*self._operations, *(route.path for route in routes if "{" not in route.path)]
        router = Router(routes, redirect_slashes=False, default=self._missing)
        self._others = ExceptionMiddleware(router, handlers={Refusal: _refused, HTTPException: _refused_by_starlette})

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        path = scope["path"]
        operation = self._operations.get(path)
        if operation is None and "//" in path:  # base URLs are pasted with and without a slash at the end
            operation = self._operations.get(path.replace("//", "/"))
        if operation is not None:
            if scope["method"] == "POST":
                return operation(scope, receive, send)
            return _not_allowed(scope, "POST")(scope, receive, send)
        scope["app"] = self  # without it Starlette answers a wrong method by itself, in plain text
        return self._others(scope, receive, send)

    async def _missing(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        near = get_close_matches(path[:100], self._paths, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "; the API is below /v1"
        await refusal_answer(NotFound(f'no such path "{path[:200]}"{hint}'))(scope, receive, send)


def _not_allowed(scope: Scope, allowed: str) -> Response:
    message = f"{scope['method']} is not possible here; use {allowed}"
    return refusal_answer(MethodNotAllowed(message, headers=[(b"allow", allowed.encode())]))


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return refusal_answer(error)


async def _refused_by_starlette(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (a wrong method) in the same shape as all others."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == MethodNotAllowed.status:
        return _not_allowed(request.scope, (error.headers or {}).get("Allow", "GET"))
    return refusal_answer(NotFound(str(error.detail), status=error.status_code))
