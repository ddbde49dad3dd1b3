"""Keep secrets out of what is shown, and out of the overlay. Rule: pure.

A secret of the overlay is a reference, `${GATEWAY_SECRET_…}`, whose value is in another file, which is never shown.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.source import Path

MASK = "***"
"""The mask shown for a secret. It is never accepted as a value."""
PREFIX = "GATEWAY_SECRET_"

_SECRET: tuple[tuple[str, ...], ...] = (
    ("providers", "*", "api_key"),
    ("providers", "*", "admin_key"),
    ("providers", "*", "headers", "*"),
    ("server", "api_keys", "*"),
    ("server", "admin_keys", "*"),
    ("stores", "database"),
    ("stores", "redis"),
    ("budgets", "*", "webhook"),
    ("alerts", "webhook"),
)
# A reference alone, or with an empty default or a message. A default with content may be the secret itself.
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-|:\?[^{}]*)?\}")
_DIGITS = 4


def is_secret(path: Path) -> bool:
    """Tell whether the value at a path is a secret."""
    return any(
        len(path) == len(one) and all(want in ("*", part) for want, part in zip(one, path, strict=True))
        for one in _SECRET
    )


def reference(value: Any) -> str:
    """Return the variable that a value refers to as a whole; empty if the value is something else."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else ""


def shown(value: Any, path: Path = ()) -> Any:
    """Return a value with MASK in place of each secret. References to variables stay."""
    if isinstance(value, dict):
        return {key: shown(inner, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [shown(inner, (*path, i)) for i, inner in enumerate(value)]
    if not is_secret(path) or value in (None, "") or reference(value):
        return value
    return MASK


def masked_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of secrets whose value is MASK: somebody sent back what was shown."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from masked_in(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from masked_in(inner, (*path, i))
    elif value == MASK and is_secret(path):
        yield path


def parted(value: Any, path: Path, nonce: str) -> tuple[Any, dict[str, str]]:
    """Return a value with a reference in place of each secret, and the secrets by the names of the references."""
    secrets: dict[str, str] = {}

    def part(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: part(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [part(inner, (*path, i)) for i, inner in enumerate(value)]
        if not isinstance(value, str) or not value or not is_secret(path) or reference(value):
            return value
        name = variable(path, nonce)
        secrets[name] = value
        return f"${{{name}}}"

    return part(value, path), secrets


def variable(path: Path, nonce: str) -> str:
    """Return the name of the variable for a secret.

    The digest keeps `a-b` and `a_b` apart. The nonce gives each new secret a new name, so a crash between the writing
    of the two files leaves the old reference with the old secret.
    """
    words = re.sub(r"[^A-Z0-9]+", "_", "_".join(map(str, path[1:])).upper()).strip("_")
    digest = blake2b(repr((path, nonce)).encode(), digest_size=_DIGITS).hexdigest()
    return f"{PREFIX}{words}_{digest.upper()}"


def kept_back(now: Any, wanted: Any, path: Path) -> Any:
    """Return `wanted` with the secrets of `now` that it leaves out: a client cannot send back what it cannot read."""
    if not isinstance(now, dict) or not isinstance(wanted, dict):
        return wanted
    found = {key: kept_back(now.get(key), inner, (*path, key)) for key, inner in wanted.items()}
    for key, inner in now.items():
        if key not in found and is_secret((*path, key)):
            found[key] = inner
    return found


def named(overlay: Any) -> set[str]:
    """Return the names of the secrets that an overlay refers to."""
    if isinstance(overlay, dict):
        return {name for inner in overlay.values() for name in named(inner)}
    if isinstance(overlay, list):
        return {name for inner in overlay for name in named(inner)}
    return set(re.findall(rf"\$\{{({PREFIX}[A-Z0-9_]+)", overlay)) if isinstance(overlay, str) else set()


def env_of(secrets: Mapping[str, str]) -> str:
    """Return secrets as the text of a `.env` file.

    Raises:
        ValueError: a secret has a control character.
    """
    lines = []
    for name, value in sorted(secrets.items()):
        if not value.isprintable():
            raise ValueError(f"{name} has a control character, such as a line break; send the key alone")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)
