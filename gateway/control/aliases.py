"""Rename an alias together with every place that uses it. Rule: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.edits import Edit
from gateway.control.refusals import Invalid
from gateway.core.names import ROLE, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def objection(name: str) -> str | None:
    """Return why a name cannot be an alias, or None."""
    if not name.strip() or name == "auto" or name.startswith((ROLE, "auto:")):
        return f'{quoted(name)} cannot name an alias: it is empty, or "auto", or begins with "auto:" or "{ROLE}"'
    return None


def renamed(merged: Mapping[str, Any], old: str, new: str) -> Sequence[Edit]:
    """Return the edits that rename an alias in a merged configuration.

    Raises:
        Invalid: there is no alias `old`, or `new` is taken or cannot be one.
    """
    aliases = merged.get("models") or {}
    if old not in aliases:
        raise Invalid(f"there is no alias {quoted(old)}{nearest(old, aliases)}", code="not_found", status=404)
    if (wrong := objection(new)) is not None:
        raise Invalid(wrong, param="to")
    if new in aliases:
        raise Invalid(f"there is an alias {quoted(new)} already; remove it first, or choose another name", param="to")
    found = [Edit(("models", old)), Edit(("models", new), _put(aliases[old], old, new))]
    for section in ("models", "roles", "fallback"):
        for name, value in (merged.get(section) or {}).items():
            if section == "models" and name == old:
                continue
            after = _put(value, old, new)
            if section == "fallback" and name == old:
                found += [Edit((section, old)), Edit((section, new), after)]
            elif after != value:
                found.append(Edit((section, name), after))
    for section in ("rules", "budgets"):
        if (value := merged.get(section)) and (after := _put(value, old, new)) != value:
            found.append(Edit((section,), after))
    return found


# The fields that hold names of models. `model` below `when` is a pattern, and is not reached.
_NAMES = ("model", "models", "use", "to")


def _put(value: Any, old: str, new: str) -> Any:
    """Return a value of a section with the new name in place of the old one."""
    if isinstance(value, str):
        return new if value == old else value
    if isinstance(value, list):
        return [_put(one, old, new) for one in value]
    if isinstance(value, dict):
        return {name: _put(inner, old, new) if name in _NAMES else inner for name, inner in value.items()}
    return value
