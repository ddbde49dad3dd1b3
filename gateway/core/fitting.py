"""Say which parameters a model will not take: out of range, above its longest answer, or unknown to it.

Rule: this only tells. A value is changed by `clamp`, `drop` and `force` in the configuration, never because of this.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.params import bounded
from gateway.kinds import kind_of
from gateway.types import Bounds, Params

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.core.names import Directory
    from gateway.types import Upstream

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

# OpenAI's reference of chat completions and Anthropic's of messages, read in November 2026.
RANGES: Mapping[str, Bounds] = {
    "temperature": Bounds(0, 2),
    "top_p": Bounds(0, 1),
    "min_p": Bounds(0, 1),
    "top_k": Bounds(0, None),
    "frequency_penalty": Bounds(-2, 2),
    "presence_penalty": Bounds(-2, 2),
    "top_logprobs": Bounds(0, 20),
    "n": Bounds(1, None),
    **dict.fromkeys(LIMITS, Bounds(1, None)),
}

# The words of OpenRouter's `supported_parameters` that are fields of a request and that every list has or lacks.
LISTED = frozenset({
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "logit_bias", "logprobs", "top_logprobs", "stop",
})  # fmt: skip

_number = msgspec.json.Decoder(int | float).decode
_LONGEST_SHOWN = 24


class Fit(NamedTuple):
    """The parameters that one candidate takes, and what is wrong with the configured ones."""

    params: Params
    ranges: Mapping[str, Bounds]
    refused: frozenset[str]
    judged: frozenset[str]
    """The fields to look at: those with a range, and the refused ones."""
    plain: Mapping[str, tuple[float, float]]
    """Field -> least and most, where nothing but its range counts: most fields, and the quick way through them."""
    configured: tuple[tuple[str, str], ...]
    """Field and objection, of defaults and forced values."""


def fit_of(upstream: Upstream, params: Params, dialect: str) -> Fit:
    """Return what an upstream takes in a dialect, and judge configured parameters by it."""
    quirks = kind_of(upstream.provider).quirks.get(dialect, Params())
    ability = upstream.ability
    ranges = {**RANGES, **quirks.clamps}
    if (longest := ability.max_output_tokens) is not None:
        ranges |= dict.fromkeys(LIMITS, Bounds(1, longest))
    unknown = LISTED - ability.parameters if ability.parameters is not None else frozenset[str]()
    refused = quirks.drops | unknown
    judged = frozenset(ranges) | refused
    values = {**params.defaults, **params.forced}
    configured = tuple(
        (name, objection)
        for name, value in values.items()
        if name in judged and (objection := _objection(name, value, params, ranges, refused))
    )
    touched = refused | params.drops | params.forced.keys() | params.renames.keys() | params.clamps.keys()
    plain = {
        name: (-inf if least is None else least, inf if most is None else most)
        for name, (least, most) in ranges.items()
        if name not in touched
    }
    return Fit(params, ranges, refused, judged, plain, configured)


def doubts(sent: Mapping[str, object], fit: Fit) -> list[str]:
    """Return the objections to the parameters of a call, a few words each.

    `sent`: the client's fields. A configured default counts only where the client sends none, a forced value always.
    """
    found, plain = [], fit.plain
    for name, value in sent.items():
        if not isinstance(value, msgspec.Raw):
            continue
        if (within := plain.get(name)) is not None:
            try:
                if within[0] <= _number(value) <= within[1]:
                    continue
            except msgspec.MsgspecError:  # the provider says what is wrong with it
                continue
        elif name not in fit.judged or name in fit.params.forced:
            continue
        if objection := _objection(name, bytes(value), fit.params, fit.ranges, fit.refused):
            found.append(objection)
    if fit.configured:
        found += [words for name, words in fit.configured if name not in sent or name in fit.params.forced]
    return found


def _objection(name: str, value: bytes, params: Params, ranges: Mapping[str, Bounds], refused: frozenset[str]) -> str:
    new = params.renames.get(name, name)
    if value == b"null" or name in params.drops or new in params.drops:
        return ""
    if new in refused:
        return f"{new} is not supported"
    if params.clamps:
        value = bounded(name, new, value, params)
    bounds = ranges.get(new)
    if bounds is None or len(value) > _LONGEST_SHOWN:
        return ""
    try:
        number = _number(value)
    except msgspec.MsgspecError:
        return ""
    if bounds.most is not None and number > bounds.most:
        return f"{new} {value.decode()} is above {bounds.most:.10g}"
    if bounds.least is not None and number < bounds.least:
        return f"{new} {value.decode()} is below {bounds.least:.10g}"
    return ""


# One line of a warning; a default of all calls may be wrong for hundreds of models.
_MOST_NAMED = 3


def misfits(directory: Directory) -> Iterator[str]:
    """Yield warnings about configured parameters that models will not take, each once, with the first models."""
    found: dict[str, dict[str, str]] = {}
    for name, route in directory.routes.items():
        for one in route.candidates:
            if not one.params.defaults and not one.params.forced:
                continue
            provider = one.upstream.provider
            dialect = next(iter(provider.speaks), "chat")
            for _, objection in fit_of(one.upstream, one.params, dialect).configured:
                found.setdefault(objection, {}).setdefault(one.upstream.id, name)
    for preset, params in directory.presets.items():
        for name, value in {**params.defaults, **params.forced}.items():
            if objection := _objection(name, value, params, RANGES, frozenset()):
                found.setdefault(objection, {}).setdefault(f"preset {preset}", "")
    for objection, models in found.items():
        listed = list(models)[:_MOST_NAMED]
        more = f" and {len(models) - len(listed)} more" if len(models) > len(listed) else ""
        name = next(iter(models.values()))
        command = f"gateway params show {name}" if name else "gateway params list"
        yield f"params: {objection} for {', '.join(listed)}{more}; `{command}` says where it is set"
