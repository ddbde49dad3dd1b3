"""Apply the environment to the server's settings (GATEWAY_HOST and others), and check client keys."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING

from gateway.config.scalars import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config.settings import ServerSettings

# A guessable key is worse than none, because it looks safe.
SHORTEST_KEY = 16
REMEDY = "python -c 'import secrets; print(secrets.token_urlsafe(32))' prints a good one"


def digest(key: str) -> bytes:
    """Return the digest that is stored in place of a client key."""
    return sha256(key.encode()).digest()


def objection(key: str) -> str | None:
    """Return why a text cannot be a client key, or None."""
    if not key.isascii() or not key.isprintable() or " " in key:
        return "a client key is one word of printable ASCII"
    if len(key) < SHORTEST_KEY:
        return f"a client key has {SHORTEST_KEY} characters or more; {REMEDY}"
    return None


def with_environment(
    server: ServerSettings, environ: Mapping[str, str], complain: Callable[[str, str], None]
) -> ServerSettings:
    """Return the settings with the environment's changes; `complain(variable, message)` about invalid values."""
    if host := environ.get("GATEWAY_HOST", "").strip():
        server = replace(server, host=host)
    if port := environ.get("GATEWAY_PORT", "").strip():
        if port.isascii() and port.isdecimal() and int(port) <= 65535:
            server = replace(server, port=int(port))
        else:
            complain("GATEWAY_PORT", "must be a port number, 0 to 65535")
    if delay := environ.get("GATEWAY_DRAIN_DELAY", "").strip():
        try:
            server = replace(server, drain_delay_s=wait(delay))
        except ValueError as error:
            complain("GATEWAY_DRAIN_DELAY", str(error))
    if key := environ.get("GATEWAY_API_KEY", "").strip():
        if wrong := objection(key):
            complain("GATEWAY_API_KEY", wrong)
        else:
            server = replace(server, api_keys=server.api_keys | {digest(key)})
    if key := environ.get("GATEWAY_ADMIN_KEY", "").strip():
        if wrong := objection(key):
            complain("GATEWAY_ADMIN_KEY", wrong)
        else:
            server = replace(server, admin_keys=server.admin_keys | {digest(key)})
    return server


def is_open_to_others(server: ServerSettings) -> bool:
    """Tell whether machines other than this one can reach the gateway without a key."""
    if server.api_keys or server.host == "localhost":
        return False
    try:
        return not ip_address(server.host).is_loopback
    except ValueError:
        return True
