"""Turn what a configuration declares into a directory of routes, once, when it is loaded; and list every mistake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.core.abilities import Abilities, Said, unknown
from gateway.core.names import (
    AUTO_ORDERS,
    FALLBACK_OF,
    LAST,
    ROLE,
    Directory,
    nearest,
    quoted,
    route_of,
    split,
    unknown_role,
)
from gateway.kinds import OTHER, kind_of
from gateway.types import Candidate, Params, Provider, Rejected, Route, RouteKind, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.types import Ability, CachePolicy, Capability

# Nobody writes this by hand, and the recursion must end before Python's does.
LONGEST_CHAIN = 50
# Parameters that differ at each level of names double the candidates with each.
MOST_CANDIDATES = 500


@dataclass(frozen=True, slots=True)
class Alias:
    """A second name for one target."""

    target: str
    params: Params = field(default_factory=Params)
    said: Said = field(default_factory=Said)
    """What is known of the model it stands for; it counts under every name of that model."""
    cache: CachePolicy | None = None
    """None: as what it stands for, if that is a name of its own. A policy of 0 seconds keeps nothing."""
    patience_s: float | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True)
class Role:
    """A job, and the names of those who may do it, in the order of preference."""

    targets: tuple[str, ...]
    params: Params = field(default_factory=Params)
    vacancy: str = ""
    """Why nobody does it, for a role without targets."""
    weights: tuple[float, ...] = ()
    """The share of each target where the order is weighted; empty if all are equal."""
    order: tuple[str, ...] = ()
    needs: frozenset[Capability] = frozenset()
    max_price: int | None = None
    fails_over_on_policy: bool | None = None
    cache: CachePolicy | None = None
    """As of an alias."""
    patience_s: float | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """What a configuration says about names."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    provider_params: Mapping[str, Params] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_provider: str | None = None
    order: tuple[str, ...] = ("listed",)
    """For whatever does not say its own."""
    uses: tuple[tuple[tuple[str | int, ...], str], ...] = ()
    """The names that rules and budgets send calls to, and where each of them stands."""
    curated: Callable[[Provider, str], Ability] = unknown
    of_providers: Mapping[str, Said] = field(default_factory=dict)
    """Provider name -> what holds for all its models."""
    kinds: frozenset[str] = frozenset()
    """The names of all kinds of providers."""
    tolerates: Callable[[tuple[str | int, ...]], bool] = lambda _: False
    """Whether a target at this place may be unknown: it is then like one whose provider cannot be used."""


@dataclass(frozen=True, slots=True)
class Objection:
    """A mistake in what is declared, and where: `("roles", "rlm", 1)` is the second target of that role."""

    where: tuple[str | int, ...]
    message: str
    about_name: bool = False
    """The name itself is wrong, not what stands behind it."""
    tolerated: bool = False
    """The directory is complete all the same."""


