"""The configuration as the rest of the gateway reads it: frozen, resolved, complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.spend import Calendar
from gateway.types import Timeouts

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.cors import Cors
    from gateway.core.names import Directory
    from gateway.core.rules import Rule
    from gateway.types import Budget


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where and how the gateway listens. A change of the first three needs a restart."""

    host: str = "127.0.0.1"
    port: int = 8400
    workers: int = 1
    api_keys: frozenset[bytes] = field(default=frozenset(), repr=False)
    """SHA-256 digests of the keys that clients may present. Empty: no key is asked for."""
    max_body_bytes: int = 32 * 1024 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    write_timeout_s: float = 60.0
    drain_s: float = 30.0
    drain_delay_s: float = 0.0
    """How long connections are still accepted after a stop, while `/readyz` says no."""
    max_connections: int | None = None
    """Of clients, in each process; None: as many as the limit of file descriptors allows."""
    cors: Cors | None = None
    """Which pages of other sites may read answers; None: none."""
    watch: bool = True
    """The files of the configuration are looked at, and read again when they have changed."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """What is written down of every call, and where. A change needs a restart."""

    enabled: bool = True
    strict: bool = False
    """A client sees the end of its answer only when the charge is on disk."""
    content: bool = False
    retention_days: int = 400
    state_dir: Path | None = None
    """Where the journal and SQLite are; None: there is no place for them."""
    database_url: str = field(default="", repr=False)
    """PostgreSQL in the place of SQLite."""
    redis_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What holds for the kept answers of all routes. A change needs a restart."""

    max_memory_bytes: int = 64 * 1024 * 1024
    """In each process."""


@dataclass(frozen=True, slots=True)
class Config:
    """One version of the configuration. A reload builds another; calls in flight keep theirs."""

    source: str
    """The path of the file, or "zero configuration"."""
    server: ServerSettings
    directory: Directory
    timeouts: Timeouts = field(default_factory=Timeouts)
    """The defaults; each provider carries its own."""
    max_attempts: int = 4
    retries: int = 1
    """How often the same upstream is tried again when nobody else is left."""
    max_wait_s: float = 10.0
    """How long a call may wait for a rate limit or a back-off."""
    inject_stream_usage: bool = True
    rules: tuple[Rule, ...] = ()
    """What sends a call elsewhere than it asked for, the first one first."""
    ledger: LedgerSettings = LedgerSettings()
    budgets: tuple[Budget, ...] = ()
    calendar: Calendar = field(default_factory=Calendar)
    """When the days and weeks of budgets begin."""
    cache: CacheSettings = CacheSettings()
    overlay: Path | None = None
    """The file of changes made at run time that is merged in; None if there is none."""
    warnings: tuple[str, ...] = ()
    """What is legal and probably not meant, one sentence each."""


@dataclass(frozen=True, slots=True)
class Detected:
    """A local server that answered as a known kind does."""

    kind: str
    base_url: str
    models: tuple[str, ...] = ()
    """Its model ids, in its order."""
