"""Turn a configuration's declarations into a directory of routes at load time, and list every mistake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.core.abilities import Abilities, Said, unknown
from gateway.core.arms import make_experiments, targets_of
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
from gateway.core.params import merged
from gateway.kinds import OTHER, kind_of
from gateway.types import Bridging, Candidate, Params, Provider, Rejected, Route, RouteKind, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.core.arms import DeclaredExperiment
    from gateway.core.default_route import DefaultRoute
    from gateway.types import Ability, CachePolicy, Capability

# Far more than people write by hand, and below Python's recursion limit.
LONGEST_CHAIN = 50
# Names whose parameters differ at each level double the candidates at each level.
MOST_CANDIDATES = 500


@dataclass(frozen=True, slots=True)
class Alias:
    """A second name for one target."""

    target: str
    params: Params = field(default_factory=Params)
    said: Said = field(default_factory=Said)
    """Facts about the model behind the alias; they count under every name of that model."""
    cache: CachePolicy | None = None
    """None: inherited from the target if that is a name too. A policy of 0 seconds keeps nothing."""
    patience_s: float | None = None
    """None: inherited likewise."""
    system_prefix: str | None = None
    """None: inherited likewise. Empty: none."""


@dataclass(frozen=True, slots=True)
class Role:
    """A job, and the names of the models that may do it, in order of preference."""

    targets: tuple[str, ...]
    params: Params = field(default_factory=Params)
    vacancy: str = ""
    """Why a role without targets has none."""
    weights: tuple[float, ...] = ()
    """The share of each target where the order is `weighted`; empty: equal shares."""
    order: tuple[str, ...] = ()
    needs: frozenset[Capability] = frozenset()
    max_price: int | None = None
    fails_over_on_policy: bool | None = None
    cache: CachePolicy | None = None
    """As in `Alias`."""
    patience_s: float | None = None
    bridging: Bridging | None = None
    is_lossless: bool | None = None
    system_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """The names that a configuration declares, and what they stand for."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    provider_params: Mapping[str, Params] = field(default_factory=dict)
    presets: Mapping[str, Params] = field(default_factory=dict)
    """The parameters that requests may choose by name."""
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_provider: str | None = None
    default_route: DefaultRoute | None = None
    """Its target is one of `uses` too, so that a mistake in it is named with its place."""
    order: tuple[str, ...] = ("listed",)
    """For names without an order of their own."""
    uses: tuple[tuple[tuple[str | int, ...], str], ...] = ()
    """The names that rules and budgets send calls to, each with its place in the file."""
    curated: Callable[[Provider, str], Ability] = unknown
    of_providers: Mapping[str, Said] = field(default_factory=dict)
    """Provider name -> facts about all its models."""
    kinds: frozenset[str] = frozenset()
    """The names of all kinds of providers."""
    experiments: Mapping[str, DeclaredExperiment] = field(default_factory=dict)
    tolerates: Callable[[tuple[str | int, ...]], bool] = lambda _: False
    """Tells whether the target at a place may be unknown: it then counts as one with an unusable provider."""


@dataclass(frozen=True, slots=True)
class Objection:
    """A mistake in the declarations, and its place: `("roles", "rlm", 1)` is the second target of that role."""

    where: tuple[str | int, ...]
    message: str
    about_name: bool = False
    """The mistake is in the name itself, not in what it stands for."""
    tolerated: bool = False
    """The directory is complete despite the mistake."""


def make_directory(declared: Declared) -> tuple[Directory, tuple[Objection, ...]]:
    """Resolve every declared name, and list every mistake. With mistakes the directory is incomplete."""
    expansion = _Expansion(declared)
    aliases = {name: expansion.of(name, ("models", name)) for name in declared.aliases}
    roles = {name: expansion.of(ROLE + name, ("roles", name)) for name in declared.roles}
    of_models = expansion.said_of_models(aliases)
    for name, targets in declared.fallback.items():
        if name not in declared.aliases:
            near = nearest(name, declared.aliases)
            if name.removeprefix(ROLE) in declared.roles:
                near = "; it is a role: add the fallback at the end of its models"
            message = f"fallback is for an alias, and {quoted(name)} is not one{near}"
            expansion.objections.append(Objection(("fallback", name), message, about_name=True))
        for i, target in enumerate(targets):
            expansion.of(target, ("fallback", name, i))  # for its objections, at the place of the target
        # A fallback steps in for the alias under its own name, and below for roles that only rename it. It does not
        # step in where the alias is one target of several: those expansions are done by now.
        aliases[name] = (*aliases.get(name, ()), *expansion.fallback_of(name))
    for name, role in declared.roles.items():
        roles[name] = (*roles[name], *_with(ROLE + name, role.params, expansion.inherited_fallback(name)))
    used = [one for where, name in declared.uses if name not in AUTO_ORDERS for one in expansion.of(name, where)]

    tried = {where: expansion.of(name, where) for where, name in targets_of(declared.experiments)}

    named = [one for expanded in (*roles.values(), *aliases.values(), used, *tried.values()) for one in expanded]
    listed = {one.upstream.id: one for provider in declared.providers.values() for one in expansion.models_of(provider)}
    for one in named:
        if one.upstream.id not in listed:
            listed[one.upstream.id] = expansion.candidate(one.upstream.provider, one.upstream.model)
    # Named models come first: `auto` prefers them too where nothing else decides.
    pool = {one.upstream.id: listed[one.upstream.id] for one in (*named, *listed.values())}

    # Roles cannot collide with other names (their prefix is reserved). An alias hides a model of the same name.
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
        default_route=declared.default_route,
        params=declared.provider_params,
        presets=declared.presets,
        order=declared.order,
        pool=tuple(pool.values()),
        abilities=Abilities(declared.curated, {}, declared.of_providers, of_models),
        kinds=declared.kinds,
        experiments=make_experiments(declared.experiments, routes, tried, expansion.object),
    )
    return directory.renewed(), (*_misnamed(declared), *expansion.objections)


