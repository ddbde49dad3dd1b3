"""The configuration for the rest of the gateway: frozen, resolved and complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.spend import Calendar
from gateway.core.troubles import Trouble
from gateway.types import Timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.core.cors import Cors
    from gateway.core.names import Directory
    from gateway.core.rules import Rule
    from gateway.types import Budget

ZERO = "zero configuration"
"""The source of a configuration without a file."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where and how the gateway listens. A change of the first three needs a restart."""

    host: str = "127.0.0.1"
    port: int = 8400
    workers: int = 1
    api_keys: frozenset[bytes] = field(default=frozenset(), repr=False)
    """SHA-256 digests of the configured client keys. Empty: no static keys."""
    admin_keys: frozenset[bytes] = field(default=frozenset(), repr=False)
    """SHA-256 digests of the configured keys for the admin API."""
    console_hosts: frozenset[str] = frozenset()
    """The names under which browsers reach the console, in lower case."""
    max_body_bytes: int = 32 * 1024 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    write_timeout_s: float = 60.0
    drain_s: float = 30.0
    drain_delay_s: float = 0.0
    """How long connections are still accepted after a stop, while `/readyz` answers 503."""
    max_connections: int | None = None
    """The most client connections in each process; None: as many as the limit of file descriptors allows."""
    cors: Cors | None = None
    """The pages of other sites that may read answers; None: no pages."""
    watch: bool = True
    """The configuration is read again when its files change."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """The ledger's content and place. A change needs a restart."""

    enabled: bool = True
    strict: bool = False
    """The client gets the end of its answer only after the charge is on disk."""
    content: bool = False
    retention_days: int = 400
    state_dir: Path | None = None
    """The directory of the journal and the SQLite database; None: there is no place for them."""
    database_url: str = field(default="", repr=False)
    """PostgreSQL, in place of SQLite."""
    redis_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The settings of the response cache of all routes. A change needs a restart."""

    max_memory_bytes: int = 64 * 1024 * 1024
    """In each process."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Which troubles of upstreams and accounts are posted, and where."""

    webhook: str = field(default="", repr=False)
    """Empty: nowhere."""
    on: frozenset[Trouble] = frozenset(Trouble)


@dataclass(frozen=True, slots=True)
class Config:
    """One version of the configuration. A reload builds another; calls in flight keep theirs."""

    source: str
    """The path of the file, or "zero configuration"."""
    server: ServerSettings
    directory: Directory
    timeouts: Timeouts = field(default_factory=Timeouts)
    """The defaults; each provider has its own timers."""
    max_attempts: int = 4
    retries: int = 1
    """How often the same upstream is tried again when no other is left."""
    max_wait_s: float = 10.0
    """How long a call may wait for a rate limit or a back-off."""
    inject_stream_usage: bool = True
    default_models: Mapping[str, str] = field(default_factory=dict)
    """Endpoint -> the name for its calls that name no model."""
    rules: tuple[Rule, ...] = ()
    """In order; the first rule that holds decides."""
    ledger: LedgerSettings = LedgerSettings()
    recorded: tuple[str, ...] = ()
    """What the ledger records of each request beside its model: `user`, `metadata.NAME`."""
    budgets: tuple[Budget, ...] = ()
    alerts: AlertSettings = AlertSettings()
    calendar: Calendar = field(default_factory=Calendar)
    """When the days and weeks of budgets begin."""
    cache: CacheSettings = CacheSettings()
    overlay: Path | None = None
    """The file of changes made at run time that is merged in; None: no such file."""
    warnings: tuple[str, ...] = ()
    """Settings that are legal but probably not intended, one sentence each."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Role -> why it leads where it leads, if no file says so."""


@dataclass(frozen=True, slots=True)
class Detected:
    """A local server that answered like a known kind."""

    kind: str
    base_url: str
    models: tuple[str, ...] = ()
    """The server's model ids, in its own order."""
