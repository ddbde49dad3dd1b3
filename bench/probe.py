"""Ask one thing at a time over a plain socket: readiness, a checked answer, latency at a low rate."""

from __future__ import annotations

import http.client
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.chat import ANSWER, COMPLETION, completion_request
from bench.streams import percentile

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from bench.targets import Endpoint, Target

POLL_S = 0.005
TIMEOUT_S = 30.0


class TargetError(Exception):
    """A target did not start, or did not answer as it should."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What a series of requests took, in milliseconds."""

    requests: int
    p50_ms: float
    p99_ms: float


def tail(log: Path, size: int = 1500) -> str:
    """Return the end of a log."""
    return log.read_text(errors="replace")[-size:].strip() if log.exists() else ""


def wait_ready(
    child: subprocess.Popen[bytes], port: int, path: str, deadline: float, log: Path, wanted: int = 200
) -> None:
    """Return as soon as `path` answers with the wanted status.

    Raises:
        TargetError: the process ended, or the deadline (monotonic) passed.
    """
    seen = "nothing listens"
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise TargetError(f"ended with {child.returncode} while starting: {tail(log)}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as exc:
            seen = repr(exc)
        else:
            if status == wanted:
                return
            seen = f"status {status}"
        finally:
            connection.close()
        time.sleep(POLL_S)
    raise TargetError(f"not ready in time ({path}: {seen}): {tail(log)}")


def announced_port(child: subprocess.Popen[bytes], pattern: str, deadline: float, log: Path) -> int:
    """Return the port a target says it chose.

    Raises:
        TargetError: it ended, or said nothing before the deadline.
    """
    while time.monotonic() < deadline and child.poll() is None:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(POLL_S)
    raise TargetError(f"did not say where it listens: {tail(log)}")


def objection(target: Target, status: int, body: bytes) -> str | None:
    """Return what is wrong with an answer to the completion request, or None."""
    if status != 200:
        return f"status {status}: {body[:300]!r}"
    if target.exact:
        return None if body == COMPLETION else f"bytes that differ from the upstream's: {body[:300]!r}"
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return f"not a completion: {body[:300]!r}"
    return None if text == ANSWER else f"another answer: {text[:300]!r}"


def probe(endpoint: Endpoint, *, seconds: float, per_second: int) -> Latency:
    """Send requests at a steady low rate over one connection and check every answer.

    Raises:
        TargetError: an answer is wrong.
    """
    target = endpoint.target
    body, headers = completion_request(target.model), dict(endpoint.headers())
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=TIMEOUT_S)
    took: list[float] = []
    try:
        begin = time.perf_counter()
        while (due := begin + len(took) / per_second) < begin + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
            connection.request("POST", target.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            took.append(time.perf_counter() - start)
            if wrong := objection(target, response.status, answer):
                raise TargetError(f"answered request {len(took)} with {wrong}")
            if time.perf_counter() > begin + seconds + TIMEOUT_S:
                break
    except (OSError, http.client.HTTPException) as exc:
        raise TargetError(f"failed request {len(took) + 1}: {exc!r}") from exc
    finally:
        connection.close()
    took.sort()
    return Latency(len(took), percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000)
