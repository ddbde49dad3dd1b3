"""`gateway run`: serve, and say so."""

from __future__ import annotations

import signal
import sys
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import click

from gateway.cli import configuration
from gateway.cli.terminal import Unusable

if TYPE_CHECKING:
    import socket
    from pathlib import Path
    from types import FrameType

    from gateway.config import Config
    from gateway.stores.importer import Recovered


@click.command()
@configuration.config_option
@click.option("--host", help="The address to listen on. Else $GATEWAY_HOST, else as configured, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else $GATEWAY_PORT, else as configured, else 8400.")
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes serve. Else as configured, else 1.")
@click.option("--fd", type=int, hidden=True, help="Be a worker: serve on this socket what comes over standard input.")
def run(path: Path | None, host: str | None, port: int | None, workers: int | None, fd: int | None) -> None:
    """Serve. This is what `gateway` alone does.

    Exit status 2 if the configuration cannot be used, 1 if the port is taken.
    """
    if fd is not None:
        from gateway.cli.workers import work

        sys.exit(work(fd, take_signals, serve))
    config, silent = _read(path)
    config = _with_options(config, host=host, port=port, workers=workers)
    config = _closed_to_strangers(config)
    sys.exit(_serve(config, silent))


def _read(path: Path | None) -> tuple[Config, frozenset[str]]:
    """Return the configuration and the local providers that do not answer, importing the server meanwhile."""
    import asyncio

    from gateway.cli.startup import prepare

    return asyncio.run(prepare(configuration.find(path)))


def _with_options(config: Config, *, host: str | None, port: int | None, workers: int | None) -> Config:
    from gateway.config.resolve import warnings

    server = replace(
        config.server,
        host=config.server.host if host is None else host,
        port=config.server.port if port is None else port,
        workers=workers or config.server.workers,
    )
    # What was said of the configured address is no longer true of another one.
    stale = set(warnings(config.server, {})) - set(warnings(server, {}))
    return replace(config, server=server, warnings=tuple(one for one in config.warnings if one not in stale))


def _closed_to_strangers(config: Config) -> Config:
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


def _serve(config: Config, silent: frozenset[str]) -> int:
    from gateway.cli.banner import banner
    from gateway.cli.listening import listen
    from gateway.cli.state import claimed, recover

    take_signals()
    workers = config.server.workers
    config, claim = claimed(config)
    listeners = listen(config.server, workers)
    # Port 0 is the kernel's choice; from here on it has a number.
    config = replace(config, server=replace(config.server, port=listeners[0].getsockname()[1]))
    recovered = recover(config)
    click.echo(banner(config, workers=workers, silent=silent))
    try:
        if workers > 1:
            from gateway.cli.workers import supervise

            status = supervise(config, listeners, recovered)
            recover(config)  # the worker that imported may have ended before another had written its last word
            return status
        return serve(config, listeners[0], recovered=recovered)
    finally:
        claim.release()


def serve(config: Config, listener: socket.socket, place: str = "", recovered: Recovered | None = None) -> int:
    """Serve on a socket in this process until a signal ends it. Returns the exit status."""
    from gateway.app import serve as serve_until_signalled

    _log_to_stderr()
    take_signals()
    _use_all_descriptors()
    return serve_until_signalled(config, listener, place, recovered)


def _log_to_stderr() -> None:
    """One line each, for whoever collects them. GATEWAY_LOG sets how much: DEBUG, INFO (by default), WARNING, ERROR."""
    import logging
    import os

    level = logging.getLevelNamesMapping().get(os.environ.get("GATEWAY_LOG", "").upper(), logging.INFO)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # They would write a line for every probe, and for every start and stop.
    for talkative in ("httpx", "uvicorn.error", "asyncio"):
        logging.getLogger(talkative).setLevel(max(level, logging.WARNING))


def take_signals() -> None:
    """End well at a signal that comes while the server does not take it. Neither SIGHUP nor SIGUSR1 and 2 kill."""
    from gateway.server import hang_up_signals, idle_signals

    for one in (signal.SIGTERM, signal.SIGINT, *hang_up_signals()):
        signal.signal(one, _end)
    for one in idle_signals():
        signal.signal(one, signal.SIG_IGN)


def _use_all_descriptors() -> None:
    """Raise the soft limit of file descriptors to the hard one, as programs may that do not call select()."""
    with suppress(ImportError, OSError, ValueError):  # Windows has none; macOS may say no
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _end(_: int, __: FrameType | None) -> NoReturn:
    raise SystemExit(0)
