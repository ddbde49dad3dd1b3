"""Load gateway.yaml, or do without one, into a frozen `Config`.

pydantic is imported by the first `load` or `schema`: without a file the gateway starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.settings import Config, Detected, LedgerSettings, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Config", "Detected", "LedgerSettings", "ServerSettings", "load", "schema", "zero"]


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file, the `.env` beside it, and the overlay of changes made at run time.

    Raises:
        ConfigError: with every mistake at once, each as `file:line:column: message`.
    """
    from gateway.config.loading import load as read_and_resolve

    return read_and_resolve(path, environ)


def zero(environ: Mapping[str, str], detected: Sequence[Detected] = ()) -> Config:
    """Make a configuration without a file: local servers that were detected, then the keys in the environment.

    The overlay of changes made at run time counts here too.

    Every role of `without_file.JOBS` is there. If nothing was found, the built-in `demo/echo` has them all.

    Raises:
        ConfigError: GATEWAY_PORT or GATEWAY_API_KEY cannot be what they are meant to be, or the overlay has mistakes.
    """
    from gateway.config.without_file import zero as from_what_is_there

    return from_what_is_there(environ, detected)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    from gateway.config.shape import schema as of_the_file

    return of_the_file()
