"""Know the fields of a request by which another gateway, behind this one, lets its caller choose.

Rule: a caller chooses no URL, no host and no credential, even where this gateway itself obeys no such field
(`LOCATIONS`). A key that is for certain models chooses no model in a field that this gateway does not look up
(`CHOICES`).

Source, read in November 2026: LiteLLM's proxy/auth/auth_utils.py (what it bans itself, and what it was found to have
missed: nested objects, `api_key`, `extra_headers`) and its pages on client-side fallbacks and credentials; the pages of
OpenRouter (models, route, preset, plugins), Bifrost, AssemblyAI (fallbacks), Vercel (providerOptions.gateway: models,
byok), Helicone (a list of models in `model`) and TensorZero (tensorzero::*) on the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects import lenient
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOCATIONS = frozenset({
    "api_base", "base_url", "api_key", "user_config", "model_list", "extra_headers", "headers",
    "litellm_credential_name", "custom_llm_provider", "organization", "azure_ad_token", "azure_endpoint",
    "vertex_credentials", "vertex_ai_credentials", "aws_access_key_id", "aws_secret_access_key", "aws_session_token",
    "aws_bedrock_runtime_endpoint", "aws_sts_endpoint", "aws_web_identity_token", "aws_role_name", "aws_profile_name",
    "s3_endpoint_url", "sagemaker_base_url", "deployment_url", "virtual_key", "tensorzero::credentials",
})  # fmt: skip
"""Fields that say where a call goes and with which credential: the operator's to set, never a caller's."""

CHOICES = frozenset({
    "fallbacks", "default_fallbacks", "fallback_config", "context_window_fallbacks", "content_policy_fallbacks",
    "context_window_fallback_dict", "content_policy_fallback_dict", "mock_testing_fallbacks",
    "mock_testing_context_fallbacks", "mock_testing_content_policy_fallbacks", "router_settings_override",
    "specific_deployment", "deployment_id", "disable_global_guardrails", "disable_global_guardrail", "route", "preset",
    "tensorzero::variant_name", "tensorzero::internal_dynamic_variant_config",
})  # fmt: skip
"""Fields that say which model answers, beside `model` and `models`."""

CARRIERS = frozenset({
    "litellm_params", "litellm_metadata", "litellm_embedding_config", "extra_body", "providerOptions",
    "provider_options", "plugins", "config", "proxy",
})  # fmt: skip
"""Fields whose objects hold such fields."""

TOP = LOCATIONS | CARRIERS
# Looking through a longer object would keep other calls waiting. Real ones have some hundred bytes.
_LONGEST_CARRIER = 32 * 1024
_OPERATOR = "the gateway's configuration says where a call goes and with which key; leave the field out"


def _plain(name: str) -> str:
    """Return a name that is the same for all of its spellings: apiBase, api-base, API_BASE."""
    return name.casefold().replace("_", "").replace("-", "")


_NESTED_LOCATIONS = frozenset(map(_plain, LOCATIONS | {"byok", "api_token", "credentials", "authorization"}))
_NESTED_CHOICES = frozenset(map(_plain, CHOICES | {"model", "models", "analysis_models", "allowed_models"}))


def refuse_locations(fields: Mapping[str, object]) -> None:
    """Check that a caller chooses neither a URL nor a host nor a credential. `fields`: of a JSON body, values unread.

    Raises:
        BadRequest: a field chooses one; the message names the field.
    """
    for name in fields:
        if name in LOCATIONS:
            raise refused(name)
    if found := _nested(fields, _NESTED_LOCATIONS):
        raise refused(found)


def choice_in(fields: Mapping[str, object]) -> str | None:
    """Return the field by which a caller chooses models that this gateway does not look up; None if there is none.

    Raises:
        BadRequest: an object that may hold one is too long to be looked through.
    """
    for name in fields:
        if name in CHOICES:
            return name
    return None if CARRIERS.isdisjoint(fields) else _nested(fields, _NESTED_CHOICES)


def refused(name: str) -> BadRequest:
    """Return the refusal of a field that says where a call goes."""
    return BadRequest(f'a caller may not choose "{name}": {_OPERATOR}', param=name, code="field_not_allowed")


def _nested(fields: Mapping[str, object], names: frozenset[str]) -> str | None:
    """Return the path to one of these names within a carrier (`extra_body.api_base`), or None."""
    for carrier in fields:
        raw = fields[carrier]
        if carrier in CARRIERS and isinstance(raw, msgspec.Raw):
            if len(bytes(raw)) > _LONGEST_CARRIER:
                message = (
                    f'"{carrier}" is longer than {_LONGEST_CARRIER} bytes; send what it holds as fields of its own'
                )
                raise BadRequest(message, param=carrier)
            for path, name in _names_in(lenient.value_of(raw), carrier):
                if _plain(name) in names:
                    return path
    return None


def _names_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every key in a decoded value with the path to it."""
    left: list[tuple[str, Any]] = [(path, value)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                yield f"{path}.{name[:64]}", name
                left.append((f"{path}.{name[:64]}"[-256:], inner))
        elif isinstance(value, list):
            left += [(path, inner) for inner in value]
