"""Reload the configuration of a running gateway as it was loaded at the start: same file, same options."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.cli import configuration
from gateway.cli.terminal import Unusable

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from gateway.config import Config


@dataclass(frozen=True, slots=True)
class Said:
    """The options of the command line."""

    path: Path | None
    has_file: bool
    """Whether there was a file at the start. If so, a missing file is a mistake later, not a wish for defaults."""
    host: str | None = None
    port: int | None = None
    workers: int | None = None

    @property
    def file(self) -> Path | None:
        """The file to read now; None if the gateway runs without one."""
        found = configuration.find(self.path)
        return configuration.USUAL if found is None and self.has_file else found

    def applied_to(self, config: Config) -> Config:
        """Return a configuration in which the options of the command line override the file."""
        from gateway.config.resolve import warnings

        server = replace(
            config.server,
            host=config.server.host if self.host is None else self.host,
            port=config.server.port if self.port is None else self.port,
            workers=self.workers or config.server.workers,
        )
        # Warnings about the configured address do not hold for another address.
        stale = set(warnings(config.server, {})) - set(warnings(server, {}))
        return replace(config, server=server, warnings=tuple(one for one in config.warnings if one not in stale))


def stamp_of(said: Said) -> Hashable:
    """Return a value that differs once a file has changed: gateway.yaml, the `.env` beside it, or the overlay."""
    from gateway.config import overlay
    from gateway.config.without_file import SOURCE

    file = said.file or configuration.USUAL
    source = SOURCE if said.file is None else str(said.file)
    changes = overlay.watched(configuration.environment(file.parent), source)
    return tuple(_stamp(one) for one in (file, file.parent / ".env", *changes))


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    # The inode counts, because editors replace the file, and a mounted file is often a link that moves.
    return found.st_mtime_ns, found.st_size, found.st_ino


class Again:
    """The source of a running gateway's configuration, for its `Reader`."""

    def __init__(self, said: Said, asked: Config, running: Config) -> None:
        """`asked`: the configuration of the start, as written. `running`: the same, as the gateway runs it."""
        self._said = said
        self._asked = asked
        self._running = running

    def stamp(self) -> Hashable:
        """See `reloading.Source`."""
        return stamp_of(self._said)

    def load(self) -> tuple[Config, tuple[str, ...]]:
        """See `reloading.Source`."""
        from gateway.cli.state import administered
        from gateway.config import load
        from gateway.config.restart import held_back
        from gateway.errors import ConfigError

        file = self._said.file
        fresh = load(file, os.environ) if file is not None else configuration.zero(configuration.detected())
        config, waits = held_back(self._asked, self._running, self._said.applied_to(fresh))
        try:
            return administered(closed_to_strangers(config))[0], waits
        except Unusable as refused:
            raise ConfigError(refused.message.splitlines()) from None


def closed_to_strangers(config: Config) -> Config:
    """Return the configuration, unless it opens the gateway to other machines without a key.

    Raises:
        Unusable: it does, or the store of keys cannot be read.
    """
    from gateway.config.clients import is_open_to_others
    from gateway.config.resolve import warnings
    from gateway.core.keys import ring_of
    from gateway.stores.opening import open_keys
    from gateway.stores.store import StoreError

    if not is_open_to_others(config.server):
        return config
    try:
        if (store := open_keys(config.ledger)) is not None:
            with closing(store):
                if ring_of(store.all()).wants_key:
                    open_said = set(warnings(config.server, {}))
                    return replace(config, warnings=tuple(one for one in config.warnings if one not in open_said))
    except StoreError as error:
        raise Unusable(f"whether there are keys cannot be told: {error}") from None
    raise Unusable(
        f"refusing to listen on {config.server.host} without a key: anyone who reaches it could spend your money.",
        "Set GATEWAY_API_KEY (or server.api_keys) to the key that clients must send, such as",
        '  GATEWAY_API_KEY="$(openssl rand -hex 24)" gateway',
        "or create one for each of them: gateway keys create NAME",
        "or listen for this machine only: --host 127.0.0.1",
    )
