"""Read and write an event stream, by the rules that SDKs read it by (WHATWG HTML section 9.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def written(value: Any, name: str = "") -> bytes:
    """Return an event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def events(stream: bytes) -> Iterator[tuple[str, str]]:
    """Yield the name and the data of every event. The last one must be complete."""
    assert not stream or stream.endswith(b"\n\n"), f"it ends within an event: {stream[-80:]!r}"
    for block in stream.decode().split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        assert len(names) + len(data) == len(lines), f"a line that is no field: {block!r}"
        if data:
            yield "".join(names), "\n".join(data)