def make_directory(declared: Declared) -> tuple[Directory, tuple[Objection, ...]]:
    """Resolve every name that is declared, and list every mistake; with mistakes the directory is incomplete."""
    expansion = _Expansion(declared)
    aliases = {name: expansion.of(name, ("models", name)) for name in declared.aliases}
    roles = {name: expansion.of(ROLE + name, ("roles", name)) for name in declared.roles}
    of_models = expansion.said_of_models(aliases)
    for name, targets in declared.fallback.items():
        if name not in declared.aliases:
            near = nearest(name, declared.aliases)
            if name.removeprefix(ROLE) in declared.roles:
                near = "; it is a role: write who steps in behind the others in its models"
            message = f"fallback is for an alias, and {quoted(name)} is none{near}"
            expansion.objections.append(Objection(("fallback", name), message, about_name=True))
        for i, target in enumerate(targets):
            # Only for the alias used by its own name: what other names expand to is settled by now.
            expansion.of(target, ("fallback", name, i))  # to object at the place where the target is written
        # Only for the alias used by its own name, and for roles that only rename it: all other expansions are settled.
        aliases[name] = (*aliases.get(name, ()), *expansion.fallback_of(name))
    for name, role in declared.roles.items():
        roles[name] = (*roles[name], *_with(ROLE + name, role.params, expansion.inherited_fallback(name)))
    used = [one for where, name in declared.uses if name not in AUTO_ORDERS for one in expansion.of(name, where)]

    named = [one for expanded in (*roles.values(), *aliases.values(), used) for one in expanded]
    listed = {one.upstream.id: one for provider in declared.providers.values() for one in expansion.models_of(provider)}
    for one in named:
        if one.upstream.id not in listed:
            listed[one.upstream.id] = expansion.candidate(one.upstream.provider, one.upstream.model)
    # What a role prefers, `auto` prefers too where nothing else decides.
    pool = {one.upstream.id: listed[one.upstream.id] for one in (*named, *listed.values())}

    # Roles cannot collide (their prefix is reserved); an alias hides a model of the same spelling.
    routes = {name: route_of(name, RouteKind.MODEL, [one], order=declared.order) for name, one in listed.items()}
    routes |= {name: expansion.route(name, RouteKind.ALIAS, found) for name, found in aliases.items()}
    for name, role in declared.roles.items():
        routes[ROLE + name] = _filled(expansion.route(ROLE + name, RouteKind.ROLE, roles[name]), role.vacancy)
    bare: dict[str, tuple[Upstream, ...]] = {}
    for one in listed.values():
        if not kind_of(one.upstream.provider).built_in:
            bare[one.upstream.model] = (*bare.get(one.upstream.model, ()), one.upstream)
    directory = Directory(
        routes=routes,
        providers=declared.providers,
        bare=bare,
        default_provider=declared.default_provider,
        params=declared.provider_params,
        order=declared.order,
        pool=tuple(pool.values()),
        abilities=Abilities(declared.curated, {}, declared.of_providers, of_models),
        kinds=declared.kinds,
    )
    return directory.renewed(), (*_misnamed(declared), *expansion.objections)


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
        # What is known of it is filled in when all that the configuration says is known.
        params = self.declared.provider_params.get(provider.name, Params())
        rank = LAST if kind_of(provider).built_in else 0
        return Candidate(Upstream(provider, provider.model_override or model), params, rank=rank)

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
        role = self._role(target)
        alias = self.declared.aliases.get(target)
        trail = (*trail, target)
        if role is not None:
            name = target.removeprefix(ROLE)
            steps = [
                _shared(self.of(one, ("roles", name, i), trail), role.weights[i] if role.weights else 1.0)
                for i, one in enumerate(role.targets)
            ]
            found = _with(target, role.params, [one for step in steps for one in step])
        elif alias is not None:
            found = _with(target, alias.params, self.of(alias.target, ("models", target), trail))
        else:
            return self._models(target, where)
        if len(found) > MOST_CANDIDATES:
            self.object(where, f"{quoted(target)} stands for more than {MOST_CANDIDATES} candidates")
            found = found[:MOST_CANDIDATES]
        self._done[target] = found
        return found

    def fallback_of(self, alias: str) -> Iterator[Candidate]:
        """Yield who steps in for an alias, each target after the one before it."""
        for i, target in enumerate(self.declared.fallback.get(alias, ())):
            for one in self.of(target, ("fallback", alias, i)):
                names = one.via or (target,)
                yield replace(one, rank=max(one.rank, i + 1), via=(f"{FALLBACK_OF}{alias}", *names))

    def inherited_fallback(self, role: str) -> Iterable[Candidate]:
        """Return who steps in for the alias that a role only renames, be it through other names; mostly nobody."""
        name, alias = ROLE + role, None
        for _ in range(LONGEST_CHAIN):
            if (found := self._role(name)) is not None and len(found.targets) == 1:
                name = found.targets[0]
            elif found is None and (alias := self.declared.aliases.get(name)) is not None:
                if self.declared.fallback.get(name):
                    return self.fallback_of(name)
                name = alias.target
            else:
                break
        return ()

    def route(self, name: str, kind: RouteKind, found: Iterable[Candidate]) -> Route:
        """Return the route of a role or alias, chosen from as it says, or as what it merely renames says."""
        order: tuple[str, ...] = ()
        needs: frozenset[Capability] = frozenset()
        max_price: int | None = None
        on_policy: bool | None = None
        for role in self._renamed(name):
            order = order or role.order
            needs |= role.needs
            max_price = role.max_price if max_price is None else max_price
            on_policy = role.fails_over_on_policy if on_policy is None else on_policy
        cache = next((one.cache for one in self._behind(name) if one.cache is not None), None)
        patience_s = next((one.patience_s for one in self._behind(name) if one.patience_s is not None), 0.0)
        return replace(
            route_of(name, kind, found, order=order or self.declared.order),
            needs=needs,
            max_price=max_price,
            fails_over_on_policy=bool(on_policy),
            patience_s=patience_s,
            cache=cache if cache is not None and cache.ttl_s else None,
        )

    def _renamed(self, name: str) -> Iterable[Role]:
        """Yield the role of this name and, while there is a single target, the roles behind it."""
        return (one for one in self._behind(name) if isinstance(one, Role))

    def _behind(self, name: str) -> Iterable[Role | Alias]:
        """Yield the role or alias of this name and, while there is a single target, those that it renames."""
        for _ in range(LONGEST_CHAIN):  # names in a circle are objected to elsewhere
            if (role := self._role(name)) is not None:
                yield role
                if len(role.targets) != 1:
                    return
                name = role.targets[0]
            elif (alias := self.declared.aliases.get(name)) is not None:
                yield alias
                name = alias.target
            else:
                return

    def _role(self, name: str) -> Role | None:
        return self.declared.roles.get(name.removeprefix(ROLE)) if name.startswith(ROLE) else None

    def said_of_models(self, aliases: Mapping[str, tuple[Candidate, ...]]) -> dict[str, Said]:
        """Return what aliases say of the models they stand for, by upstream id."""
        result: dict[str, Said] = {}
        by: dict[str, str] = {}
        for name, alias in self.declared.aliases.items():
            if not alias.said:
                continue
            if any(True for _ in self._renamed(name)):
                self.object(("models", name), f"{quoted(name)} stands for a role; say this of a model")
                continue
            for candidate in aliases[name]:
                upstream = candidate.upstream.id
                earlier = result.get(upstream, Said())
                if difference := alias.said.contradiction(earlier):
                    message = f"says of {upstream} another thing than {quoted(by[upstream])} does: {difference}"
                    self.object(("models", name), message)
                result[upstream] = earlier.with_more(alias.said)
                by[upstream] = name
        return result

    def _models(self, target: str, where: _Where) -> tuple[Candidate, ...]:
        if target.startswith(ROLE):
            return self._nobody(target, where, unknown_role(target, (ROLE + name for name in self.declared.roles)))
        providers = self.declared.providers
        if (pair := split(target, providers)) is not None:
            return (self.candidate(*pair),)
        found = tuple(
            one for provider in providers.values() for one in self.models_of(provider) if one.upstream.model == target
        )
        return found or self._nobody(target, where, self._unknown(target))

    def _nobody(self, target: str, where: _Where, why: str) -> tuple[Candidate, ...]:
        """Object to a target; where it is tolerated, return one that cannot be used, and says why."""
        tolerated = where[0] in ("models", "roles", "fallback") and self.declared.tolerates(where)
        self.objections.append(Objection(where, why, tolerated=tolerated))
        if not tolerated:
            return ()
        name, slash, model = target.partition("/")
        stand_in = Provider(name if slash else "(nobody)", OTHER, "", unusable=why)
        return (Candidate(Upstream(stand_in, model or target)),)

    def _unknown(self, target: str) -> str:
        """Say what is wrong with a target. The default provider does not make it right: in a file it is a slip."""
        if target in AUTO_ORDERS:
            return f"{quoted(target)} is for requests and rules; name models here"
        if target in self.declared.roles:
            return f'{quoted(target)} is a role; write "{ROLE}{target}"'
        first, slash, _ = target.partition("/")
        if slash and first not in self.declared.providers:
            near = nearest(first, self.declared.providers)
            if not near and first in self.declared.kinds:
                near = f'; write "{first}:" below providers'
            return f"unknown model {quoted(target)}: no provider {quoted(first)} is configured{near}"
        roles = (ROLE + name for name in self.declared.roles)
        known = (*self.declared.aliases, *roles, *(m for one in self.declared.providers.values() for m in one.models))
        return f"unknown model or alias {quoted(target)}{nearest(target, known)}"


def _with(name: str, params: Params, found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    # Duplicates go at every level: roles that name each other twice would double the list with each.
    once: dict[tuple[object, ...], Candidate] = {}
    for one in found:
        once.setdefault(one.identity, one)
    return tuple(replace(one, params=merged(one.params, params), via=(name, *one.via)) for one in once.values())


def _shared(found: tuple[Candidate, ...], weight: float) -> Iterable[Candidate]:
    """Divide the share of a name among those it stands for."""
    total = sum(one.weight for one in found)
    return (replace(one, weight=weight * one.weight / total if total else 0.0) for one in found)


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
        if not name or name.startswith(ROLE):
            message = f'{quoted(name)} cannot name an alias: "role:" is for roles'
            yield Objection(("models", name), message, about_name=True)
    for name in declared.roles:
        if not name or name.startswith(ROLE):
            message = f'{quoted(name)} cannot name a role: write it without "role:"'
            yield Objection(("roles", name), message, about_name=True)
    default = declared.default_provider
    if default is not None and default not in declared.providers:
        near = nearest(default, declared.providers)
        yield Objection(("defaults", "provider"), f"no provider {quoted(default)} is configured{near}")
