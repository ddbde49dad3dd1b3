"""Providers of which every setting is in an environment variable, for a gateway without a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.config import scalars
from gateway.config.providers import Entry, make_provider
from gateway.core.names import nearest, quoted
from gateway.errors import ConfigError
from gateway.kinds import KINDS
from gateway.types import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.kinds import Kind
    from gateway.types import Provider

CHOICE = "LLM_PROVIDER"
"""The variable that names the provider of all names that say no other."""

_ENDPOINT_ID = re.compile(r"[A-Za-z0-9_-]+")


def written(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the entries of these providers as gateway.yaml would have them, with references to the variables."""
    return {
        kind.usual_name: {"kind": kind.name, **{setting: f"${{{name}:-}}" for setting, name in said.items()}}
        for kind in KINDS.values()
        if (said := _said(kind, environ)) is not None
    }


def providers(environ: Mapping[str, str]) -> list[Provider]:
    """Return these providers.

    Raises:
        ConfigError: a variable has a value that cannot be used.
    """
    found: list[Provider] = []
    problems: list[str] = []
    for kind in KINDS.values():
        if (said := _said(kind, environ)) is None:
            continue
        values = {setting: environ[name].strip() for setting, name in said.items()}
        try:
            if "base_url" in values:
                values["base_url"] = scalars.base_url(values["base_url"])
        except ValueError as error:
            problems.append(f"environment: {said['base_url']}: {error}")
            continue
        if "endpoint_id" in values and not _ENDPOINT_ID.fullmatch(values["endpoint_id"]):
            problems.append(f"environment: {said['endpoint_id']}: an endpoint id has letters, digits, - and _ alone")
            continue

        def complain(path: tuple[str, ...], message: str, said: Mapping[str, str] = said) -> None:
            problems.append(f"environment: {said.get(path[0], path[0])}: {message}")

        entry = Entry(
            kind.name,
            base_url=values.get("base_url"),
            api_key=values.get("api_key"),
            endpoint_id=values.get("endpoint_id"),
            model_override=values.get("model_override"),
        )
        found.append(make_provider(kind.usual_name, entry, environ, Timeouts(), complain))
    if problems:
        raise ConfigError(problems)
    return found


def choice(environ: Mapping[str, str], names: Iterable[str]) -> str | None:
    """Return the one of these providers that the environment chooses, or None."""
    said = environ.get(CHOICE, "").strip().lower()
    return said if said in names else None


def passed_over(environ: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each variable that is set and has no effect. `names`: of the providers that there are."""
    said = environ.get(CHOICE, "").strip()
    if said and choice(environ, names := tuple(names)) is None:
        near = nearest(said, names) or f"; there are {', '.join(names) or 'none'}"
        yield f"{CHOICE} is not used: there is no provider {quoted(said[:100])}{near}"
    for kind in KINDS.values():
        set_key = _first(kind.key_vars, environ)
        if set_key and kind.settings_vars and _said(kind, environ) is None:
            yield f"{set_key} is not used: set {' or '.join(_places(kind))} too"


def _said(kind: Kind, environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return setting -> the variable that is set, or None if they do not make a provider."""
    said = {setting: name for setting, names in kind.settings_vars.items() if (name := _first(names, environ))}
    key = _first(kind.key_vars, environ)
    if (kind.key_required and not key) or not said.keys() & {"base_url", "endpoint_id"}:
        return None
    # The usual variable of a kind is not read beside a base URL of one's own; here both are from one hand.
    return {**said, "api_key": key} if key and "base_url" in said else said


def _places(kind: Kind) -> Iterator[str]:
    for setting in ("endpoint_id", "base_url"):
        yield from kind.settings_vars.get(setting, ())[:1]


def _first(names: Iterable[str], environ: Mapping[str, str]) -> str:
    return next((name for name in names if environ.get(name, "").strip()), "")
