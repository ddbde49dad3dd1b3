"""The JSON Schema that editors read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.config import schema

COMMITTED = Path(__file__).parents[2] / "gateway.schema.json"


def test_the_committed_schema_is_the_schema() -> None:
    """gateway.schema.json is what `gateway schema` prints; run it again after a change."""
    assert json.loads(COMMITTED.read_text()) == schema()


def test_every_field_is_described() -> None:
    """An editor can say of every key what it is for."""

    def undescribed(part: Any, path: str) -> list[str]:
        found = []
        for name, inner in part.get("properties", {}).items():
            if not inner.get("description"):
                found.append(f"{path}.{name}")
            found += undescribed(inner, f"{path}.{name}")
        for inner in part.get("anyOf", []):
            found += undescribed(inner, path)
        return found

    whole = schema()
    parts = {"": whole} | whole["$defs"]
    assert [one for name, part in parts.items() for one in undescribed(part, name)] == []


def test_short_forms_are_valid() -> None:
    """An alias and a role may be a single name, and unknown keys are wrong in an editor too."""
    definitions = schema()["$defs"]
    assert [one.get("type") for one in definitions["Alias"]["anyOf"]] == ["string", "object"]
    assert [one.get("type") for one in definitions["Role"]["anyOf"]] == ["string", "object"]
    assert definitions["Provider"]["additionalProperties"] is False
