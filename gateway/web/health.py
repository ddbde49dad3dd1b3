"""Is it alive, is it ready, which configuration is in use, and what has it counted. Open to everyone, no secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.metrics import CONTENT_TYPE
from gateway.web.answers import json_answer
from gateway.web.door import is_here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from gateway.background.supervisor import Standing
    from gateway.proxy.gateway import Gateway
    from gateway.stores.keyring import Keyring


_HIDDEN = "the gateway's log says what"


class Health:
    """`/livez`, `/readyz` (and its alias `/healthz`), `/metrics`. No upstream is ever asked."""

    def __init__(self, gateway: Gateway, keyring: Keyring, background: Mapping[str, Standing]) -> None:
        self._gateway = gateway
        self._keyring = keyring
        self._background = background

    async def live(self, _: Request) -> Response:
        """The loop turns."""
        return json_answer({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """A call could be served: it is known which keys there are, and some name has a usable upstream.

        Background work that has failed is named, and changes nothing else: calls go on without it. A database of keys
        that is lost later takes nobody out either, because calls go on with the keys that are known.
        """
        gateway = self._gateway
        if gateway.draining:
            return self._said(request, "draining", 503)
        if self._keyring.ring is None:
            return self._said(request, "the keys have not been read", 503)
        if not any(provider.unusable is None for provider in gateway.now.directory.providers.values()):
            return self._said(request, "no usable provider", 503)
        return self._said(request, "ok")

    def _said(self, request: Request, status: str, code: int = 200) -> Response:
        """Answer with a status, and with what background work has failed since the start: its kind, not its words."""
        answer: dict[str, object] = {"status": status, "configuration": self._configuration(request)}
        if self._keyring.problem:
            answer["keys"] = "stale" if self._keyring.ring is not None else "unknown"
        if failed := {
            name: {"up": one.up, "restarts": one.restarts, "last": one.failure}
            for name, one in self._background.items()
            if one.restarts
        }:
            answer["background"] = failed
        return json_answer(answer, code)

    def _configuration(self, request: Request) -> dict[str, object]:
        """Say which version is in use, and why not another. What files say of names and paths is for this machine."""
        ruleset, reading = self._gateway.now, self._gateway.reading
        here = is_here(request.scope, dict(request.scope["headers"]))
        loaded_at = datetime.fromtimestamp(ruleset.loaded_at, UTC).isoformat(timespec="milliseconds")
        said: dict[str, object] = {
            "version": ruleset.version,
            "loaded_at": loaded_at.replace("+00:00", "Z"),
            "readings": reading.count,
            "error": (reading.error if here else _HIDDEN) if reading.error else None,
        }
        if here:
            said["source"] = ruleset.config.source
        if reading.waits:
            said["after_restart"] = list(reading.waits) if here else _HIDDEN
        return said

    async def metrics(self, _: Request) -> Response:
        """Everything counted so far, for Prometheus."""
        return Response(self._gateway.metrics.expose(), media_type=CONTENT_TYPE)
