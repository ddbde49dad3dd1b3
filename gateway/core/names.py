"""Decide which upstreams a name stands for: a role, an alias, `provider/model`, or a bare model id.

Two halves. `make_directory` runs when the configuration is loaded and computes every route that can be known then;
`resolve` runs for every call and, for a known name, is one dictionary lookup.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gateway.errors import ModelNotFound
from gateway.types import Candidate, Params, Rejected, Route, RouteKind, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.types import Provider

ROLE = "role:"

# difflib is quadratic in the length of a name and linear in their number, and a name is a stranger's input.
LONGEST_GUESSED = 100
MOST_COMPARED = 2000


@dataclass(frozen=True, slots=True)
class Directory:
    """Every name the gateway knows, resolved; and what it takes to resolve the ones it does not know yet."""

    routes: Mapping[str, Route]
    """`role:NAME`, alias `NAME` and configured `provider/model`."""
    providers: Mapping[str, Provider]
    bare: Mapping[str, tuple[Upstream, ...]]
    """A model id without its provider -> who lists it, configured before discovered."""
    default_provider: str | None = None
    """Takes the bare ids that nobody lists."""
    params: Mapping[str, Params] = field(default_factory=dict)
    """Provider name -> the parameters its models inherit (global, then provider)."""

    def with_discovered(self, found: Mapping[str, tuple[str, ...]]) -> Directory:
        """Return a directory that also knows the models which providers were found to list.

        What an earlier discovery said about the providers in `found` is forgotten; what is configured stays
        and stays first. Unknown providers, and those that serve one model under any name, are passed over.
        """
        bare = {
            model: kept
            for model, listed in self.bare.items()
            if (kept := tuple(one for one in listed if one.id in self.routes or one.provider.name not in found))
        }
        for name, models in found.items():
            provider = self.providers.get(name)
            if provider is None or provider.model_override:
                continue
            for model in models:
                upstream = Upstream(provider, model)
                if upstream not in bare.get(model, ()):
                    bare[model] = (*bare.get(model, ()), upstream)
        return replace(self, bare=bare)


def resolve(name: str, directory: Directory) -> Route:
    """Return the route of a `model` string.

    Raises:
        ModelNotFound: nothing is known under this name, or its provider is unusable. The message says why and
            names the nearest names. A *configured* name whose upstreams are all unusable is not an error here:
            its route has no candidates.
    """
    # The order of names is already in this lookup: roles have their prefix, and `make_directory` lets an alias hide
    # a `provider/model` of the same spelling.
    if route := directory.routes.get(name):
        return route
    if name.startswith(ROLE):
        raise ModelNotFound(_unknown_role(name, directory.routes), param="model")
    if (pair := split(name, directory.providers)) is not None:
        provider, model = pair
        upstream = _upstream(provider, model)
        if (known := directory.routes.get(upstream.id)) and known.kind is RouteKind.MODEL:
            return known
        if provider.unusable:
            raise ModelNotFound(why_unusable(provider), param="model")
        return _route(name, (upstream,), directory)
    # `auto` and `auto:*` belong here.
    if listed := directory.bare.get(name):
        return _route(name, listed, directory)
    default = directory.providers.get(directory.default_provider or "")
    if default is not None and not default.unusable and name:
        return _route(name, (_upstream(default, name),), directory)
    message = f"unknown model {quoted(name)}{nearest(name, (*directory.routes, *directory.bare))}"
    raise ModelNotFound(f"{message}; {why_unusable(default)}" if default else message, param="model")


def split(name: str, providers: Mapping[str, Provider]) -> tuple[Provider, str] | None:
    """Read `provider/model` or `provider:model`; None if it starts with no provider that is configured.

    Model ids contain both separators (`google/gemma-3:free`, `gemma3:4b`), so only a known first segment counts.
    """
    for separator in "/:":
        first, found, rest = name.partition(separator)
        if found and rest and first in providers:
            return providers[first], rest
    return None


def why_unusable(provider: Provider) -> str:
    """Say in a sentence why a provider is not a candidate."""
    reason = provider.unusable or "usable"
    return f'provider "{provider.name}" {"has" if reason.startswith("no ") else "is"} {reason}'


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the nearest known name, or nothing if none is near."""
    if len(name) > LONGEST_GUESSED:
        return ""
    spelled: dict[str, str] = {}
    for one in known:
        spelled.setdefault(one.lower(), one)
        # `main` for `role:main`, `gpt-5` for `openai/gpt-5x`: a forgotten prefix is the commonest slip.
        if one.startswith(ROLE):
            spelled.setdefault(one[len(ROLE) :].lower(), one)
        if len(spelled) >= MOST_COMPARED:
            break
    close = get_close_matches(name.lower(), spelled, n=1, cutoff=0.7)
    return f'; did you mean "{spelled[close[0]]}"?' if close else ""


