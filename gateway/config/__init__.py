"""Load gateway.yaml into a frozen `Config`, or make a `Config` without a file.

Only `load` and `schema` import pydantic, so the gateway starts faster without a file.
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
        ConfigError: the configuration has mistakes; all are listed, each as `file:line:column: message`.
    """
    from gateway.config.loading import load as read_and_resolve

    return read_and_resolve(path, environ)


def zero(environ: Mapping[str, str], detected: Sequence[Detected] = ()) -> Config:
    """Make a configuration without a file, from detected local servers and the API keys in the environment.

    It has every role of `without_file.JOBS`; without any provider, the built-in `demo/echo` fills them. The overlay of
    changes made at run time is merged in too.

    Raises:
        ConfigError: a variable such as GATEWAY_PORT has an invalid value, or the overlay has mistakes.
    """
    from gateway.config.without_file import zero as from_what_is_there

    return from_what_is_there(environ, detected)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    from gateway.config.shape import schema as of_the_file

    return of_the_file()
