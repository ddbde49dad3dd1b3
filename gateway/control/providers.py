"""What there is to set for a provider, by its kind. Rule: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.kinds import Kind


class Field(NamedTuple):
    """A setting that a kind of provider has, with the words for a form."""

    key: str
    """Its key below `providers.NAME`."""
    label: str
    hint: str
    sensitive: bool
    required: bool


def guide_of(kind: Kind) -> tuple[str, ...]:
    """Return the steps that lead to a provider of a kind that works."""
    if kind.guide:
        return kind.guide
    if not kind.key_required:
        return ("Start the server.", "Give its address up to and including /v1.", "Test the connection.")
    variables = " or ".join(kind.key_vars)
    beside = f" Or set {variables} where the gateway starts, and leave the field empty." if variables else ""
    return ("Create a key in the provider's console.", f"Paste it here: it is stored, and never shown again.{beside}")


def fields_of(kind: Kind) -> tuple[Field, ...]:
    """Return the settings that a user may have to make for a provider of a kind, the required ones first."""
    found: list[Field] = []
    if kind.key_vars or kind.key_required or not kind.base_url:
        variables = " or ".join(kind.key_vars)
        hint = f"without it, the variable {variables} counts" if variables else "the key of its API"
        found.append(Field("api_key", "API key", hint, sensitive=True, required=kind.key_required))
    if kind.endpoint_id_from:
        found.append(Field("endpoint_id", "Endpoint id", kind.endpoint_id_from, sensitive=False, required=True))
    if kind.has_api_version:
        found.append(Field("api_version", "API version", "such as 2024-10-21", sensitive=False, required=False))
    usual = f"by default {kind.base_url}" if kind.base_url else "the URL of its API, up to and including /v1"
    found.append(Field("base_url", "Base URL", usual, sensitive=False, required=not kind.base_url))
    words = "the only model that it serves, under any name"
    found.append(Field("model_override", "Model", words, sensitive=False, required=False))
    return tuple(sorted(found, key=lambda one: not one.required))
