"""Read the configuration of a gateway that runs, as it was read at its start: the same file, the same options."""

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
    """What the command line said."""

    path: Path | None
    has_file: bool
    """There was a file at the start. One that is gone is a mistake from then on, and no wish to do without."""
    host: str | None = None
    port: int | None = None
    workers: int | None = None

    @property
    def file(self) -> Path | None:
        """The file to read now; None: there is none."""
        found = configuration.find(self.path)
        return configuration.USUAL if found is None and self.has_file else found

    def applied_to(self, config: Config) -> Config:
        """Return a configuration with the options of the command line over it."""
        from gateway.config.resolve import warnings

        server = replace(
            config.server,
            host=config.server.host if self.host is None else self.host,
            port=config.server.port if self.port is None else self.port,
            workers=self.workers or config.server.workers,
        )
        # What was said of the configured address is no longer true of another one.
        stale = set(warnings(config.server, {})) - set(warnings(server, {}))
        return replace(config, server=server, warnings=tuple(one for one in config.warnings if one not in stale))


def stamp_of(said: Said) -> Hashable:
    """Return what differs once one of the files has changed: gateway.yaml, the `.env` beside it, the overlay."""
    from gateway.config import overlay

    file = said.file or configuration.USUAL
    changes = overlay.location(configuration.environment(file.parent))
    return tuple(_stamp(one) for one in (file, file.parent / ".env", changes) if one is not None)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    # An editor writes a new file in the place of the old one; what is mounted is often a link to another one.
    return found.st_mtime_ns, found.st_size, found.st_ino


class Again:
    """The configuration of a gateway that runs, for its `Reader`."""

    def __init__(self, said: Said, asked: Config, running: Config) -> None:
        """`asked`: the configuration of the start, as it was written. `running`: what became of it."""
        self._said = said
        self._asked = asked
        self._running = running

    def stamp(self) -> Hashable:
        """See `reloading.Source`."""
        return stamp_of(self._said)

    def load(self) -> tuple[Config, tuple[str, ...]]:
        """See `reloading.Source`."""
        from gateway.config import load
        from gateway.config.restart import held_back
        from gateway.errors import ConfigError

        file = self._said.file
        fresh = load(file, os.environ) if file is not None else configuration.zero(configuration.detected())
        config, waits = held_back(self._asked, self._running, self._said.applied_to(fresh))
        try:
            return closed_to_strangers(config), waits
        except Unusable as refused:
            raise ConfigError(refused.message.splitlines()) from None


def closed_to_strangers(config: Config) -> Config:
    """Return the configuration, if nobody else can reach the gateway without a key."""
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
