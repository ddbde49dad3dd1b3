"""Load gateway.yaml, or do without one, into a frozen `Config`.

pydantic is imported by the first `load` or `schema`: without a file the gateway starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.settings import Config, Detected, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Config", "Detected", "ServerSettings", "load", "schema"]


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file, and the `.env` beside it.

    Raises:
        ConfigError: with every mistake at once, each as `file:line:column: message`.
    """
    from gateway.config.loading import load as read_and_resolve

    return read_and_resolve(path, environ)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    from gateway.config.shape import schema as of_the_file

    return of_the_file()
