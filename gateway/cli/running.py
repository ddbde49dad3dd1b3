"""Find the gateway that runs on this machine, and ask for its state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.cli import configuration, terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.cli.state import Holder

# Less than the five seconds of the container image's health check.
WITHIN_S = 3.0
KEYS = ("GATEWAY_ADMIN_KEY", "GATEWAY_API_KEY")
LARGEST_ANSWER = 4_000_000


class Said(NamedTuple):
    """The answer of a gateway."""

    status: int
    """0 if there was no answer."""
    words: str
    """The body, or the error."""

    @property
    def body(self) -> dict[str, Any]:
        """The answer as a JSON object; empty if the answer is not one."""
        try:
            found = json.loads(self.words)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def running(path: Path | None) -> Holder | None:
    """Return the gateway that holds the state directory, or None. `path`: from `--config`, if given."""
    from gateway.cli.state import holder

    file = configuration.find(path) or configuration.USUAL
    return holder(configuration.environment(file.parent))


def admin_key(path: Path | None) -> str:
    """Return the key with which commands administer; empty if none is known. `path`: from `--config`, if given."""
    from gateway.config import overlay
    from gateway.stores.admin_key import kept

    environ = configuration.environment((configuration.find(path) or configuration.USUAL).parent)
    if said := next((key for name in KEYS if (key := environ.get(name, "").strip())), ""):
        return said
    folder = overlay.state_dir(environ)
    return "" if folder is None else kept(folder)


def readyz(host: str, port: int) -> Said:
    """Ask a gateway whether it is ready."""
    return asked(host, port, "/readyz")


def asked(host: str, port: int, path: str, headers: Mapping[str, str] | None = None) -> Said:
    """Return the answer of a gateway on this machine to a GET."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(terminal.reachable(host), port, timeout=WITHIN_S)
    try:
        connection.request("GET", path, headers={"host": f"127.0.0.1:{port}", **(headers or {})})
        response = connection.getresponse()
        return Said(response.status, response.read(LARGEST_ANSWER).decode("utf-8", "replace"))
    except (OSError, HTTPException) as error:
        return Said(0, str(error) or type(error).__name__)
    finally:
        connection.close()
