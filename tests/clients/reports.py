"""Run the program of a client, and read its report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.clients import processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.clients.matrix import Client

KEY = "sk-a-client-of-the-gateway"
PATIENCE_S = 100.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a program told."""

    version: str
    """The version of the client, as the client tells it."""
    errors: Mapping[tuple[str, str], str | None]
    """What came of each check, by run and capability: None if all went well."""
    trouble: str
    """What else it showed; it ends the report if the program did not finish."""
    seconds: float


async def run(client: Client, url: str, runs: Sequence[str]) -> Report:
    """Let a program run its checks against the server at `url`."""
    started = time.monotonic()
    with TemporaryDirectory() as home:
        ended = await processes.run(
            [*client.command, url, *runs],
            {"GATEWAY_KEY": KEY},
            home=Path(home),
            directory=Path(home),
            patience_s=PATIENCE_S,
        )
    told = [json.loads(line) for line in ended.out.splitlines() if line.startswith("{")]
    errors = {(one["run"], one["check"]): one["error"] for one in told if "check" in one}
    version = next((one["version"] for one in told if "version" in one), "")
    trouble = "" if ended.code == 0 else f"ended with {ended.code}: {ended.text[-2000:]}"
    return Report(version, errors, trouble, time.monotonic() - started)
