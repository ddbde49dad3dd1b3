"""Find what a provider's entry leaves blank. `endpoint_id: "${RUNPOD_ENDPOINT_ID:-}"` with the variable unset is a
provider that is not configured, like one without its key: no mistake, and never a broken address.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.config import scalars

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config.source import Path, Source

# Text, and what a provider cannot be reached without where it is asked for at all.
_NEEDED = ("kind", "base_url", "endpoint_id", "api_version")
# What a credential's header says beside the credential.
_NO_CREDENTIAL = re.compile(r"\s*(?:bearer|basic|token|key|apikey|api-key)?\s*", re.IGNORECASE)
_CREDENTIAL = re.compile(r"authorization|key|token|secret", re.IGNORECASE)

Blanks = dict[str, dict[str, tuple[str, ...]]]
"""Provider name -> what is blank of it -> the variables that would say it, if it was to come from some."""


def empty_variables(source: Source, path: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that a value was filled from and that are not set, or set to nothing."""
    named = source.variables.get(path) or source.variables.get(path[:-1], ())  # `main: ${X}` is short for its `model`
    return tuple(name for name in named if not environ.get(name, "").strip())


def taken_out(source: Source, environ: Mapping[str, str]) -> Blanks:
    """Take blank values out of all providers' entries, and return what they were.

    A `model_override` or a plain header that is blank is as if it was not written. Space around a value is no part
    of it: variables are read from files that end in a newline.
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
    """Take headers out that an empty variable left blank; return those that were to carry a credential."""
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
    """Tell whether a URL is broken where a variable left nothing: `https:///v1`, `https://.example.com`, `/v2//v1`."""
    try:
        scalars.base_url(url)
    except ValueError:
        return True
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "//" in parts.path or host.startswith(".") or ".." in host or parts.netloc.endswith(":")
