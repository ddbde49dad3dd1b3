"""Write a first gateway.yaml: what the gateway would do without one, with comments, to be changed. Rule: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import variables
from gateway.config.edits import yaml_of
from gateway.config.jobs import JOBS, Job
from gateway.config.without_file import findings
from gateway.core.names import ROLE
from gateway.kinds import KINDS, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.config.settings import Detected
    from gateway.config.without_file import Findings
    from gateway.types import Provider

_HEAD = """\
# yaml-language-server: $schema=./gateway.schema.json
# Made by `gateway init` from what was found. `gateway check` names every mistake with its line, and
# `gateway explain NAME` says which models a name leads to. Keys belong into .env beside this file.
"""
_PROVIDERS = "# The servers of models. A provider whose key is empty is passed over.\n"
_ROLES = "# Jobs: the first model that can do the job gets the call. Clients ask for role:NAME.\n"
_DEFAULTS = "# The provider of model names that no provider lists.\n"
_MORE = """\
# Own names for models, and a limit of money. Remove the # to use them.
# models:
#   careful: {model: PROVIDER/MODEL, params: {temperature: 0.1}}
# budgets:
#   - {scope: total, limit_usd: 20, window: month}
"""
# Stands for a key, so that a file can be written for a provider whose key is yet to come.
_LATER = "later"


def first_file(environ: Mapping[str, str], detected: Sequence[Detected]) -> str:
    """Return the text of a gateway.yaml. References to variables stand for keys.

    With nothing found, the file has the provider whose key comes first in the order of kinds, to be set later.

    Raises:
        ConfigError: a variable of the environment has a value that cannot be used.
    """
    found = findings(environ, detected)
    if not found.providers:
        first = next(kind for kind in KINDS.values() if kind.usual is not None)
        environ = {**environ, first.key_vars[0]: _LATER}
        found = findings(environ, detected)
    parts = [_HEAD, _PROVIDERS + yaml_of({"providers": dict(_entries(found, environ))}), _ROLES + _roles(found)]
    if found.default is not None:
        parts.append(_DEFAULTS + yaml_of({"defaults": {"provider": found.default}}))
    return "\n".join([*parts, _MORE])


def _entries(found: Findings, environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    from_variables = variables.written(environ)
    for one in found.providers:
        yield one.name, from_variables.get(one.name) or _entry(one, environ)


def _entry(provider: Provider, environ: Mapping[str, str]) -> dict[str, Any]:
    kind = kind_of(provider)
    entry: dict[str, Any] = {}
    if kind.name != provider.name:
        entry["kind"] = kind.name
    if provider.base_url != kind.base_url:
        entry["base_url"] = provider.base_url
    if variable := next((name for name in kind.key_vars if environ.get(name, "").strip()), ""):
        entry["api_key"] = f"${{{variable}:-}}"
    if provider.models:
        entry["models"] = list(provider.models)
    return entry


def _roles(found: Findings) -> str:
    """Return the section of roles. A role with the same job as an earlier one refers to it."""
    if not any(role.targets for role in found.roles.values()):
        return "roles: {}\n"
    lines = ["roles:"]
    first: dict[Job, str] = {}
    for name, role in found.roles.items():
        leader = first.setdefault(JOBS[name], name)
        if not role.targets:
            lines.append(f"  # {name}: {role.vacancy}")
            continue
        if leader == name and (why := found.reasons.get(name)):
            lines.append(f"  # {name}: {why}")
        targets = list(role.targets) if leader == name else [ROLE + leader]
        lines += [f"  {line}" for line in yaml_of({name: {"models": targets}}).splitlines()]
    return "\n".join(lines) + "\n"
