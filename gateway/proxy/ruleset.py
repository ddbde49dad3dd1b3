"""One version of everything that follows from the configuration. A call takes one when it begins, and keeps it.

Rule: a ruleset is never changed, only replaced. Its memos hold what it says anyway, worked out once. Connections,
facts, quotas, the ledger and kept answers outlive rulesets, and are kept elsewhere under names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from gateway.core import names
from gateway.core.rules import looked_at
from gateway.core.spend import Spending
from gateway.proxy.headers import safe
from gateway.stores.memory import is_same, is_same_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config import Config
    from gateway.core.cors import Cors
    from gateway.core.names import Directory
    from gateway.types import Ability, Endpoint, Provider, Route, Upstream
    from gateway.upstream.client import Client, Target

    Found = Mapping[str, Mapping[str, Ability]]
    """Provider name -> model -> what the provider's own list says of it."""

# Names are the client's to choose, so what is remembered by name is bounded.
MOST_REMEMBERED = 4096
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Ruleset:
    """Who may call, what names mean, where calls go, and what they may cost."""

    config: Config
    directory: Directory
    """The configured names, and the models that providers were found to list."""
    spending: Spending
    looked_at: frozenset[str]
    """Which features of a request some rule looks at."""
    version: int
    """1 for the configuration of the start; each reload that changes something counts one up."""
    loaded_at: float
    """Wall-clock seconds."""
    fingerprint: str
    """Of the effective configuration, secrets included; equal configurations have equal ones in every process."""
    api_keys: frozenset[bytes] = field(repr=False)
    """SHA-256 digests of `server.api_keys`."""
    cors: Cors | None
    routes: dict[str, Route] = field(default_factory=dict)
    """Memo of `resolve`."""
    _lines: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _targets: dict[tuple[str, str], Target] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Ruleset {self.version} ({self.fingerprint[:8]}) of {self.config.source}>"

    def resolve(self, model: str) -> Route:
        """Return what `model` means.

        Raises:
            ModelNotFound: nothing is known under it.
        """
        route = self.routes.get(model)
        if route is None:
            route = names.resolve(model, self.directory)
            if len(self.routes) >= MOST_REMEMBERED:
                self.routes.clear()
            self.routes[model] = route
        return route

    def lines(self, route: Route, upstream: Upstream) -> bytes:
        """Return the header lines that say where an answer came from."""
        key = (route.name, upstream.id)
        lines = self._lines.get(key)
        if lines is None:
            lines = b"x-gateway-route: %b\r\nx-gateway-provider: %b\r\nx-gateway-model: %b\r\n" % (
                safe(route.name),
                safe(upstream.provider.name),
                safe(upstream.model),
            )
            if len(self._lines) >= MOST_REMEMBERED:
                self._lines.clear()
            self._lines[key] = lines
        return lines

    def target(self, client: Client, provider: Provider, endpoint: Endpoint) -> Target:
        """Return where calls of `endpoint` go for a provider of this ruleset. `client` has the connections."""
        # A pair of provider and endpoint each: the configuration bounds them. Hashing a provider hashes all it holds.
        key = (provider.name, endpoint.path)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = client.target(provider, endpoint)
        return target

    def with_found(self, found: Found) -> Ruleset:
        """Return the same version with what some providers were found to list. Providers it has not are passed over."""
        directory = self.directory.with_discovered(found)
        return replace(self, directory=directory, routes={}, _lines={})


def make_ruleset(config: Config, found: Found, *, version: int, loaded_at: float) -> Ruleset:
    """Return the ruleset of a configuration. Takes some milliseconds for each hundred names.

    `found`: what providers are known to list; it counts for those that may be used and asked. `loaded_at`: wall-clock
    seconds.
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
        cors=config.server.cors,
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """The providers of which less is true than before a reload."""

    elsewhere: frozenset[str] = frozenset()
    """Another address or kind, or gone: nothing that is known of it holds."""
    rekeyed: frozenset[str] = frozenset()
    """The same servers with other credentials: what is known of the account does not hold."""


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
        # In order: the first route of a kind is what clients are shown first.
        for key, inner in value.items():
            yield _digest(key, known)
            yield _digest(inner, known)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield _digest(inner, known)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(_digest(inner, known) for inner in value)
    elif callable(value):  # where curated abilities come from; its repr holds an address
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
    """How the configuration was read last, and how often it came to what."""

    count: int = 0
    """0: not since the start."""
    error: str = ""
    """Why the version in use was kept, a line for each mistake; empty if it is what the files say."""
    waits: tuple[str, ...] = ()
    """What takes effect after a restart, a sentence each."""
    results: Mapping[str, int] = field(default_factory=dict)
    """How many readings ended as `loaded`, `unchanged` or `failed`."""
