"""Several processes on one address: a supervisor, and the workers that it keeps running.

The supervisor reads the configuration and sends each version to every worker. So all workers serve the same version,
including a worker that is started later.
"""

from __future__ import annotations

import os
import pickle
import queue
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

import click

from gateway.server import hang_up_signals

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from gateway.background.reloading import Feed, News, Reader
    from gateway.config import Config
    from gateway.server import HangUp
    from gateway.stores.importer import Recovered

    Given = tuple[Config, str, Recovered | None, News]
    """A worker's start: its configuration, its place, the result of the ledger's recovery, the latest news."""

_STOPS = (signal.SIGTERM, signal.SIGINT)
_IDLE = (signal.SIGUSR1, signal.SIGUSR2)

# After so many short-lived workers in a row the supervisor gives up.
SHORT_LIFE_S = 5.0
MOST_SHORT_LIVES = 5
REST_S = 0.5
_LENGTH_BYTES = 8


def supervise(
    config: Config,
    listeners: Sequence[socket.socket],
    recovered: Recovered | None = None,
    *,
    reader: Reader,
    hang_up: HangUp,
) -> int:
    """Keep a worker running for each listener until a signal ends them all. Returns the exit status."""
    from gateway.background.reloading import LOOK_EVERY_S

    # Blocked signals wait for `sigwait`, so none is missed.
    watched = {*_STOPS, *hang_up_signals(), *_IDLE, signal.SIGCHLD, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    supervisor = _Supervisor(config, listeners, recovered, reader)
    signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY_S, LOOK_EVERY_S)
    while True:
        received = signal.sigwait(watched)
        if received in _STOPS:
            return supervisor.end(0, asked=True)
        if received in hang_up_signals():
            if hang_up.is_end():
                return supervisor.end(0)
            supervisor.reload()
            continue
        if received == signal.SIGALRM:
            if reader.watches and reader.has_changed():
                supervisor.reload()
            continue
        if received in _IDLE:
            click.echo(f"{signal.Signals(received).name} means nothing here; SIGTERM ends the gateway", err=True)
            continue
        if not supervisor.replace_dead():
            click.echo(f"{MOST_SHORT_LIVES} workers have died right after their start; giving up", err=True)
            return supervisor.end(1)


class _Supervisor:
    """Owns the workers and their listening sockets."""

    def __init__(
        self, config: Config, listeners: Sequence[socket.socket], recovered: Recovered | None, reader: Reader
    ) -> None:
        self._reader = reader
        self._run = secrets.token_hex(6)
        self._recovered = recovered
        self._config = config
        self._listeners = listeners
        self._short_lives = 0
        self._workers = [self._started(number) for number in range(len(listeners))]

    def replace_dead(self) -> bool:
        """Start a new worker for each that has ended. False: too many in a row have died right after their start."""
        for index, worker in enumerate(self._workers):
            if worker.process.poll() is None:
                continue
            lived_s = monotonic() - worker.started_at
            self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
            if self._short_lives >= MOST_SHORT_LIVES:
                return False
            worker.let_go()
            click.echo(f"worker {worker.process.pid} {_how(worker.process.returncode)}; starting another", err=True)
            if self._short_lives:
                sleep(REST_S)
            self._workers[index] = self._started(index)
        return True

    def reload(self) -> None:
        """Read the configuration, and send the result to all workers."""
        news = self._reader.read()
        self._config = news.config or self._config
        for worker in self._workers:
            worker.send(news)
        for sentence in news.sentences():
            click.echo(sentence, err=True)

    def _started(self, number: int) -> _Worker:
        # A new worker has the place of the dead one, and so goes on with its counts.
        # Only one worker gets the result of the recovery, so that the metrics count it once.
        recovered, self._recovered = self._recovered, None
        news = replace(self._reader.news, config=None)
        return _Worker((self._config, f"{self._run}.{number}", recovered, news), self._listeners[number])

    def end(self, status: int, *, asked: bool = False) -> int:
        """Let the workers finish their calls; a second SIGTERM or SIGINT cuts the calls short.

        `asked`: the first SIGTERM or SIGINT has come. SIGHUP does not count, because a closing terminal may send
        several.
        """
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for listener in self._listeners:
            listener.close()
        self._tell(signal.SIGTERM)
        while any(worker.process.poll() is None for worker in self._workers):
            if signal.sigwait({*_STOPS, signal.SIGCHLD}) in _STOPS:
                if asked:
                    self._tell(signal.SIGINT)
                asked = True
        for worker in self._workers:
            worker.let_go()
        return status or int(any(worker.process.returncode for worker in self._workers))

    def _tell(self, what: signal.Signals) -> None:
        for worker in self._workers:
            worker.process.send_signal(what)  # no effect on a process that has ended


