"""Follow a gateway as an open console does: hear every event, and load again what its first page and its calls show.

`python -m bench.console PORT KEY` runs until it is ended, or until the gateway has gone away.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What gateway/web/console/src/pages/now.js loads after events, at most so often, and what inflight.js asks for.
STATE = ("/providers", "/status", "/accounts", "/spending", "/config")
STATE_EVERY_S = 3.0
UNDER_WAY = ("/calls/in-flight",)
UNDER_WAY_EVERY_S = 1.5
EVENTS = "/events"
_AT_ONCE = 64 << 10


def load(port: int, key: str, paths: Sequence[str], every_s: float) -> None:
    """Load these paths again and again, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while True:
        for path in paths:
            _ask(connection, key, path).read()
        time.sleep(every_s)


def hear(port: int, key: str) -> None:
    """Read the events until they end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    answer = _ask(connection, key, EVENTS)
    while answer.read1(_AT_ONCE):
        pass


def _ask(connection: http.client.HTTPConnection, key: str, path: str) -> http.client.HTTPResponse:
    connection.request("GET", f"/admin/v1{path}", headers={"authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{path}: status {answer.status}: {answer.read(300)!r}")
    return answer


def main(argv: Sequence[str]) -> None:
    """Follow the gateway on a port."""
    port, key = int(argv[0]), argv[1]
    for paths, every_s in ((STATE, STATE_EVERY_S), (UNDER_WAY, UNDER_WAY_EVERY_S)):
        threading.Thread(target=load, args=(port, key, paths, every_s), daemon=True).start()
    hear(port, key)


if __name__ == "__main__":
    main(sys.argv[1:])
