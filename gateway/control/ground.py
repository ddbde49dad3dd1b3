"""Read the configuration that changes are made to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.config.settings import ZERO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config.loading import Ground
    from gateway.config.settings import Detected


class Grounds(Protocol):
    """Returns the configuration without the overlay, as it is now. Blocks, and may raise ConfigError."""

    def __call__(self) -> Ground:
        """Read it."""


def grounds_of(source: str, environ: Mapping[str, str], detect: Callable[[], Sequence[Detected]] = tuple) -> Grounds:
    """Return the reader of a configuration.

    `source`: the file, or the name of the zero configuration. `detect`: finds local servers for the latter.
    """

    def read() -> Ground:
        if source == ZERO:
            from gateway.config.without_file import ground

            return ground(environ, detect())
        from gateway.config.loading import ground_of

        return ground_of(Path(source), environ)

    return read
