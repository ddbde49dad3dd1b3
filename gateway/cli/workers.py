"""Several processes on one address: a supervisor that keeps them running, and what a worker does.

The configuration is read once and handed to every worker, so that all of them serve the same one, also one that is
started later.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING

import click

from gateway.server import hang_up_signals

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from gateway.config import Config
    from gateway.stores.importer import Recovered

    Serve = Callable[[Config, socket.socket, str, Recovered | None], int]

_STOPS = (signal.SIGTERM, signal.SIGINT)
_IDLE = (signal.SIGUSR1, signal.SIGUSR2)

# A worker that cannot live is not started for ever.
SHORT_LIFE_S = 5.0
MOST_SHORT_LIVES = 5
REST_S = 0.5


def supervise(config: Config, listeners: Sequence[socket.socket], recovered: Recovered | None = None) -> int:
    """Keep a worker running for each listener until a signal ends them all. Returns the exit status."""
    # Blocked signals wait for `sigwait`, so that none arrives at a moment when it would be missed.
    ending = (*_STOPS, *hang_up_signals())
    watched = {*ending, *_IDLE, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    supervisor = _Supervisor(config, listeners, recovered)
    while True:
        received = signal.sigwait(watched)
        if received in ending:
            return supervisor.end(0, asked=received in _STOPS)
        if received in _IDLE:
            click.echo(f"{signal.Signals(received).name} means nothing here; SIGTERM ends the gateway", err=True)
            continue
        if not supervisor.replace_dead():
            click.echo(f"{MOST_SHORT_LIVES} workers have died right after their start; giving up", err=True)
            return supervisor.end(1)


class _Supervisor:
    """The workers and the sockets they serve."""

    def __init__(self, config: Config, listeners: Sequence[socket.socket], recovered: Recovered | None) -> None:
        self._run = secrets.token_hex(6)
        self._recovered = recovered
        self._config = config
        self._listeners = listeners
        self._short_lives = 0
        self._workers = [self._started(number) for number in range(len(listeners))]

    def replace_dead(self) -> bool:
        """Start a worker for each that has ended. False: they do not live long enough for that."""
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

    def _started(self, number: int) -> _Worker:
        # Whoever takes the place of a dead worker goes on from what that had counted.
        # What was found before the start is for one of them to tell, once.
        recovered, self._recovered = self._recovered, None
        return _Worker(pickle.dumps((self._config, f"{self._run}.{number}", recovered)), self._listeners[number])

    def end(self, status: int, *, asked: bool = False) -> int:
        """Let the workers finish what they are doing; a second SIGTERM or SIGINT cuts that short.

        `asked`: there has been a first one. A terminal that is closed sends SIGHUP, maybe more than once.
        """
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
            worker.process.send_signal(what)  # does nothing if it has ended


class _Worker:
    """One process, started with its socket, its configuration and its place."""

    def __init__(self, given: bytes, listener: socket.socket) -> None:
        self.started_at = monotonic()
        fd = listener.fileno()
        self.process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-m", "gateway", "run", "--fd", str(fd)],
            stdin=subprocess.PIPE,
            pass_fds=[fd],
            process_group=0,  # a terminal tells only the supervisor of Ctrl-C and of its end
        )
        # It stays open: its end tells the worker that nobody supervises it any more.
        pipe = self.process.stdin
        with suppress(BrokenPipeError):  # it has ended already, which `replace_dead` will see
            if pipe is not None:
                pipe.write(given)
                pipe.flush()

    def let_go(self) -> None:
        """Close what is left of a worker that has ended."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # what it has not read by now, nobody will
                self.process.stdin.close()


def _how(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def work(fd: int, take_signals: Callable[[], None], serve: Serve) -> int:
    """Serve on an inherited socket, with the configuration that comes over standard input. Returns the exit status."""
    import socket

    # Over a pipe from the process that started this one, and from nobody else.
    with open(0, "rb", closefd=False) as pipe:
        config: Config
        config, place, recovered = pickle.load(pipe)  # noqa: S301  # see above
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    take_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return serve(config, socket.socket(fileno=fd), place, recovered)


def _end_with_supervisor() -> None:
    """End this process gracefully when the pipe ends. os.read, because a buffered one holds a lock at the exit."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
