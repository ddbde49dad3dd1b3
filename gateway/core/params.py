"""Merge and apply the parameters of a candidate. Rule: top-level fields only, and a value is read only to clamp it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.kinds import kind_of
from gateway.types import Bounds, Params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.types import Provider

VERBS = frozenset({"default", "force", "drop", "rename", "clamp"})
"""The words under which a level of parameters says what to do with fields."""

_NOTHING = b"null"
# The inner level of a merge removes an inherited clamp with bounds of nothing.
UNBOUND = Bounds()

_number = msgspec.json.Decoder(int | float).decode


def merged(outer: Params, inner: Params) -> Params:
    """Merge parameters key by key; the inner level (nearer to the request) wins.

    `null` removes an inherited value, an empty name an inherited rename, and `UNBOUND` an inherited clamp. A forced
    value stays forced: only an inner *forced* value replaces it. A field that one level drops stays dropped. The bounds
    of both levels hold, because an outer level knows what the provider takes.
    """
    if not inner:
        return outer
    defaults, forced = {**outer.defaults, **inner.defaults}, {**outer.forced, **inner.forced}
    clamps = {**outer.clamps, **inner.clamps}
    for name in outer.clamps.keys() & inner.clamps.keys():
        clamps[name] = _within(inner.clamps[name], outer.clamps[name])
    return Params(
        {key: value for key, value in defaults.items() if value != _NOTHING},
        {key: value for key, value in forced.items() if value != _NOTHING},
        outer.drops | inner.drops,
        {key: name for key, name in {**outer.renames, **inner.renames}.items() if name},
        {key: bounds for key, bounds in clamps.items() if bounds != UNBOUND},
    )


def _within(inner: Bounds, outer: Bounds) -> Bounds:
    if inner == UNBOUND:
        return UNBOUND
    least = outer.least if inner.least is None else _clamped(inner.least, outer)
    most = outer.most if inner.most is None else _clamped(inner.most, outer)
    return Bounds(least, most)


def _clamped(number: float, bounds: Bounds) -> float:
    if bounds.least is not None and number < bounds.least:
        return bounds.least
    if bounds.most is not None and number > bounds.most:
        return bounds.most
    return number


def repaired(params: Params, provider: Provider, dialect: str) -> Params:
    """Return the parameters of a candidate with the quirks of its kind, for a call that the gateway itself has written.

    `dialect`: the name of the provider's dialect that the call is written in. Without a quirk, or where the operator
    switched the repairs off, the result is `params`.
    """
    quirks = kind_of(provider).quirks.get(dialect) if provider.repairs else None
    return params if quirks is None else merged(quirks, params)


def clamped(value: bytes, bounds: Bounds) -> bytes:
    """Return a JSON value within bounds: the same object if it is within them, or no number."""
    try:
        number = _number(value)
    except msgspec.MsgspecError:
        return value
    kept = _clamped(number, bounds)
    return value if kept == number else msgspec.json.encode(kept)


class Adapted(NamedTuple):
    """The fields of a request as a provider receives them."""

    names: Mapping[str, str]
    """Client's name -> provider's name, of the fields that are sent."""
    values: Mapping[str, bytes]
    """Provider's name -> value, of the fields that are added or whose value is replaced."""

    @property
    def added(self) -> Iterator[tuple[str, bytes]]:
        """The fields that the client did not send."""
        sent = set(self.names.values())
        return ((name, value) for name, value in self.values.items() if name not in sent)


def adapted(sent: Iterable[str], params: Params, decided: Mapping[str, bytes]) -> Adapted:
    """Return what becomes of the fields that a client sent.

    `decided`: the values that the gateway itself decides. They are dropped like others, and nothing else replaces them.
    """
    sent = tuple(sent)
    if not params.adapts:
        names = dict(zip(sent, sent, strict=True))
        given = {key: value for key, value in params.defaults.items() if key not in names}
        return Adapted(names, {**given, **params.forced, **decided})
    drops, renames = params.drops, params.renames
    names = {key: key for key in sent if key not in drops and key not in renames}
    for key in sent:
        new = renames.get(key)
        if new is not None and key not in drops and new not in drops and new not in names.values():
            names[key] = new
    taken = {renames.get(key, key) for key in sent}
    given = {key: value for key, value in params.defaults.items() if renames.get(key, key) not in taken}
    values = {}
    for key, value in {**given, **params.forced, **decided}.items():
        new = renames.get(key, key)
        if key not in drops and new not in drops and (new == key or new not in values):
            values[new] = value if key in decided else bounded(key, new, value, params)
    return Adapted(names, values)


def bounded(key: str, new: str, value: bytes, params: Params) -> bytes:
    """Return the value of a field within the bounds of both its names."""
    for name in (key, new) if new != key else (new,):
        if (bounds := params.clamps.get(name)) is not None:
            value = clamped(value, bounds)
    return value


def applied(sent: Mapping[str, bytes], params: Params) -> dict[str, bytes]:
    """Return the fields of a whole request as its provider receives them."""
    names, values = adapted(sent, params, {})
    kept = {new: bounded(key, new, sent[key], params) for key, new in names.items()}
    return {**kept, **values}


def changes_to(sent: Mapping[str, object], params: Params) -> tuple[str, ...]:
    """Return what drops, renames and clamps change of a client's fields: `drop seed`, `clamp temperature`.

    The words are those of the configuration, so a metric may have them as labels.
    """
    found = []
    for key, raw in sent.items():
        new = params.renames.get(key, key)
        if key in params.drops or new in params.drops:
            found.append(f"drop {key}")
            continue
        if new != key:
            found.append(f"rename {key}")
        value = bytes(raw) if isinstance(raw, msgspec.Raw) else b""
        if value and bounded(key, new, value, params) is not value:
            found.append(f"clamp {new if new in params.clamps else key}")
    return tuple(found)
