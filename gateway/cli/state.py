"""Claim the state directory for this gateway, and recover what the last gateway left there."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from gateway.cli.terminal import Unusable
from gateway.config import overlay

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config import Config
    from gateway.stores.importer import Recovered

LOCK = "gateway.lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """The gateway that has a state directory."""

    pid: int
    host: str
    port: int
    workers: int
    started_at: float
    """Wall-clock seconds."""
    source: str = ""
    """The absolute path of its configuration, or the name of the zero configuration."""


def holder(environ: Mapping[str, str]) -> Holder | None:
    """Return the gateway that has the usual state directory, or that of GATEWAY_STATE_DIR; None if none runs there."""
    folder = overlay.state_dir(environ)
    if folder is None or sys.platform == "win32":
        return None
    try:
        with (folder / LOCK).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # whoever has it lives
                return Holder(**json.loads(file.read().split(b"\n")[1]))
    except (OSError, ValueError, TypeError, IndexError):  # none; or of another version, or about to say it
        pass
    return None


class Claim:
    """The right to a state directory until the process ends. Workers use the supervisor's claim."""

    def __init__(self, lock: int | None) -> None:
        self._lock = lock

    def tell(self, config: Config, started_at: float) -> None:
        """Say where this gateway can be asked, for commands on this machine."""
        if self._lock is not None:
            server = config.server
            source = overlay.bound(config.source)
            said = Holder(os.getpid(), server.host, server.port, server.workers, started_at, source)
            os.pwrite(self._lock, f"{said.pid}\n{json.dumps(asdict(said))}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory up, so that another gateway can claim it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def claimed(config: Config) -> tuple[Config, Claim]:
    """Return the configuration and the claim to its state directory.

    A directory chosen by the user must be usable. Without the default directory the gateway runs too, but stores
    nothing.

    Raises:
        Unusable: another gateway uses the directory, or it cannot be written although it was chosen or may hold keys.
    """
    folder = config.ledger.state_dir
    if folder is None or not config.ledger.enabled or sys.platform == "win32":
        return config, Claim(None)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if folder != overlay.state_dir({**os.environ, "GATEWAY_STATE_DIR": ""}):
            raise Unusable(
                f"the state directory {folder} cannot be written: {error.strerror}.",
                "Give it to the gateway's user, or set GATEWAY_STATE_DIR to another directory.",
            ) from None
        if _may_hold_keys(config, folder):
            raise Unusable(
                f"the state directory {folder} cannot be written ({error.strerror}), and it may contain keys:",
                "without those, callers on this machine would need no key.",
                "Give it to the gateway's user, or set GATEWAY_STATE_DIR to another directory.",
            ) from None
        warning = f"{folder} cannot be written ({error.strerror}), so no call is recorded; set GATEWAY_STATE_DIR"
        ledger = replace(config.ledger, state_dir=None)
        return replace(config, ledger=ledger, warnings=(*config.warnings, warning)), Claim(None)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").partition("\n")[0].strip() or "not known"
        os.close(lock)
        raise Unusable(
            f"another gateway (pid {holder}) uses the state directory {folder}.",
            "Stop the other gateway, or set GATEWAY_STATE_DIR to another directory for this one.",
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return config, Claim(lock)


def _may_hold_keys(config: Config, folder: Path) -> bool:
    """Tell whether this directory may hold the only keys: without it, callers on this machine would need none."""
    from gateway.stores import keys, keys_seen

    if config.ledger.database_url or config.server.api_keys:
        return False
    try:
        return any((folder / name).exists() for name in (keys.FILE, keys_seen.FILE))
    except OSError:  # unknown, so assume the worst
        return True


def administered(config: Config) -> tuple[Config, str]:
    """Return the configuration with an admin key, and that key if it is new.

    A key is made only where none is configured that administers: see docs/admin.md.
    """
    from gateway.config.clients import digest
    from gateway.stores import admin_key

    server, folder = config.server, config.ledger.state_dir
    if server.admin_keys or server.api_keys or folder is None:
        return config, ""
    new = ""
    if not (key := admin_key.kept(folder)):
        try:
            key = new = admin_key.made(folder)
        except OSError:  # administration is refused then, and says what to do
            return config, ""
    return replace(config, server=replace(server, admin_keys=frozenset({digest(key)}))), new


def recover(config: Config) -> Recovered | None:
    """Import the journal of a killed gateway, and return a summary.

    If the ledger's database is away, the gateway serves and imports later.

    Raises:
        Unusable: the ledger's file is no ledger, or comes from a newer gateway, or its journal cannot be read.
    """
    from gateway.background.bookkeeping import recover_ledger
    from gateway.stores.store import StoreError

    try:
        return recover_ledger(config.ledger)
    except StoreError as error:
        if not config.ledger.database_url:
            raise Unusable(f"the ledger cannot be used: {error}") from None
        click.echo(f"the ledger's database is away; calls are kept in the journal until it is back: {error}", err=True)
    except OSError as error:
        raise Unusable(f"the ledger's journal cannot be read: {error}") from None
    return None
