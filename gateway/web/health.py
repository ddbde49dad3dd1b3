"""Is it alive, is it ready, and what has it counted. Open to everyone, and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.metrics import CONTENT_TYPE
from gateway.web.answers import json_answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.proxy.gateway import Gateway


class Health:
    """`/livez`, `/readyz` (and its alias `/healthz`), `/metrics`. No upstream is ever asked."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def live(self, _: Request) -> Response:
        """The loop turns."""
        return json_answer({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """A call could be served: some name has a usable upstream."""
        gateway = self._gateway
        if gateway.draining:
            return json_answer({"status": "draining"}, 503)
        if not any(provider.unusable is None for provider in gateway.directory.providers.values()):
            return json_answer({"status": "no usable provider"}, 503)
        return json_answer({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        """Everything counted so far, for Prometheus."""
        return Response(self._gateway.metrics.expose(), media_type=CONTENT_TYPE)