def quoted(name: str) -> str:
    """Quote a stranger's string for a message: shortened, and without what could forge a line in a log."""
    shown = name if len(name) <= LONGEST_GUESSED else name[:LONGEST_GUESSED] + "…"
    return '"' + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown) + '"'


def _unknown_role(name: str, known: Iterable[str]) -> str:
    roles = [one for one in known if one.startswith(ROLE)]
    near = nearest(name[len(ROLE) :], roles) or (
        f"; there are {', '.join(roles[:10])}" if roles else "; none is configured"
    )
    return f"unknown role {quoted(name[len(ROLE) :])}{near}"


def _upstream(provider: Provider, model: str) -> Upstream:
    return Upstream(provider, provider.model_override or model)


def _route(name: str, upstreams: tuple[Upstream, ...], directory: Directory) -> Route:
    candidates = (Candidate(one, directory.params.get(one.provider.name, Params())) for one in upstreams)
    configured = name in directory.bare and any(one.id in directory.routes for one in upstreams)
    return route_of(name, RouteKind.MODEL, candidates, configured=configured)


def route_of(name: str, kind: RouteKind, listed: Iterable[Candidate], *, configured: bool = True) -> Route:
    """Separate the candidates that can be used from those that cannot; keep the first of each upstream."""
    usable: dict[str, Candidate] = {}
    rejected: dict[str, Rejected] = {}
    for one in listed:
        upstream_id = one.upstream.id
        if reason := one.upstream.provider.unusable:
            rejected.setdefault(upstream_id, Rejected(upstream_id, reason))
        else:
            usable.setdefault(upstream_id, one)
    return Route(name, kind, tuple(usable.values()), tuple(rejected.values()), configured=configured)


# Load time: from what the configuration declares to the directory.

# The kind of provider that only answers how to add a real one. It must never be met by accident: no bare names.
BUILT_IN = "demo"

# Nobody writes this by hand, and the recursion must end before Python's does.
LONGEST_CHAIN = 50


@dataclass(frozen=True, slots=True)
class Alias:
    """A second name for one target."""

    target: str
    params: Params = field(default_factory=Params)


