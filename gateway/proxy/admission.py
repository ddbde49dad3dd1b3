"""What a call was admitted with. All of its attempts share it, and none of them changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.core.plan import Terms
    from gateway.proxy.crossing import Crossing
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.types import Call, Key, Route


class Admission(msgspec.Struct, frozen=True, gc=False):
    """One call of one caller: who asks, for what, on which terms."""

    gateway: Gateway
    key: Key
    call: Call
    route: Route
    """Where the caller's name for the model led. A spent budget may send the call to another one."""
    terms: Terms
    ruleset: Ruleset
    """The version of the configuration that the call was steered by; it stays with the call."""
    request_id: bytes
    """The client's name for the call, or a new one."""
    forwarded: bytes
    """Header lines of the client's that go to every upstream."""
    received_at: float
    """When the request was there, on `time.monotonic`."""
    crossing: Crossing | None = None
    """The call in other dialects. None: every candidate speaks the client's."""
    query: bytes = b""
    """The query string, if providers of the client's dialect get it too."""
    parent: str = ""
    """The request id of the call on whose behalf the gateway itself makes this one; empty: a client made it."""
