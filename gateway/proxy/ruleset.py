"""One version of everything that follows from the configuration. A call keeps the ruleset that it began with.

Rule: a ruleset is replaced, never changed. Its memos only cache results that follow from it. Connections, facts,
quotas, the ledger and kept answers outlive rulesets; other objects keep them by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from gateway.core.bounded import remember
from gateway.core.fitting import doubts, fit_of
from gateway.core.presets import resolved, with_preset
from gateway.core.rules import looked_at
from gateway.core.spend import Spending
from gateway.dialects.wording import takes_presets
from gateway.proxy.crossing import spoken_by_all
from gateway.proxy.headers import safe
from gateway.stores.memory import is_same, is_same_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config import Config
    from gateway.core.cors import Cors
    from gateway.core.fitting import Fit
    from gateway.core.names import Directory
    from gateway.types import Ability, Call, Candidate, Endpoint, Provider, Route, Upstream
    from gateway.upstream.client import Client, Target

    Found = Mapping[str, Mapping[str, Ability]]
    """Provider name -> model -> its abilities according to the provider's list."""

# Clients choose the names, so each memo by name is bounded.
MOST_REMEMBERED = 4096
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Ruleset:
    """The rules for calls: permitted callers, names and their routes, upstream targets, and budgets."""

    config: Config
    directory: Directory
    """The configured names, and the models that discovery found."""
    spending: Spending
    looked_at: frozenset[str]
    """The features of a request that at least one rule reads."""
    version: int
    """1 at the start; each reload that changes something adds 1."""
    loaded_at: float
    """Wall-clock seconds."""
    fingerprint: str
    """A digest of the effective configuration, secrets included. It is the same in every process."""
    api_keys: frozenset[bytes] = field(repr=False)
    """SHA-256 digests of `server.api_keys`."""
    admin_keys: frozenset[bytes] = field(repr=False)
    """SHA-256 digests of `server.admin_keys`."""
    console_hosts: frozenset[str]
    """`server.console_hosts`."""
    cors: Cors | None
    straight: frozenset[str]
    """The dialects whose calls pass straight to every provider."""
    routes: dict[str, Route] = field(default_factory=dict)
    """Memo of `resolve`."""
    _lines: dict[tuple[str, str, str, str], bytes] = field(default_factory=dict)
    _fits: dict[tuple[str, str, str, str, str], Fit] = field(default_factory=dict)
    """By the names of route, arm and preset, the label of the candidate, and the dialect; empty over a bridge."""
    _presets: dict[tuple[str, str, str], tuple[Route, Route]] = field(default_factory=dict)
    """Names of route, arm and preset -> the route, and the same route with that preset."""
    _targets: dict[tuple[str, str], Target] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Ruleset {self.version} ({self.fingerprint[:8]}) of {self.config.source}>"

    def resolve(self, model: str) -> Route:
        """Return the route that `model` names, with or without a preset.

        Raises:
            ModelNotFound: the name is unknown. BadRequest: its preset is.
        """
        route = self.routes.get(model)
        if route is None:
            route = remember(self.routes, model, resolved(model, self.directory), MOST_REMEMBERED)
        return route

    def preset(self, route: Route, name: str) -> Route:
        """Return a route with the parameters of a preset that exists."""
        key = (route.name, route.arm, name)
        known = self._presets.get(key)
        if known is None or known[0] is not route:
            pair = route, with_preset(route, name, self.directory)
            known = remember(self._presets, key, pair, MOST_REMEMBERED)
        return known[1]

    def lines(self, route: Route, upstream: Upstream) -> bytes:
        """Return the header lines that say where an answer came from."""
        key = (route.name, route.arm, route.preset, upstream.id)
        lines = self._lines.get(key)
        if lines is None:
            lines = b"x-gateway-route: %b\r\nx-gateway-provider: %b\r\nx-gateway-model: %b\r\n" % (
                safe(route.name),
                safe(upstream.provider.name),
                safe(upstream.model),
            )
            if route.preset:
                lines += b"x-gateway-preset: %b\r\n" % safe(route.preset)
            if route.arm:
                lines += b"x-gateway-arm: %b\r\n" % safe(route.arm)
            remember(self._lines, key, lines, MOST_REMEMBERED)
        return lines

    def doubts(self, route: Route, candidate: Candidate, call: Call) -> bytes:
        """Return the header line that says which parameters of a call the answering model will not take; or nothing."""
        # Over a bridge the gateway repairs what the kind refuses.
        dialect = "" if candidate.bridge else call.endpoint.dialect
        key = (route.name, route.arm, route.preset, candidate.label, dialect)
        fit = self._fits.get(key)
        if fit is None or fit.params is not candidate.params:
            fit = remember(self._fits, key, fit_of(candidate.upstream, candidate.params, dialect), MOST_REMEMBERED)
        if not fit.configured and fit.judged.isdisjoint(call.fields):
            return b""
        found = doubts(call.fields, fit)
        if not found or not takes_presets(call.endpoint):
            return b""
        return b"x-gateway-param-warnings: %b\r\n" % "; ".join(found).encode()

    def target(self, client: Client, provider: Provider, endpoint: Endpoint) -> Target:
        """Return the target of an endpoint at a provider of this ruleset. `client` owns the connections."""
        # The configuration bounds the number of keys. A name is the key, because hashing a provider hashes all fields.
        key = (provider.name, endpoint.path)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = client.target(provider, endpoint)
        return target

    def with_found(self, found: Found) -> Ruleset:
        """Return the same version with discovered models. Providers that it does not have are ignored."""
        directory = self.directory.with_discovered(found)
        return replace(self, directory=directory, routes={}, _lines={}, _fits={}, _presets={})