@dataclass(frozen=True, slots=True)
class Role:
    """A job, and the names of those who may do it, in the order of preference."""

    targets: tuple[str, ...]
    params: Params = field(default_factory=Params)
    vacancy: str = ""
    """Why nobody does it, for a role without targets."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a configuration says about names."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    provider_params: Mapping[str, Params] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_provider: str | None = None


@dataclass(frozen=True, slots=True)
class Objection:
    """A mistake in what is declared, and where: `("roles", "rlm", 1)` is the second target of that role."""

    where: tuple[str | int, ...]
    message: str
    about_name: bool = False
    """The name itself is wrong, not what stands behind it."""


def make_directory(declared: Declared) -> tuple[Directory, tuple[Objection, ...]]:
    """Resolve every name that is declared, and list every mistake; with mistakes the directory is incomplete."""
    expansion = _Expansion(declared)
    aliases = {name: expansion.of(name, ("models", name)) for name in declared.aliases}
    roles = {name: expansion.of(ROLE + name, ("roles", name)) for name in declared.roles}
    for name, targets in declared.fallback.items():
        if name not in declared.aliases:
            near = nearest(name, declared.aliases)
            message = f"fallback is for an alias, and {quoted(name)} is none{near}"
            expansion.objections.append(Objection(("fallback", name), message, about_name=True))
        for i, target in enumerate(targets):
            # Only for the alias used by its own name: what other names expand to is settled by now.
            aliases[name] = aliases.get(name, ()) + expansion.of(target, ("fallback", name, i))

    listed = {one.upstream.id: one for provider in declared.providers.values() for one in expansion.models_of(provider)}
    for one in (one for expanded in (*aliases.values(), *roles.values()) for one in expanded):
        if one.upstream.id not in listed:
            listed[one.upstream.id] = expansion.candidate(one.upstream.provider, one.upstream.model)

    # Roles cannot collide (their prefix is reserved); an alias hides a model of the same spelling.
    routes = {name: route_of(name, RouteKind.MODEL, [one]) for name, one in listed.items()}
    routes |= {name: route_of(name, RouteKind.ALIAS, found) for name, found in aliases.items()}
    for name, role in declared.roles.items():
        routes[ROLE + name] = _filled(route_of(ROLE + name, RouteKind.ROLE, roles[name]), role.vacancy)
    bare: dict[str, tuple[Upstream, ...]] = {}
    for one in listed.values():
        if one.upstream.provider.kind != BUILT_IN:
            bare[one.upstream.model] = (*bare.get(one.upstream.model, ()), one.upstream)
    objections = (*_misnamed(declared), *expansion.objections)
    return Directory(routes, declared.providers, bare, declared.default_provider, declared.provider_params), objections


def merged(outer: Params, inner: Params) -> Params:
    """Return parameters where the inner level (nearer to the request) wins, key by key.

    A `null` takes an inherited value away. A forced value stays forced, whatever an inner level suggests:
    only an inner *forced* value replaces it.
    """
    if not inner:
        return outer
    defaults, forced = {**outer.defaults, **inner.defaults}, {**outer.forced, **inner.forced}
    return Params(
        {key: value for key, value in defaults.items() if value != b"null"},
        {key: value for key, value in forced.items() if value != b"null"},
    )


_Where = tuple["str | int", ...]


class _Expansion:
    """Follow names to upstreams, each name once, collecting objections on the way."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.objections: list[Objection] = []
        self._done: dict[str, tuple[Candidate, ...]] = {}

    def object(self, where: _Where, message: str) -> None:
        self.objections.append(Objection(where, message))

    def candidate(self, provider: Provider, model: str) -> Candidate:
        return Candidate(_upstream(provider, model), self.declared.provider_params.get(provider.name, Params()))

    def models_of(self, provider: Provider) -> Iterable[Candidate]:
        return (self.candidate(provider, model) for model in provider.models)

    def of(self, target: str, where: _Where, trail: tuple[str, ...] = ()) -> tuple[Candidate, ...]:
        """Return the candidates behind a target. `trail` holds the names that led here."""
        if target in self._done:
            return self._done[target]
        if target in trail:
            self.object(where, f"names in a circle: {' -> '.join((*trail[trail.index(target) :], target))}")
            return ()
        if len(trail) >= LONGEST_CHAIN:
            self.object(where, f"more than {LONGEST_CHAIN} names in a row: {' -> '.join(trail[:3])} -> …")
            return ()
        role = self.declared.roles.get(target.removeprefix(ROLE)) if target.startswith(ROLE) else None
        alias = self.declared.aliases.get(target)
        trail = (*trail, target)
        if role is not None:
            name = target.removeprefix(ROLE)
            steps = [self.of(one, ("roles", name, i), trail) for i, one in enumerate(role.targets)]
            found = _with(role.params, [one for step in steps for one in step])
        elif alias is not None:
            found = _with(alias.params, self.of(alias.target, ("models", target), trail))
        else:
            return self._models(target, where)
        self._done[target] = found
        return found

    def _models(self, target: str, where: _Where) -> tuple[Candidate, ...]:
        if target.startswith(ROLE):
            self.object(where, _unknown_role(target, (ROLE + name for name in self.declared.roles)))
            return ()
        providers = self.declared.providers
        if (pair := split(target, providers)) is not None:
            return (self.candidate(*pair),)
        found = tuple(
            one for provider in providers.values() for one in self.models_of(provider) if one.upstream.model == target
        )
        if not found:
            self.object(where, self._unknown(target))
        return found

    def _unknown(self, target: str) -> str:
        """Say what is wrong with a target. The default provider does not make it right: in a file it is a slip."""
        if target in self.declared.roles:
            return f'{quoted(target)} is a role; write "{ROLE}{target}"'
        first, slash, _ = target.partition("/")
        if slash and first not in self.declared.providers:
            near = nearest(first, self.declared.providers)
            return f"unknown model {quoted(target)}: no provider {quoted(first)} is configured{near}"
        known = (*self.declared.aliases, *(m for one in self.declared.providers.values() for m in one.models))
        return f"unknown model or alias {quoted(target)}{nearest(target, known)}"


def _with(params: Params, found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    # Duplicates go at every level: roles that name each other twice would double the list with each.
    once: dict[str, Candidate] = {}
    for one in found:
        once.setdefault(one.upstream.id, one)
    return tuple(replace(one, params=merged(one.params, params)) for one in once.values())


def _filled(route: Route, vacancy: str) -> Route:
    if route.candidates or route.rejected or not vacancy:
        return route
    return replace(route, rejected=(Rejected("(nobody)", vacancy),))


def _misnamed(declared: Declared) -> Iterable[Objection]:
    """Object to names that could never be asked for, or would hide something."""
    for name in declared.providers:
        if not name or name in ("role", "auto") or set("/: ") & set(name):
            message = f'{quoted(name)} cannot name a provider: no "/", ":" or space, and not "role" or "auto"'
            yield Objection(("providers", name), message, about_name=True)
    for name in declared.aliases:
        if not name or name == "auto" or name.startswith((ROLE, "auto:")):
            message = f'{quoted(name)} cannot name an alias: "role:" and "auto" are reserved'
            yield Objection(("models", name), message, about_name=True)
    for name in declared.roles:
        if not name or name.startswith(ROLE):
            message = f'{quoted(name)} cannot name a role: write it without "role:"'
            yield Objection(("roles", name), message, about_name=True)
    default = declared.default_provider
    if default is not None and default not in declared.providers:
        near = nearest(default, declared.providers)
        yield Objection(("defaults", "provider"), f"no provider {quoted(default)} is configured{near}")
