"""Decide which upstreams a name stands for: a role, an alias, `provider/model`, `auto`, or a bare model id.

`core.declared` computes all routes that the configuration determines. `resolve` runs for every call; for a known name
it is one dictionary lookup.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gateway.core import slips
from gateway.core.abilities import Abilities
from gateway.core.default_route import BUILT_IN, remedy
from gateway.errors import BadRequest, ModelNotFound
from gateway.kinds import kind_of
from gateway.types import Ability, Candidate, Capability, Params, Rejected, Route, RouteKind, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from gateway.core.default_route import DefaultRoute
    from gateway.types import Experiment, Provider

ROLE = "role:"
FALLBACK_OF = "fallback of "
"""Prefix of the first name in `Candidate.via` of a fallback."""

AUTO = "auto"
AUTO_HARD = "auto:hard"
AUTO_ORDERS: Mapping[str, tuple[str, ...]] = {
    AUTO: ("free", "local", "healthiest", "fastest", "cheapest"),
    AUTO_HARD: ("strongest", "healthiest", "cheapest"),
    "auto:cheap": ("cheapest", "healthiest"),
    "auto:fast": ("fastest", "healthiest"),
    "auto:reliable": ("healthiest", "fastest"),
    "auto:free": ("free", "healthiest", "fastest"),
}
"""The built-in routes and their order. From a complexity of `rules.HARD` on, `auto` becomes `auto:hard`."""
_ONLY_FREE = "auto:free"

LAST = 1_000_000
"""The rank of the demo. It is free and always healthy, so without this rank most orders would prefer it."""

# Words in a model's id that tell it is not for chat, where the catalog does not know the model.
_NOT_FOR_CHAT = re.compile(
    r"embed|minilm|rerank|whisper|transcribe|moderation|guard|dall-e|image|imagen|\b(?:bge|gte|e5|tts|sora|veo)\b",
    re.IGNORECASE,
)

# difflib's time is quadratic in the length of a name and linear in their number, and strangers choose the names.
LONGEST_GUESSED = 100
MOST_COMPARED = 2000

MOST_MEANT = 3

# Far more than a request needs; each fallback costs a lookup.
MOST_FALLBACKS = 16


@dataclass(frozen=True, slots=True)
class Directory:
    """Every known name with its route, and what is needed to resolve unknown names."""

    routes: Mapping[str, Route]
    """`role:NAME`, alias `NAME`, configured `provider/model`, `auto` and `auto:*`."""
    providers: Mapping[str, Provider]
    bare: Mapping[str, tuple[Upstream, ...]]
    """Model id without its provider -> the upstreams that list it, configured before discovered."""
    default_provider: str | None = None
    """The provider for bare ids that no provider lists."""
    default_route: DefaultRoute | None = None
    """The route of names that nobody lists, and that the default provider does not get or does not serve."""
    params: Mapping[str, Params] = field(default_factory=dict)
    """Provider name -> the parameters its models inherit (global, then provider)."""
    presets: Mapping[str, Params] = field(default_factory=dict)
    """Preset name -> parameters that a request may choose: `role:chat@creative`."""
    order: tuple[str, ...] = ("listed",)
    """For names that are not configured."""
    pool: tuple[Candidate, ...] = ()
    """The candidates of `auto`: every configured upstream once."""
    abilities: Abilities = field(default_factory=Abilities)
    kinds: frozenset[str] = frozenset()
    """The names of all kinds of providers, configured or not."""
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    """Role or alias -> the experiment with its calls."""

    def with_discovered(self, found: Mapping[str, Mapping[str, Ability] | tuple[str, ...]]) -> Directory:
        """Return a directory with the models and abilities that providers' lists contain.

        Earlier discoveries of the providers in `found` are dropped. Configured models stay, and stay first. Unknown
        providers are skipped; a provider that serves one model under any name gets no other models.
        """
        said = {
            name: models if not isinstance(models, tuple) else dict.fromkeys(models, Ability())
            for name, models in found.items()
            if name in self.providers
        }
        bare = {
            model: kept
            for model, listed in self.bare.items()
            if (kept := tuple(one for one in listed if one.id in self.routes or one.provider.name not in said))
        }
        abilities = self.abilities.with_discovered(said)
        for name, models in said.items():
            provider = self.providers[name]
            if provider.model_override:
                continue
            for model in models:
                listed = bare.get(model, ())
                if not any(one.provider is provider for one in listed):
                    bare[model] = (*listed, Upstream(provider, model))
        return replace(self, bare=bare, abilities=abilities).renewed(said)

    def renewed(self, providers: Container[str] | None = None) -> Directory:
        """Return the directory with current abilities in every upstream and in the candidates of `auto`.

        `providers`: only the abilities of these have changed. None: any may have.
        """
        abilities = self.abilities
        routes: dict[str, Route] = {}
        changed = False
        for name, route in self.routes.items():
            fresh = route if route.kind is RouteKind.AUTO else _renewed(route, abilities, providers)
            changed = changed or fresh is not route
            routes[name] = fresh
        pool = abilities.all_renewed(self.pool, providers)
        for one in auto_routes(pool):
            if one.name not in routes or routes[one.name].kind is RouteKind.AUTO:  # an alias of this name wins
                changed = changed or routes.get(one.name) != one
                routes[one.name] = one
        bare = {
            model: tuple(
                abilities.renewed(one) if providers is None or one.provider.name in providers else one for one in listed
            )
            for model, listed in self.bare.items()
        }
        experiments = {name: _renewed_arms(one, abilities, providers) for name, one in self.experiments.items()}
        return replace(
            self, routes=routes if changed else self.routes, bare=bare, pool=pool, experiments=experiments
        )  # fmt: skip


def _renewed_arms(experiment: Experiment, abilities: Abilities, providers: Container[str] | None) -> Experiment:
    arms = [replace(arm, route=_renewed(arm.route, abilities, providers)) for arm in experiment.arms]
    mirror = experiment.mirror
    if mirror is not None:
        mirror = replace(mirror, route=_renewed(mirror.route, abilities, providers))
    return replace(experiment, arms=tuple(arms), mirror=mirror)


def _renewed(route: Route, abilities: Abilities, providers: Container[str] | None) -> Route:
    candidates = abilities.all_renewed(route.candidates, providers)
    unchanged = all(one is other for one, other in zip(candidates, route.candidates, strict=True))
    return route if unchanged else replace(route, candidates=candidates)


def resolve(name: str, directory: Directory) -> Route:
    """Return the route of a `model` string.

    Raises:
        ModelNotFound: the name is unknown, or its provider is unusable. The message says why and suggests the nearest
            names. A *configured* name whose upstreams are all unusable is no error here: its route has no candidates.
    """
    # This lookup covers the precedence of names: roles have their prefix, an alias hides a `provider/model` or an
    # `auto` of the same name, and no provider may be called auto.
    if route := directory.routes.get(name):
        return route
    if name.startswith(ROLE):
        raise ModelNotFound(unknown_role(name, directory.routes), param="model")
    if (pair := split(name, directory.providers)) is not None:
        upstream = directory.abilities.upstream(*pair)
        if (known := directory.routes.get(upstream.id)) and known.kind is RouteKind.MODEL:
            return known
        if upstream.provider.unusable:
            raise ModelNotFound(why_unusable(upstream.provider), param="model")
        return _route(name, (upstream,), directory)
    if name.startswith(f"{AUTO}:"):
        raise ModelNotFound(f"unknown choice {quoted(name)}; there are {', '.join(AUTO_ORDERS)}", param="model")
    if listed := directory.bare.get(name):
        return _at_single_model(name, directory) or _route(name, listed, directory)
    guess, default = _at_default_provider(name, directory), _at_default_route(name, directory)
    if guess is not None and default is not None:
        return with_fallbacks(guess, (default,))
    if (found := guess or default) is not None:
        return found
    raise ModelNotFound(_unknown(name, directory), param="model")


def is_guess(name: str, directory: Directory) -> bool:
    """Tell whether a name leads somewhere only because of a default: no provider is known to list it."""
    return name not in directory.routes and name not in directory.bare and split(name, directory.providers) is None


def _at_default_provider(name: str, directory: Directory) -> Route | None:
    default = directory.providers.get(directory.default_provider or "")
    if default is None or default.unusable or not name or _is_slip(name, default, directory):
        return None
    said = default.name in directory.abilities.discovered and not default.model_override
    if said and _at_default_route(name, directory) is not None:  # it has listed its models, and not this one
        return None
    return _route(name, (directory.abilities.upstream(default, name),), directory)


def _at_single_model(name: str, directory: Directory) -> Route | None:
    """Return the route to a default provider that serves one model under any name, or None.

    Such a provider was chosen for all names that do not say where they lead, whoever else lists them.
    """
    default = directory.providers.get(directory.default_provider or "")
    return _at_default_provider(name, directory) if default is not None and default.model_override else None


def _at_default_route(name: str, directory: Directory) -> Route | None:
    default = directory.default_route
    if default is None or not default.takes(name):
        return None
    if name in directory.providers or ROLE + name in directory.routes:
        return None
    if slips.provider_by_colon(name, directory.providers, directory.kinds):
        return None
    if (found := directory.routes.get(default.target)) is not None:
        return found
    listed = directory.bare.get(default.target)
    return _route(default.target, listed, directory) if listed else None


def _is_slip(name: str, default: Provider, directory: Directory) -> bool:
    if ROLE + name in directory.routes:  # a forgotten prefix
        return True
    listed = directory.abilities.discovered.get(default.name, {})
    return slips.is_slip(name, default, (*default.models, *listed), directory.providers, directory.kinds)


def _unknown(name: str, directory: Directory) -> str:
    """Say that a name is unknown, suggest others, and say how to ask the default provider for it."""
    default = directory.providers.get(directory.default_provider or "")
    message = f"unknown model {quoted(name)}"
    if name in directory.providers and name:
        return f'{message}: it is a provider; name one of its models: "{name}/MODEL"'
    first, slash, rest = name.partition("/")
    if not slash:
        first = rest = slips.provider_by_colon(name, directory.providers, directory.kinds)
    provider_is_unknown = bool(first and rest) and first not in directory.providers
    if provider_is_unknown:
        message += f": no provider {quoted(first)} is configured"
    meant = _meant(name, directory, known_only=not provider_is_unknown)
    if meant:
        message += f"; {slips.listing(meant)}"
    elif provider_is_unknown:
        there = [one.name for one in directory.providers.values() if not kind_of(one).built_in]
        message += f"; there {'is' if len(there) == 1 else 'are'} {', '.join(there[:10])}" if there else ""
    if ROLE + name in directory.routes:
        return message
    if (not meant or name.startswith(BUILT_IN)) and not provider_is_unknown and (serve := remedy(name)):
        message += f"; {serve}"
    if default is None:
        return message
    if default.unusable:
        return f"{message}; {why_unusable(default)}"
    return (
        f"{message}; to ask {default.name} for that id, write {quoted(f'{default.name}/{name}')}" if name else message
    )


def _meant(name: str, directory: Directory, *, known_only: bool) -> list[str]:
    """Return what a name may have been meant to be: the nearest provider first, then the nearest name."""
    providers = slips.providers_meant(name, directory.providers)
    known = [one for one in providers if _is_known(one, directory)]
    # A provider whose models are not listed may serve anything.
    meant = known or ([] if known_only else providers)
    near = _nearest(name, (*directory.routes, *directory.bare))
    if near and near not in meant and not any(one.endswith(f"/{near}") for one in meant):
        meant = [*meant, near]
    return meant[:MOST_MEANT]


def _is_known(name: str, directory: Directory) -> bool:
    provider, _, model = name.partition("/")
    return name in directory.routes or any(one.provider.name == provider for one in directory.bare.get(model, ()))


def resolve_many(
    names: Sequence[str], directory: Directory, find: Callable[[str, Directory], Route] = resolve
) -> Route:
    """Return the route of the first name, with the upstreams of the other names as its fallbacks, in their order.

    The needs and the price ceiling of the first name's route apply to all of them. `find`: returns the route of one.

    Raises:
        ModelNotFound: some names are unknown; the message lists them all.
        BadRequest: there are more than MOST_FALLBACKS fallbacks, or no name at all.
    """
    if not names:
        raise BadRequest("name at least one model", param="models")
    if len(names) - 1 > MOST_FALLBACKS:
        raise BadRequest(f"{len(names) - 1} fallbacks; at most {MOST_FALLBACKS} are tried", param="models")
    first = find(names[0], directory)
    routes: list[Route] = []
    unknown: list[str] = []
    for name in dict.fromkeys(names[1:]):
        try:
            routes.append(find(name, directory))
        except ModelNotFound as error:
            unknown.append(error.message)
    if unknown:
        raise ModelNotFound(f"among the fallbacks: {'; '.join(unknown)}", param="models")
    return with_fallbacks(first, routes)


def with_fallbacks(first: Route, others: Iterable[Route]) -> Route:
    """Return the first route with the candidates of the others appended, each group ranked behind the one before it."""
    candidates = {one.identity: one for one in first.candidates}
    rejected = {one.upstream_id: one for one in first.rejected}
    for route in others:
        above = 1 + max((one.rank for one in candidates.values() if one.rank < LAST), default=-1)
        for one in route.candidates:
            rank = one.rank if one.rank >= LAST else above + one.rank
            candidates.setdefault(one.identity, replace(one, rank=rank))
        for out in route.rejected:
            rejected.setdefault(out.upstream_id, out)
    usable = {one.upstream.id for one in candidates.values()}
    return replace(
        first,
        candidates=_by_rank(_labelled(candidates.values())),
        rejected=tuple(one for one in rejected.values() if one.upstream_id not in usable),
    )


def _labelled(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Label candidates of the same upstream by the name that led to each: `shop/m#careful`."""
    candidates = tuple(candidates)
    count = Counter(one.upstream.id for one in candidates)
    used: Counter[str] = Counter()
    for one in candidates:
        label = plain = one.upstream.id
        if count[plain] > 1:
            # Skip the route's own name, which all candidates share, unless there is no other.
            names = [name for name in one.via if not name.startswith(FALLBACK_OF)]
            name = names[1] if len(names) > 1 and names[0] == one.via[0] else names[0] if names else ""
            label = f"{plain}#{name}" if name and name != plain else plain
            used[label] += 1
            if used[label] > 1:
                label = f"{label}({used[label]})"
        yield one if one.label == label else replace(one, label=label)