_Where = tuple["str | int", ...]


class _Expansion:
    """Follow names to their upstreams, each name once, and collect objections on the way."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.objections: list[Objection] = []
        self._done: dict[str, tuple[Candidate, ...]] = {}

    def object(self, where: _Where, message: str) -> None:
        self.objections.append(Objection(where, message))

    def candidate(self, provider: Provider, model: str) -> Candidate:
        # `Directory.renewed` fills in the ability once the whole configuration has been read.
        params = self.declared.provider_params.get(provider.name, Params())
        rank = LAST if kind_of(provider).built_in else 0
        return Candidate(Upstream(provider, provider.model_override or model), params, rank=rank)

    def models_of(self, provider: Provider) -> Iterable[Candidate]:
        return (self.candidate(provider, model) for model in provider.models)

    def of(self, target: str, where: _Where, trail: tuple[str, ...] = ()) -> tuple[Candidate, ...]:
        """Return the candidates behind a target. `trail`: the names that led here."""
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
        """Yield the fallback candidates of an alias; each target ranks behind the one before it."""
        for i, target in enumerate(self.declared.fallback.get(alias, ())):
            for one in self.of(target, ("fallback", alias, i)):
                names = one.via or (target,)
                yield replace(one, rank=max(one.rank, i + 1), via=(f"{FALLBACK_OF}{alias}", *names))

    def inherited_fallback(self, role: str) -> Iterable[Candidate]:
        """Return the fallback of the alias that a role only renames, directly or through other names; mostly empty."""
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
        """Return the route of a role or alias. Settings that it lacks come from the names that it merely renames."""
        order: tuple[str, ...] = ()
        needs: frozenset[Capability] = frozenset()
        max_price: int | None = None
        on_policy: bool | None = None
        bridging: Bridging | None = None
        is_lossless: bool | None = None
        for role in self._renamed(name):
            order = order or role.order
            needs |= role.needs
            max_price = role.max_price if max_price is None else max_price
            on_policy = role.fails_over_on_policy if on_policy is None else on_policy
            bridging = bridging or role.bridging
            is_lossless = role.is_lossless if is_lossless is None else is_lossless
        cache = next((one.cache for one in self._behind(name) if one.cache is not None), None)
        patience_s = next((one.patience_s for one in self._behind(name) if one.patience_s is not None), 0.0)
        prefix = next((one.system_prefix for one in self._behind(name) if one.system_prefix is not None), "")
        return replace(
            route_of(name, kind, found, order=order or self.declared.order),
            needs=needs,
            max_price=max_price,
            fails_over_on_policy=bool(on_policy),
            patience_s=patience_s,
            bridging=bridging or Bridging.LAST,
            is_lossless=bool(is_lossless),
            system_prefix=prefix,
            cache=cache if cache is not None and cache.ttl_s else None,
        )

    def _renamed(self, name: str) -> Iterable[Role]:
        """Yield the role of this name and, while there is a single target, the roles behind it."""
        return (one for one in self._behind(name) if isinstance(one, Role))

    def _behind(self, name: str) -> Iterable[Role | Alias]:
        """Yield the role or alias of this name and, while there is a single target, the ones that it renames."""
        for _ in range(LONGEST_CHAIN):  # `of` objects to names in a circle
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
        """Return the facts that aliases state about their models, by upstream id."""
        result: dict[str, Said] = {}
        by: dict[str, str] = {}
        for name, alias in self.declared.aliases.items():
            if not alias.said:
                continue
            if any(True for _ in self._renamed(name)):
                self.object(("models", name), f"{quoted(name)} stands for a role; say this about a model")
                continue
            for candidate in aliases[name]:
                upstream = candidate.upstream.id
                earlier = result.get(upstream, Said())
                if difference := alias.said.contradiction(earlier):
                    message = f"contradicts {quoted(by[upstream])} about {upstream}: {difference}"
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
        """Object to a target. Where an unknown one is tolerated, return an unusable candidate that says why."""
        tolerated = where[0] in ("models", "roles", "fallback") and self.declared.tolerates(where)
        self.objections.append(Objection(where, why, tolerated=tolerated))
        if not tolerated:
            return ()
        name, slash, model = target.partition("/")
        stand_in = Provider(name if slash else "(nobody)", OTHER, "", unusable=why)
        return (Candidate(Upstream(stand_in, model or target)),)

    def _unknown(self, target: str) -> str:
        """Say what is wrong with a target. The default provider does not help: an unknown name in a file is a slip."""
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
    # Duplicates are dropped at every level: otherwise roles that list others twice would double the list each time.
    once: dict[tuple[object, ...], Candidate] = {}
    for one in found:
        once.setdefault(one.identity, one)
    return tuple(replace(one, params=merged(one.params, params), via=(name, *one.via)) for one in once.values())


def _shared(found: tuple[Candidate, ...], weight: float) -> Iterable[Candidate]:
    """Divide the share of a name among its candidates."""
    total = sum(one.weight for one in found)
    return (replace(one, weight=weight * one.weight / total if total else 0.0) for one in found)


def _filled(route: Route, vacancy: str) -> Route:
    if route.candidates or route.rejected or not vacancy:
        return route
    return replace(route, rejected=(Rejected("(nobody)", vacancy),))


def _misnamed(declared: Declared) -> Iterable[Objection]:
    """Object to names that no request could use, or that would hide another name."""
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
