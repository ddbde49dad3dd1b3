"""Decide what of a new configuration a running gateway takes over, and what must wait for a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.settings import Config


class _Setting(NamedTuple):
    name: str
    """As people write it."""
    of: Callable[[Config], Any]
    is_shown: bool = True
    """False: its value may hold a password."""


# A listening socket cannot move, and the books, the limits and the cache are opened once.
_SETTINGS = (
    _Setting("server.host", lambda config: config.server.host),
    _Setting("server.port", lambda config: config.server.port),
    _Setting("server.workers", lambda config: config.server.workers),
    _Setting("ledger.enabled", lambda config: str(config.ledger.enabled).lower()),
    _Setting("ledger.durability", lambda config: "strict" if config.ledger.strict else "process"),
    _Setting("ledger.content", lambda config: str(config.ledger.content).lower()),
    _Setting("ledger.retention", lambda config: config.ledger.retention_days),
    _Setting("stores.database", lambda config: config.ledger.database_url, is_shown=False),
    _Setting("stores.redis", lambda config: config.ledger.redis_url, is_shown=False),
    _Setting("GATEWAY_STATE_DIR", lambda config: config.ledger.state_dir),
    _Setting("cache.max_memory", lambda config: config.cache.max_memory_bytes),
)


def held_back(asked: Config, running: Config, fresh: Config) -> tuple[Config, tuple[str, ...]]:
    """Return a new configuration with what runs now where a change needs a restart, and a sentence for each change.

    `asked`: the configuration that the gateway was started with, as it was written. `running`: what became of it: port
    0 is a number by now, and a state directory that cannot be written is none.
    """
    server = replace(fresh.server, host=running.server.host, port=running.server.port, workers=running.server.workers)
    kept = replace(fresh, server=server, ledger=running.ledger, cache=running.cache)
    return kept, tuple(
        f"{one.name}{_change(one, asked, fresh)} takes effect after a restart"
        for one in _SETTINGS
        if one.of(asked) != one.of(fresh)
    )


def _change(setting: _Setting, asked: Config, fresh: Config) -> str:
    return f": {setting.of(asked)} -> {setting.of(fresh)}" if setting.is_shown else ""
