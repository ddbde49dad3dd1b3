"""The choice of a provider, as front ends with one settings page know it. Rule: pure.

Their settings are flat: `runpod_api_key` is the `api_key` of the provider `runpod`. The provider chosen is the default
provider of the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from gateway.config import shields
from gateway.config.edits import Edit
from gateway.control.providers import Field, fields_of
from gateway.control.refusals import Invalid
from gateway.core.names import nearest, quoted
from gateway.kinds import KINDS, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config.source import Path
    from gateway.control.desk import View
    from gateway.kinds import Kind
    from gateway.types import Provider

# What front ends call a setting, where they do not call it as gateway.yaml does.
_FLAT = {"model_override": "model_name"}
_CHOSEN = ("defaults", "provider")


class Option(NamedTuple):
    """A provider that can be chosen: a configured one, or one of a kind that is not configured yet."""

    name: str
    kind: Kind
    is_configured: bool

    @property
    def settings(self) -> tuple[Field, ...]:
        """What there is to set for it."""
        return fields_of(self.kind)

    @property
    def description(self) -> str:
        """What it is, in one sentence."""
        host = urlsplit(self.kind.base_url).hostname or ""
        place = f"at {host}" if host else "at a base URL of your own"
        needs = [one.label for one in self.settings if one.required]
        return f"{self.kind.title or self.kind.name} {place}; it needs {' and '.join(needs) or 'no settings'}."

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its settings under their flat keys."""
        return tuple(one._replace(key=flat(self.name, one.key)) for one in self.settings)


def flat(provider: str, setting: str) -> str:
    """Return the flat key of a provider's setting: `runpod_model_name` for its `model_override`."""
    return f"{provider.replace('-', '_')}_{_FLAT.get(setting, setting)}"


def options(providers: Mapping[str, Provider]) -> dict[str, Option]:
    """Return all providers that can be chosen, by name: the configured ones first."""
    found = {
        name: Option(name, kind_of(one), is_configured=True)
        for name, one in providers.items()
        if not kind_of(one).built_in
    }
    for kind in KINDS.values():
        if not kind.built_in and kind.usual_name not in found:
            found[kind.usual_name] = Option(kind.usual_name, kind, is_configured=False)
    return found


def option(name: str, providers: Mapping[str, Provider]) -> Option:
    """Return one of the options.

    Raises:
        Invalid: there is none of this name.
    """
    known = options(providers)
    if name not in known:
        near = nearest(name, known) or f"; there are {', '.join(known)}"
        raise Invalid(f"there is no provider {quoted(name[:100])}{near}", param="provider", code="unknown_provider")
    return known[name]


def chosen(option: Option, sent: Mapping[str, Any], providers: Mapping[str, Provider], view: View) -> Sequence[Edit]:
    """Return the edits that choose a provider and keep the settings sent with it.

    `sent`: the settings by flat key or, those of the provider chosen, by their key in gateway.yaml.

    An empty text leaves a secret as it is, because a form cannot show it, and removes any other setting. A required
    setting that is nowhere is taken from its variable, so that the message about it names the variable.

    Raises:
        Invalid: a key is no setting, or a value is no text.
    """
    found: list[Edit] = []
    known = {flat(name, field.key): (one, field) for name, one in options(providers).items() for field in one.settings}
    touched = {option.name: option}
    for said, value in sent.items():
        key = said if said in known else flat(option.name, said)
        if key not in known:
            raise Invalid(f"unknown field {quoted(said[:100])}{nearest(said, known)}", param=said, code="unknown_field")
        if not isinstance(value, str):
            raise Invalid(f"{said} must be text", param=said, code="invalid_field")
        owner, field = known[key]
        path = ("providers", owner.name, field.key)
        touched[owner.name] = owner
        if value.strip():
            found.append(Edit(path, _written(value.strip(), path)))
        elif not field.sensitive:
            found.append(Edit(path, _reference(owner, field) if field.required else None))
    for one in touched.values():
        found = [*_entry(one, {edit.path for edit in found if edit.value is not None}, view), *found]
    return [*found, Edit(_CHOSEN, option.name)]


def keyed(option: Option, key: str, view: View) -> Sequence[Edit]:
    """Return the edits that keep the key of a provider, which may not be configured yet."""
    path = ("providers", option.name, "api_key")
    return [*_entry(option, {path}, view), Edit(path, _written(key, path))]


def _entry(option: Option, sent: set[Path], view: View) -> Sequence[Edit]:
    """Return the edits that make the entry of a provider that has none, with the settings that it needs."""
    path = ("providers", option.name)
    if option.is_configured:
        return []
    found = [] if view.at(path) is not None else [Edit((*path, "kind"), option.kind.name)]
    for field in option.settings:
        where = (*path, field.key)
        if field.required and not field.sensitive and where not in sent and view.at(where) is None:
            found.append(Edit(where, _reference(option, field)))
    return found


def _reference(option: Option, field: Field) -> str:
    usual = option.kind.settings_vars.get(field.key, ())
    return f"${{{next(iter(usual), flat(option.name, field.key).upper())}:-}}"


def _written(value: str, path: tuple[str, ...]) -> str:
    """Return a value as gateway.yaml writes it. Secrets go to a file where a dollar sign means itself."""
    is_reference = bool(shields.reference(value))
    return value if is_reference or shields.is_secret(path) else value.replace("$", "$$")
