"""Liveness, readiness, the configuration in use, and metrics. Open to everyone, so they hold no secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.metrics import CONTENT_TYPE
from gateway.web.answers import json_answer
from gateway.web.here import is_here

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
        """Answer 200: the event loop runs."""
        return json_answer({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Answer 200 if a call could be served: the keys have been read, and some provider is usable.

        Failed background work is listed, but does not change the status, because calls do not need it. Nor does a key
        database that is lost later: calls go on with the known keys.
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
        """Answer with a status, and with the background work that has failed: the kind of error, not its message."""
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
        """Return the version in use, and why a newer one is not. Names and paths are shown to this machine only."""
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
        """Answer with all metrics in Prometheus' text format."""
        return Response(self._gateway.metrics.expose(), media_type=CONTENT_TYPE)
