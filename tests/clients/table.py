"""The table of docs/clients.md, made of what is tested: `python -m tests.clients.table` writes it anew.

It shows what the tests saw, because each of its cells is a test that passes, or one that must fail.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.matrix import AGENTS, CAPABILITIES, CLIENTS, REFUSED, version_of_npm

if TYPE_CHECKING:
    from tests.clients.matrix import Client, Surface

PAGE = Path(__file__).parent.parent.parent / "docs" / "clients.md"
BEGIN, END = "<!-- what was tested: begin -->", "<!-- what was tested: end -->"
_BLOCK = re.compile(f"{re.escape(BEGIN)}\n.*{re.escape(END)}", re.DOTALL)


def table() -> str:
    """Return the table in Markdown."""
    head = ("Client", "Version", "Speaks", "Upstream speaks", *CAPABILITIES)
    rows: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for client in CLIENTS:
        for surface in client.surfaces:
            # Upstreams with the same results share a line.
            results: dict[tuple[str, ...], list[str]] = {}
            for upstream in surface.upstreams:
                results.setdefault(_cells(client, surface, upstream), []).append(upstream)
            for cells, upstreams in results.items():
                rows.append((client.title, client.version, surface.name, ", ".join(upstreams), *cells))
    for agent in AGENTS:
        cells = tuple("yes" if one in {"stream", "tools"} else "" for one in CAPABILITIES)
        rows.append((agent.title, version_of_npm(agent.package), agent.dialect, ", ".join(agent.upstreams), *cells))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def written(page: str, new: str) -> str:
    """Return the page with another table."""
    return _BLOCK.sub(lambda _: f"{BEGIN}\n{new}\n{END}", page)


def _cells(client: Client, surface: Surface, upstream: str) -> tuple[str, ...]:
    return tuple(
        _word(REFUSED.get((client.name, surface.name, upstream, capability), ""))
        if capability in surface.capabilities
        else ""
        for capability in CAPABILITIES
    )


def _word(refused: str) -> str:
    return f"no: {refused}" if refused else "yes"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), table()))