def _by_rank(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda one: one.rank))


def auto_routes(pool: Iterable[Candidate]) -> Iterator[Route]:
    """Yield the built-in routes over all candidates that can chat; over the demo, if there are no others."""
    usable: list[Candidate] = []
    out: list[Rejected] = []
    demo: list[Candidate] = []
    for one in pool:
        if kind_of(one.upstream.provider).built_in:
            demo.append(one)
        elif reason := one.upstream.provider.unusable or ("" if chats(one.upstream) else "not for chat"):
            out.append(Rejected(one.upstream.id, reason))
        else:
            usable.append(one)
    usable = usable or demo
    costs = [Rejected(one.upstream.id, "costs money") for one in usable if not one.upstream.ability.free]
    gratis = tuple(one for one in usable if one.upstream.ability.free)
    for name, order in AUTO_ORDERS.items():
        if name == _ONLY_FREE:
            yield Route(name, RouteKind.AUTO, gratis, (*out, *costs), order=order)
        else:
            yield Route(name, RouteKind.AUTO, tuple(usable), tuple(out), order=order)


def chats(upstream: Upstream) -> bool:
    """Tell whether a model is for chat. An unknown model counts as one."""
    ability = upstream.ability
    if Capability.EMBEDDINGS in ability.has:
        return False
    return Capability.STREAMING in ability.has or sounds_like_chat(upstream.model)


