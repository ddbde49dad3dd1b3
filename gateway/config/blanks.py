"""Find blank values in providers' entries. `endpoint_id: "${RUNPOD_ENDPOINT_ID:-}"` with an unset variable is no
mistake and must not become a broken address: the provider counts as not configured, as without its key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.config import scalars

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config.source import Path, Source

# Text fields that a provider needs, if its kind uses them.
_NEEDED = ("kind", "base_url", "endpoint_id", "api_version")
# The rest of a credential header without its credential.
_NO_CREDENTIAL = re.compile(r"\s*(?:bearer|basic|token|key|apikey|api-key)?\s*", re.IGNORECASE)
_CREDENTIAL = re.compile(r"authorization|key|token|secret", re.IGNORECASE)

Blanks = dict[str, dict[str, tuple[str, ...]]]
"""Provider name -> blank field -> the empty variables that it was to come from."""


def empty_variables(source: Source, path: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables in a value that are unset or empty."""
    named = source.variables.get(path) or source.variables.get(path[:-1], ())  # `main: ${X}` is short for its `model`
    return tuple(name for name in named if not environ.get(name, "").strip())


def taken_out(source: Source, environ: Mapping[str, str]) -> Blanks:
    """Remove blank values from all providers' entries, and return them.

    A blank `model_override` or plain header is removed without being returned. Spaces around values are stripped:
    variables are often read from files that end in a newline.
    """
    found: Blanks = {}
    providers = source.value.get("providers") if isinstance(source.value, dict) else None
    if not isinstance(providers, dict):
        return found
    entries = {name: _stripped(entry) for name, entry in providers.items()}
    source.value = {**source.value, "providers": entries}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            continue
        path: Path = ("providers", name)
        blank = {key: empty_variables(source, (*path, key), environ) for key in _blank(entry, source, path, environ)}
        for key in (*blank, *(["model_override"] if entry.get("model_override") == "" else [])):
            del entry[key]
        blank |= _blank_headers(entry, source, path, environ)
        if blank:
            found[name] = blank
    return found


def _stripped(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    texts = {key: entry[key].strip() for key in (*_NEEDED, "model_override") if isinstance(entry.get(key), str)}
    return {**entry, **texts}


def _blank(entry: Mapping[str, Any], source: Source, path: Path, environ: Mapping[str, str]) -> Iterable[str]:
    for key in _NEEDED:
        value = entry.get(key)
        if value == "" or (
            key == "base_url"
            and isinstance(value, str)
            and empty_variables(source, (*path, key), environ)
            and _has_a_hole(value)
        ):
            yield key


def _blank_headers(
    entry: dict[str, Any], source: Source, path: Path, environ: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Remove headers that an empty variable left blank, and return those meant for a credential."""
    headers = entry.get("headers")
    if not isinstance(headers, dict):
        return {}
    blank: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        names = empty_variables(source, (*path, "headers", name), environ)
        if names and isinstance(value, str) and _NO_CREDENTIAL.fullmatch(value):
            blank[name] = names
    entry["headers"] = {name: value for name, value in headers.items() if name not in blank}
    return {f"header {name}": names for name, names in blank.items() if _CREDENTIAL.search(name)}


def _has_a_hole(url: str) -> bool:
    """Tell whether an empty variable left a hole in a URL: `https:///v1`, `https://.example.com`, `/v2//v1`."""
    try:
        scalars.base_url(url)
    except ValueError:
        return True
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "//" in parts.path or host.startswith(".") or ".." in host or parts.netloc.endswith(":")