class _Worker:
    """One process, started with its socket, its configuration and its place."""

    def __init__(self, given: Given, listener: socket.socket) -> None:
        self.started_at = monotonic()
        fd = listener.fileno()
        self.process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-m", "gateway", "run", "--fd", str(fd)],
            stdin=subprocess.PIPE,
            pass_fds=[fd],
            process_group=0,  # a terminal then sends Ctrl-C and SIGHUP to the supervisor only
        )
        # The pipe stays open while the supervisor lives. Its end tells the worker that the supervisor is gone.
        self._pipe = self.process.stdin
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # In a thread: a worker that does not read would hold up the other workers, and the handling of signals.
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()
        self.send(given)

    def send(self, what: Given | News) -> None:
        """Send the worker its start or news, without waiting until it reads them."""
        self._outbox.put(pickle.dumps(what))

    def let_go(self) -> None:
        """Close the pipe and the thread of a worker that has ended."""
        self._outbox.put(None)
        self._writer.join()  # returns at once, because the other end of the pipe is closed

    def _write(self) -> None:
        pipe = self._pipe
        if pipe is None:
            return
        with suppress(BrokenPipeError), pipe:  # the worker has ended; `replace_dead` will notice
            while (given := self._outbox.get()) is not None:
                pipe.write(len(given).to_bytes(_LENGTH_BYTES, "big"))
                pipe.write(given)
                pipe.flush()


def _how(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


class Serve(Protocol):
    """Serves on a socket until a signal ends it."""

    def __call__(
        self, config: Config, listener: socket.socket, place: str, recovered: Recovered | None, *, feed: Feed,
        news: News,
    ) -> int:  # fmt: skip
        """Return the exit status."""


def work(fd: int, take_signals: Callable[[Callable[[], bool]], None], serve: Serve) -> int:
    """Serve on an inherited socket, with a configuration from standard input. Returns the exit status."""
    import socket

    from gateway.background.reloading import Feed

    given: Given | None = _received()
    if given is None:
        return 1
    config, place, recovered, news = given
    feed = Feed()
    threading.Thread(target=_follow_supervisor, args=[feed], daemon=True).start()
    take_signals(lambda: False)  # SIGHUP goes to the supervisor, which informs its workers
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return serve(config, socket.socket(fileno=fd), place, recovered, feed=feed, news=news)


def _follow_supervisor(feed: Feed) -> None:
    """Pass the supervisor's news to the feed. End this process gracefully when the pipe ends."""
    while (news := _received()) is not None:
        feed.put(news)
    os.kill(os.getpid(), signal.SIGTERM)


def _received() -> Any:
    """Return the supervisor's next message; None at the end of the pipe."""
    length = _bytes(_LENGTH_BYTES)
    # Unpickling is safe: only the process that started this one can write to the pipe.
    return pickle.loads(_bytes(int.from_bytes(length, "big"))) if length else None  # noqa: S301  # see above


def _bytes(count: int) -> bytes:
    """Return `count` bytes of the pipe, none at its end. Uses os.read: a buffered reader holds a lock at the exit."""
    found = bytearray()
    while len(found) < count:
        piece = os.read(0, count - len(found))
        if not piece:
            return b""
        found += piece
    return bytes(found)
