"""`gateway run`: print a banner and serve."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import click

from gateway.cli import configuration

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Hashable
    from pathlib import Path
    from types import FrameType

    from gateway.background.reloading import Feed, News, Reader
    from gateway.cli.again import Said
    from gateway.cli.startup import Prepared
    from gateway.config import Config
    from gateway.server import HangUp
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
    from gateway.cli.again import Said, closed_to_strangers, stamp_of

    file = configuration.find(path)
    said = Said(path, file is not None, host, port, workers)
    # Take the stamp before reading the files, so that a later change causes another reading.
    stamp, loaded_at = stamp_of(said), time.time()
    prepared = _read(file)
    prepared = prepared._replace(config=closed_to_strangers(said.applied_to(prepared.config)))
    sys.exit(_serve(prepared, said, stamp, loaded_at))


def _read(file: Path | None) -> Prepared:
    """Return the configuration and what answers on this machine. Imports the server in the meantime."""
    import asyncio

    from gateway.cli.startup import prepare

    return asyncio.run(prepare(file))


def _serve(prepared: Prepared, said: Said, stamp: Hashable, loaded_at: float) -> int:
    from gateway.background.reloading import News, Reader
    from gateway.cli.again import Again
    from gateway.cli.banner import banner
    from gateway.cli.listening import listen
    from gateway.cli.state import administered, claimed, recover
    from gateway.server import HangUp

    hang_up = HangUp()
    take_signals(hang_up.is_end)
    config = asked = prepared.config
    workers = config.server.workers
    config, claim = claimed(config)
    config, admin_key = administered(config)
    listeners = listen(config.server, workers)
    # The kernel has chosen a number for port 0.
    config = replace(config, server=replace(config.server, port=listeners[0].getsockname()[1]))
    claim.tell(config, loaded_at)
    recovered = recover(config)
    click.echo(banner(prepared._replace(config=config), workers=workers, admin_key=admin_key))
    news = News(loaded_at=loaded_at)
    reader = Reader(Again(said, asked, config), config, stamp, news)
    try:
        if workers > 1:
            from gateway.cli.workers import supervise

            status = supervise(config, listeners, recovered, reader=reader, hang_up=hang_up)
            recover(config)  # the importing worker may have ended before another worker's last record
            return status
        return serve(config, listeners[0], recovered=recovered, reader=reader, news=news, hang_up=hang_up)
    finally:
        claim.release()


def serve(
    config: Config,
    listener: socket.socket,
    place: str = "",
    recovered: Recovered | None = None,
    *,
    reader: Reader | None = None,
    feed: Feed | None = None,
    news: News | None = None,
    hang_up: HangUp | None = None,
) -> int:
    """Serve on a socket in this process until a signal ends it. Returns the exit status."""
    from gateway.app import serve as serve_until_signalled

    _log_to_stderr()
    _use_all_descriptors()
    return serve_until_signalled(
        config, listener, place, recovered, reader=reader, feed=feed, news=news, hang_up=hang_up
    )


def _log_to_stderr() -> None:
    """Log to stderr, one line per record. GATEWAY_LOG sets the level: DEBUG, INFO (the default), WARNING, ERROR."""
    import logging
    import os

    level = logging.getLevelNamesMapping().get(os.environ.get("GATEWAY_LOG", "").upper(), logging.INFO)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # These loggers would write a line for every probe, and for every start and stop.
    for talkative in ("httpx", "uvicorn.error", "asyncio"):
        logging.getLogger(talkative).setLevel(max(level, logging.WARNING))


def take_signals(is_end: Callable[[], bool]) -> None:
    """Install signal handlers for the time before the server has its own: SIGTERM and SIGINT end with status 0.

    SIGUSR1 and SIGUSR2 are ignored. `is_end`: tells whether a SIGHUP is the end. A SIGHUP for a reload is ignored,
    because the configuration has just been read.
    """
    from gateway.server import hang_up_signals, idle_signals

    def hang_up(number: int, frame: FrameType | None) -> None:
        if is_end():
            _end(number, frame)

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, _end)
    for one in hang_up_signals():
        signal.signal(one, hang_up)
    for one in idle_signals():
        signal.signal(one, signal.SIG_IGN)


def _use_all_descriptors() -> None:
    """Raise the soft limit of file descriptors to the hard one. This is safe in a program without select()."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no limit; macOS may refuse
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _end(_: int, __: FrameType | None) -> NoReturn:
    raise SystemExit(0)
