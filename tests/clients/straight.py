"""Run a client's program against the scripted provider, without a gateway: `python -m tests.clients.straight NAME`.

What fails here is a fault of the program or of the provider; what fails in the tests alone is one of the gateway.
"""

from __future__ import annotations

import sys

from tests.clients import provider
from tests.clients.matrix import CLIENTS
from tests.clients.reports import run
from tests.faults import FaultyUpstream
from tests.faults.loop import run as in_loop


async def main(*names: str) -> None:
    """Run these programs; without names, all."""
    for client in CLIENTS:
        if names and client.name not in names:
            continue
        async with FaultyUpstream(provider.answer) as upstream:
            runs = [f"{surface.name}@main" for surface in client.surfaces]
            report = await run(client, upstream.base_url.removesuffix("/v1"), runs)
        for key, error in report.errors.items():
            print(client.name, *key, "ok" if error is None else error)
        print(client.name, report.version, f"{report.seconds:.1f} s", report.trouble)


if __name__ == "__main__":
    in_loop(main(*sys.argv[1:]), 300)