def sounds_like_chat(model: str) -> bool:
    """Tell whether nothing in a model's id says that it is for something else, such as embeddings."""
    return _NOT_FOR_CHAT.search(model) is None


def split(name: str, providers: Mapping[str, Provider]) -> tuple[Provider, str] | None:
    """Split `provider/model` or `provider:model`; None if the first segment is no configured provider.

    Model ids may contain both separators too (`google/gemma-3:free`, `gemma3:4b`).
    """
    for separator in "/:":
        first, found, rest = name.partition(separator)
        if found and rest and first in providers:
            return providers[first], rest
    return None


def why_unusable(provider: Provider) -> str:
    """Say in a sentence why a provider is unusable."""
    reason = provider.unusable or "usable"
    return f'provider "{provider.name}" {"has" if reason.startswith("no ") else "is"} {reason}'


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` with the nearest known name, or "" if none is near."""
    near = _nearest(name, known)
    return f'; did you mean "{near}"?' if near else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    if len(name) > LONGEST_GUESSED:
        return ""
    spelled: dict[str, str] = {}
    for one in known:
        spelled.setdefault(one.lower(), one)
        # A forgotten prefix is the commonest slip: `main` for `role:main`.
        if one.startswith(ROLE):
            spelled.setdefault(one[len(ROLE) :].lower(), one)
        if len(spelled) >= MOST_COMPARED:
            break
    close = get_close_matches(name.lower(), spelled, n=1, cutoff=0.7)
    return spelled[close[0]] if close else ""


def quoted(name: str) -> str:
    """Quote a stranger's string for a message: shortened, and without characters that could forge a log line."""
    shown = name if len(name) <= LONGEST_GUESSED else name[:LONGEST_GUESSED] + "…"
    return '"' + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown) + '"'


def unknown_role(name: str, known: Iterable[str]) -> str:
    roles = [one for one in known if one.startswith(ROLE)]
    near = nearest(name[len(ROLE) :], roles) or (
        f"; there are {', '.join(roles[:10])}" if roles else "; none is configured"
    )
    return f"unknown role {quoted(name[len(ROLE) :])}{near}"


def _route(name: str, upstreams: tuple[Upstream, ...], directory: Directory) -> Route:
    candidates = (Candidate(one, directory.params.get(one.provider.name, Params())) for one in upstreams)
    configured = name in directory.bare and any(one.id in directory.routes for one in upstreams)
    return route_of(name, RouteKind.MODEL, candidates, order=directory.order, configured=configured)


def route_of(
    name: str,
    kind: RouteKind,
    listed: Iterable[Candidate],
    *,
    order: tuple[str, ...] = ("listed",),
    configured: bool = True,
) -> Route:
    """Return a route whose unusable candidates are rejected. Of equal candidates, the first is kept."""
    usable: dict[tuple[object, ...], Candidate] = {}
    rejected: dict[str, Rejected] = {}
    for one in listed:
        upstream_id = one.upstream.id
        if reason := one.upstream.provider.unusable:
            rejected.setdefault(upstream_id, Rejected(upstream_id, reason))
        else:
            usable.setdefault(one.identity, one)
    candidates = _by_rank(_labelled(usable.values()))
    return Route(name, kind, candidates, tuple(rejected.values()), order=order, configured=configured)