def make_ruleset(config: Config, found: Found, *, version: int, loaded_at: float) -> Ruleset:
    """Return the ruleset of a configuration. Takes some milliseconds for each hundred names.

    `found`: the models that providers list; ignored for a provider that is unusable or has discovery off.
    `loaded_at`: wall-clock seconds.
    """
    providers = config.directory.providers
    listed = {
        name: models
        for name, models in found.items()
        if name in providers and providers[name].discover and providers[name].unusable is None
    }
    return Ruleset(
        config=config,
        directory=config.directory.with_discovered(listed) if listed else config.directory,
        spending=Spending(config.budgets, config.calendar),
        looked_at=looked_at(config.rules),
        version=version,
        loaded_at=loaded_at,
        fingerprint=fingerprint(config),
        api_keys=config.server.api_keys,
        admin_keys=config.server.admin_keys,
        console_hosts=config.server.console_hosts,
        cors=config.server.cors,
        straight=spoken_by_all(providers.values()),
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """The providers of which a reload makes some knowledge wrong."""

    elsewhere: frozenset[str] = frozenset()
    """Providers with another address or kind, and removed ones: all knowledge of them is void."""
    rekeyed: frozenset[str] = frozenset()
    """The same servers with other credentials: knowledge of the account is void."""


def moved(before: Mapping[str, Provider], after: Mapping[str, Provider]) -> Moved:
    """Compare the providers of two configurations by name."""
    elsewhere, rekeyed = set(), set()
    for name, old in before.items():
        new = after.get(name)
        if new is None or not is_same_server(old, new):
            elsewhere.add(name)
        elif not is_same(old, new):
            rekeyed.add(name)
    return Moved(frozenset(elsewhere), frozenset(rekeyed))


def fingerprint(value: object) -> str:
    """Return a BLAKE2b digest of a value in hexadecimal: the same for equal values, in every process."""
    return _digest(value, {}).hex()


def _digest(value: object, known: dict[int, bytes]) -> bytes:
    """`known`: digests by identity. A provider is part of each of its upstreams, which are parts of many routes."""
    if isinstance(value, (str, bytes, int, float, type(None))) and type(value) in _PLAIN:
        return _hash(type(value).__name__, repr(value).encode())
    digest = known.get(id(value))
    if digest is None:
        digest = known[id(value)] = _hash(type(value).__qualname__, *_parts(value, known))
    return digest


_PLAIN = (str, bytes, int, float, bool, type(None))


def _parts(value: Any, known: dict[int, bytes]) -> Iterator[bytes]:
    if is_dataclass(value):
        for one in fields(value):
            yield one.name.encode()
            yield _digest(getattr(value, one.name), known)
    elif isinstance(value, dict):
        # The order counts: clients see the routes of one kind in this order.
        for key, inner in value.items():
            yield _digest(key, known)
            yield _digest(inner, known)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield _digest(inner, known)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(_digest(inner, known) for inner in value)
    elif callable(value):  # the source of curated abilities; its repr holds a memory address
        yield f"{value.__module__}.{value.__qualname__}".encode()
    else:  # an enumeration's member, a path, a pattern, a time zone
        yield repr(value).encode()


def _hash(kind: str, *parts: bytes) -> bytes:
    digest = blake2b(kind.encode(), digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of the last reading of the configuration, and counts of all results."""

    count: int = 0
    """Readings since the start."""
    error: str = ""
    """Why the old version stays in use, a line for each mistake; empty if the version in use matches the files."""
    waits: tuple[str, ...] = ()
    """The changes that need a restart, a sentence each."""
    results: Mapping[str, int] = field(default_factory=dict)
    """How many readings ended as `loaded`, `unchanged` or `failed`."""
