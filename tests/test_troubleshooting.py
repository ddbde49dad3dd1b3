"""docs/troubleshooting.md and docs/runpod.md quote messages as the gateway says them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEADINGS = re.findall(r"^### `(.+)`$", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)
OF_RUNPOD = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs" / "runpod.md").read_text("utf-8"), re.MULTILINE)


@cache
def said() -> str:
    """Return every text in the sources, with a gap wherever a value is filled in."""
    trees = [ast.parse(file.read_text("utf-8")) for file in sorted((ROOT / "gateway").rglob("*.py"))]
    texts = [one.value for tree in trees for one in ast.walk(tree) if isinstance(one, ast.Constant)]
    return "\n".join(one for one in texts if isinstance(one, str))


@pytest.mark.parametrize("message", [*HEADINGS, *OF_RUNPOD])
def test_the_gateway_says_so(message: str) -> None:
    """A message that was reworded has to be reworded in the docs too."""
    parts = [part.strip() for part in re.split(r"…|RUNPOD_API_KEY", message)]
    assert [part for part in parts if part not in said()] == []


def test_there_are_messages() -> None:
    assert len(HEADINGS) >= 15
    assert len(OF_RUNPOD) >= 4
