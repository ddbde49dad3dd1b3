"""Write the merged configuration as one file. Rule: pure; no secret is in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.config import edits, shields

if TYPE_CHECKING:
    from gateway.config.source import Path
    from gateway.control.desk import View


def exported(view: View) -> str:
    """Return a gateway.yaml with all changes. A reference to a variable stands for each secret.

    The comments at its head name the variables that held secrets of the overlay, or that stand for literal secrets.
    """
    missing: list[str] = []
    merged = _referring(view.merged, (), missing)
    run_time = sorted(shields.named(view.over))
    lines = [f"# {view.ground.name} with the changes made at run time. Comments of the original are not in it."]
    if run_time:
        lines.append(f"# Copy from {view.layer.file.with_name('secrets.env')}: {', '.join(run_time)}.")
    if missing:
        lines.append(f"# Set to the secrets that are written in {view.ground.name} itself: {', '.join(missing)}.")
    return "\n".join(lines) + "\n" + edits.yaml_of(merged)


def _referring(value: Any, path: Path, missing: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _referring(inner, (*path, key), missing) for key, inner in value.items()}
    if isinstance(value, list):
        return [_referring(inner, (*path, i), missing) for i, inner in enumerate(value)]
    if shields.shown(value, path) != shields.MASK:
        return value
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join(map(str, path)).upper())
    missing.append(name)
    return f"${{{name}}}"
