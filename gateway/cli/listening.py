"""Open the socket that clients connect to."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING

from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from gateway.config import ServerSettings

BACKLOG = 2048
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def listen(server: ServerSettings, workers: int = 1) -> list[socket.socket]:
    """Return a listening socket for each worker, all on one address.

    On Linux each worker has its own queue, and the kernel spreads connections evenly. With a shared queue, the worker
    that wakes first would take all waiting connections. The caller keeps the sockets open, so that connections wait in
    the queue while a worker is replaced.

    Raises:
        Mistake: the address cannot be used; the message has the remedy.
    """
    try:
        family, *_, address = _resolved(server.host, server.port)
        first = _bound(family, address)
        # First bound without SO_REUSEPORT: with it, two gateways could share a port unnoticed.
        if workers > 1 and sys.platform == "linux":
            address = first.getsockname()
            first.close()
            sockets = [_bound(family, address, shared=True) for _ in range(workers)]
        else:
            sockets = [first]
        for one in sockets:
            one.listen(BACKLOG)
    except OSError as error:
        raise Mistake(_why(error, server)) from None
    return sockets if len(sockets) == workers else sockets * workers


def url(server: ServerSettings) -> str:
    """Return the URL of the gateway for clients on this machine."""
    host = _EVERYWHERE.get(server.host, f"[{server.host}]" if ":" in server.host else server.host)
    return f"http://{host}:{server.port}"


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # `localhost` is both ::1 and 127.0.0.1; all clients try the latter.
    return min(found, key=lambda one: one[0] != socket.AF_INET)  # type: ignore[return-value]  # IPv6 has four parts


def _bound(family: socket.AddressFamily, address: tuple[str, int], *, shared: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _why(error: OSError, server: ServerSettings) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{server.host} is not an address of this machine; --host 127.0.0.1 listens for this machine only"
    if error.errno == errno.EADDRINUSE:
        return f"port {server.port} is in use; choose another with --port {server.port % 65535 + 1}"
    if error.errno == errno.EACCES:
        return f"port {server.port} needs privileges; choose one above 1023 with --port 8400"
    return f"cannot listen on {server.host} port {server.port}: {error.strerror or error}"
