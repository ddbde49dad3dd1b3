"""Decide where a request goes: by its model name, by the rules, and by the client's headers.

Most requests only name a model, and then this is one dictionary look-up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from gateway.core import names
from gateway.core.experiments import arm_for
from gateway.core.keys import may_ask, not_allowed
from gateway.core.names import AUTO
from gateway.core.plan import Terms
from gateway.core.presets import MARK, known_preset, parted, resolved
from gateway.core.rules import Features, auto_route, choose, complexity, language_of
from gateway.core.strategies import STRATEGIES
from gateway.dialects.beyond import TOP, choice_in, refuse_locations
from gateway.dialects.body import without
from gateway.dialects.needs import read_needs
from gateway.dialects.prefixing import with_prefix
from gateway.dialects.prompt import last_words, names_in, text_field
from gateway.dialects.wording import takes_presets
from gateway.errors import BadRequest, Forbidden
from gateway.types import RouteKind
from gateway.web.callers import credential_of, session_of, unit_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.names import Directory
    from gateway.proxy.gateway import Gateway
    from gateway.proxy.ruleset import Ruleset
    from gateway.types import Call, Key, Needs, Route

ORDER, FALLBACK, TASK, EXPLAIN = b"x-gateway-order", b"x-gateway-fallback", b"x-gateway-task", b"x-gateway-explain"
PRESET = b"x-gateway-preset"
_FALSE = frozenset({b"", b"0", b"false", b"no"})


def steer(
    gateway: Gateway, ruleset: Ruleset, call: Call, headers: Mapping[bytes, bytes], key: Key, request_id: bytes = b"",
    keeper: str = "",
) -> tuple[Call, Route, Terms]:  # fmt: skip
    """Return the call without fields that are for the gateway alone, its route, and its terms.

    `request_id`: decides the arm of a call that names nothing else; empty: the call takes part in no experiment.
    `keeper`: the only provider that can serve the call; empty: any can.

    Raises:
        ModelNotFound: a requested name is unknown.
        BadRequest: the order or preset is unknown, or the list of fallbacks is malformed. Or the body names a location
            or credential for the call.
    """
    config = ruleset.config
    if not TOP.isdisjoint(call.fields):
        refuse_locations(call.fields)
    needs = call.needs or read_needs(call)
    name, preset = call.model, ""
    if MARK in name:
        name, preset = parted(name, ruleset.directory)
    if PRESET in headers and not preset:
        preset = known_preset(headers[PRESET].decode("latin-1").strip(), ruleset.directory)
    if config.rules:
        name = choose(config.rules, _features(call, name, needs, headers, ruleset.looked_at)) or name
    route = route_for(key, name, gateway, ruleset)
    if route.name == AUTO and route.kind is RouteKind.AUTO:  # an alias "auto" is an ordinary name
        said, turns = last_words(call)
        hard = complexity(said, prompt_tokens=needs.input_tokens, turns=turns, capabilities=needs.capabilities)
        name = auto_route(AUTO, hard)
        route = gateway.resolve(name, ruleset)
    fallbacks = _fallbacks(call, headers) if FALLBACK in headers or "models" in call.fields else ()
    if "models" in call.fields:  # OpenRouter's field for fallbacks; no other provider knows it
        call = without(call, "models")
    tried = route
    if request_id and ruleset.directory.experiments:
        tried = _on_trial(route, ruleset, call, headers, key, request_id, keeper)
    if fallbacks:
        route = names.resolve_many([name, *fallbacks], _open_to(key, ruleset.directory), resolved)
        tried = names.with_fallbacks(tried, [route]) if tried.arm else route
    route = tried
    if preset and takes_presets(call.endpoint):
        route = ruleset.preset(route, preset)
    if route.system_prefix:
        call, needs = with_prefix(call, needs, route.system_prefix)
    order = order_of(headers[ORDER].decode("latin-1")) if ORDER in headers else ()
    caller = _caller(call, headers) if "sticky" in (order or route.order) else ""
    explain = EXPLAIN in headers and headers[EXPLAIN].lower() not in _FALSE
    replayable = call.rest_bytes == 0
    repeats = call.endpoint.repeatable or _leaves_nothing(call)
    terms = Terms(
        config.max_attempts, config.retries, config.max_wait_s, replayable, needs, order, caller, explain, repeats
    )  # fmt: skip
    return call, route, terms


def route_for(key: Key, name: str, gateway: Gateway, ruleset: Ruleset) -> Route:
    """Return the route that a name has for the owner of a key.

    Raises:
        ModelNotFound: the name is unknown, or it would lead to a default route that the key may not use.
    """
    directory = _open_to(key, ruleset.directory)
    return gateway.resolve(name, ruleset) if directory is ruleset.directory else resolved(name, directory)


def _open_to(key: Key, directory: Directory) -> Directory:
    """Return the directory without its default route if the key may not use that.

    A pattern like `gpt-*` permits names that nobody configured, so it must not open the route behind them.
    """
    default = directory.default_route
    if default is None or may_ask(key, default.target):
        return directory
    return replace(directory, default_route=None)


def may_name(key: Key, name: str, directory: Directory) -> bool:
    """Tell whether a key may ask for a name, with or without a preset.

    The name without its preset is judged first: the refusal of an unknown preset must not tell which names exist.

    Raises:
        BadRequest: the key may ask for the name, and there is no such preset.
    """
    if may_ask(key, name):
        return True
    plain = name.rpartition(MARK)[0]
    return bool(plain) and may_ask(key, plain) and parted(name, directory)[0] == plain


def refuse_other_names(key: Key, call: Call, headers: Mapping[bytes, bytes], directory: Directory) -> None:
    """Check that the key may ask for every name of the request: the model, and each fallback.

    A preset changes parameters alone, so every key may choose any.

    The key is checked against the requested name, not against its meaning after rules, aliases and roles. A gateway
    behind this one may take a list in `model` (Helicone, LiteLLM), so the key must allow each of its parts.

    Raises:
        Forbidden: the key does not allow a name, or a field lets another gateway choose the model.
        BadRequest: `models` is not a list of names.
    """
    for name in (call.model, *_fallbacks(call, headers)):
        for one in (name, *(part.strip() for part in name.split(",") if "," in name)):
            if not may_name(key, one, directory):
                raise not_allowed(key, one)
    if (field := choice_in(call.fields)) is not None:
        raise Forbidden(
            f"the API key {names.quoted(key.name or key.id)} is for certain models, and another gateway may choose "
            f'others by "{field}"; leave it out, and name fallbacks in "models"',
            code="model_not_allowed",
            param=field,
        )


def _fallbacks(call: Call, headers: Mapping[bytes, bytes]) -> list[str]:
    listed = names_in(call, "models") if "models" in call.fields else None
    if listed is not None and not listed:
        raise BadRequest('"models" must be a list of model names, the fallbacks of "model"', param="models")
    said = headers.get(FALLBACK, b"").decode("latin-1")
    return [*(listed or ()), *(one.strip() for one in said.split(",") if one.strip())]


def order_of(value: str) -> tuple[str, ...]:
    """Read a comma-separated list of policies.

    Raises:
        BadRequest: a policy is unknown; the message lists the known ones.
    """
    order = tuple(one.strip().lower() for one in value.split(",") if one.strip())
    for one in order:
        if one not in STRATEGIES:
            known = ", ".join(STRATEGIES)
            raise BadRequest(f"unknown policy {names.quoted(one)}; there are {known}", code="unknown_policy")
    return order


def _leaves_nothing(call: Call) -> bool:
    """Whether a call forbids the provider to store it (`store: false`)."""
    store = call.fields.get("store")
    return isinstance(store, msgspec.Raw) and bytes(store) == b"false"


def _caller(call: Call, headers: Mapping[bytes, bytes]) -> str:
    """Return the identity that `sticky` keeps on one upstream: the conversation, else the user, else the key."""
    return session_of(call, headers) or text_field(call, "user") or credential_of(headers)


def _on_trial(
    route: Route, ruleset: Ruleset, call: Call, headers: Mapping[bytes, bytes], key: Key, request_id: bytes,
    keeper: str,
) -> Route:  # fmt: skip
    """Return the route of the arm that a call belongs to, or the same route if it belongs to none."""
    experiment = ruleset.directory.experiments.get(route.name)
    if experiment is None:
        return route
    arm = arm_for(experiment, unit_of(experiment.unit, call, headers, key, request_id), keeper.replace("*", ""))
    return route if arm is None else arm.route


def _features(
    call: Call, name: str, needs: Needs, headers: Mapping[bytes, bytes], looked_at: frozenset[str]
) -> Features:
    """Return the features that the rules read, and leave the others empty. `name`: the model without its preset."""
    said, turns = last_words(call) if looked_at & {"language", "complexity"} else ("", 0)
    task = headers.get(TASK, b"").decode("latin-1")
    return Features(
        endpoint=call.endpoint.name,
        model=name,
        stream=call.stream,
        capabilities=needs.capabilities,
        prompt_tokens=needs.input_tokens,
        task=task or (text_field(call, "task") if "task" in looked_at else ""),
        user=text_field(call, "user") if "user" in looked_at else "",
        headers=headers,
        language=language_of(said) if "language" in looked_at else "",
        complexity=complexity(said, prompt_tokens=needs.input_tokens, turns=turns, capabilities=needs.capabilities)
        if "complexity" in looked_at
        else 0,
    )
