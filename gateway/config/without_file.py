"""Make a configuration without a file, from detected local servers and the API keys in the environment."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.catalog import ability_of
from gateway.config import clients, jobs, money, overlay, shields, variables
from gateway.config.jobs import JOBS, Job, Wish
from gateway.config.providers import Entry, make_provider
from gateway.config.resolve import DEMO, warnings
from gateway.config.settings import ZERO, Config, ServerSettings
from gateway.core.declared import Declared, Role, make_directory
from gateway.core.default_route import BUILT_IN, DefaultRoute
from gateway.core.names import ROLE
from gateway.errors import ConfigError
from gateway.kinds import KINDS, Models, Publishers, kind_of
from gateway.types import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.config.loading import Ground
    from gateway.config.overlay import Layer
    from gateway.config.settings import Detected
    from gateway.core.names import Directory
    from gateway.kinds import Kind
    from gateway.types import Provider

SOURCE = ZERO


# Someone who types the name of a model wants that model; a name that a client has built in was chosen by nobody.
_UNLISTED = DefaultRoute("role:main", BUILT_IN)
# Stands in for a job that no model found is made for.
_THINKING = Job("strong", Wish.STRONG)

# What the ids of local models give away. Wrong guesses are harmless: the server says what it cannot do.
_EMBEDS = ("embed", "bge-", "/bge", "gte-", "e5-", "minilm")
_SEES = ("-vl", "vision", "llava", "gemma3", "gemma-3", "gemma4", "gemma-4", "minicpm-v", "moondream", "pixtral")


def zero(environ: Mapping[str, str], detected: Sequence[Detected] = ()) -> Config:
    """See `gateway.config.zero`."""
    layer = overlay.layer(environ, SOURCE)
    if layer is not None:
        from gateway.config.loading import resolved

        config = resolved(ground(environ, detected, layer), layer)
        directory = config.directory
        if directory.default_route is None:
            directory = replace(directory, default_route=_UNLISTED)
        said = _passed_over(environ, directory.providers)
        found = findings(_with_keys(environ, layer), detected)
        # The overlay may have put other models into a role.
        kept = {
            name: why for name, why in found.reasons.items() if _leads(directory, name) == found.roles[name].targets
        }
        return replace(config, directory=directory, warnings=(*config.warnings, *said), reasons=kept)
    problems: list[str] = []
    server = clients.with_environment(
        ServerSettings(), environ, lambda variable, message: problems.append(f"environment: {variable}: {message}")
    )
    if problems:
        raise ConfigError(problems)
    found = findings(environ, detected)
    providers = {one.name: one for one in (*found.providers, DEMO)}
    directory, _ = make_directory(
        Declared(
            providers=providers,
            roles=found.roles,
            default_provider=found.default,
            default_route=_UNLISTED,
            curated=ability_of,
            kinds=frozenset(KINDS),
        )
    )
    said = [*warnings(server, providers), *_passed_over(environ, (one.name for one in found.providers))]
    ledger = money.ledger_settings(environ, lambda at, message: problems.append(f"environment: {at[1]}: {message}"))
    if problems:
        raise ConfigError(problems)
    return Config(SOURCE, server, directory, ledger=ledger, warnings=tuple(said), reasons=found.reasons)


def ground(environ: Mapping[str, str], detected: Sequence[Detected] = (), layer: Layer | None = None) -> Ground:
    """Write the findings in the shape of a file, so that the overlay can be merged over them.

    `layer`: the overlay, whose keys are findings too.
    """
    from gateway.config.edits import yaml_of
    from gateway.config.loading import Ground

    found = findings(environ if layer is None else _with_keys(environ, layer), detected)
    from_variables = variables.written(environ)
    written: dict[str, Any] = {
        "providers": {
            one.name: from_variables.get(one.name)
            or {"kind": one.kind, "models": list(one.models)}
            | ({"base_url": one.base_url, "local": True} if one.local else {})
            for one in found.providers
        },
        "roles": {name: {"models": list(role.targets)} for name, role in found.roles.items() if role.targets},
    }
    if found.default is not None:
        written["defaults"] = {"provider": found.default}
    vacant = {name: role.vacancy for name, role in found.roles.items() if not role.targets}
    return Ground(SOURCE, yaml_of(written), environ, vacant=vacant, grown=partial(ground, environ, detected))


def _with_keys(environ: Mapping[str, str], layer: Layer) -> Mapping[str, str]:
    """Return the environment with the keys that the overlay has for providers named like their kind.

    Keys from the console or `gateway login` fill the roles like keys in the environment.
    """
    providers = overlay.values_of(layer.file, layer.text).get("providers")
    known = {**environ, **layer.secrets}
    found: dict[str, str] = {}
    for name, entry in providers.items() if isinstance(providers, dict) else ():
        kind = KINDS.get(name)
        if kind is None or not kind.key_vars or not isinstance(entry, dict) or entry.get("kind", name) != name:
            continue
        key = entry.get("api_key")
        if isinstance(key, str) and (value := known.get(shields.reference(key), "")):
            found[kind.key_vars[0]] = value
    return {**environ, **found}


class Findings(NamedTuple):
    """What there is without a file."""

    providers: tuple[Provider, ...]
    roles: Mapping[str, Role]
    reasons: Mapping[str, str]
    """Role -> why its first model is the first."""
    default: str | None
    """The provider of the names that no provider lists."""


def findings(environ: Mapping[str, str], detected: Sequence[Detected]) -> Findings:
    """Make providers of the servers detected and of the keys in the environment, and fill the usual roles."""
    local = _local_providers(detected, environ)
    rented = [*_rented_providers(environ), *variables.providers(environ)]
    work = {one.name: kind_of(one).usual or _guessed(_asked_for(one)) for one in (*local, *rented)}
    chosen = variables.choice(environ, work)
    filled = {name: _role(job, local, rented, work, chosen) for name, job in JOBS.items()}
    roles = {name: role for name, (role, _) in filled.items()}
    reasons = {name: why for name, (_, why) in filled.items() if why}
    return Findings((*local, *rented), roles, reasons, chosen or _default(local, rented))


def _local_providers(detected: Iterable[Detected], environ: Mapping[str, str]) -> list[Provider]:
    found: dict[str, Provider] = {}
    for one in detected:
        name = (
            one.kind if one.kind not in found else f"{one.kind}-{one.base_url.removesuffix('/v1').rpartition(':')[2]}"
        )
        entry = Entry(one.kind, base_url=one.base_url, models=one.models, local=True)
        found[name] = make_provider(name, entry, environ, Timeouts(), lambda _path, _message: None)
    return list(found.values())


def _rented_providers(environ: Mapping[str, str]) -> list[Provider]:
    found = []
    for kind in KINDS.values():
        if (models := kind.usual) is None or _is_elsewhere(kind, environ):
            continue
        listed = tuple(dict.fromkeys(filter(None, (models.strong, models.fast, models.vision, models.embedding))))
        entry = Entry(kind.name, models=listed)
        one = make_provider(kind.name, entry, environ, Timeouts(), lambda _path, _message: None)
        if not one.unusable and one.headers:
            found.append(one)
    return found


def _is_elsewhere(kind: Kind, environ: Mapping[str, str]) -> bool:
    """Tell whether the key of a kind belongs to another endpoint, perhaps to this very gateway."""
    base = environ.get(kind.url_var, "").strip().rstrip("/")
    return bool(base) and base != kind.base_url


def _passed_over(environ: Mapping[str, str], names: Iterable[str]) -> Iterable[str]:
    yield from variables.passed_over(environ, names)
    for kind in KINDS.values():
        for name in kind.key_vars:
            if environ.get(name) and _is_elsewhere(kind, environ):
                yield f"{name} is not used: {kind.url_var} says it belongs elsewhere; name that one in gateway.yaml"


def _asked_for(local: Provider) -> tuple[str, ...]:
    # While llama-server loads its model it lists none; it serves that one under any name.
    return local.models or (("default",) if kind_of(local).any_name else ())


def _guessed(models: tuple[str, ...]) -> Models:
    """Guess the work of a local server's models from their ids."""
    lower = {model: model.lower() for model in models}
    embedding = next((one for one in models if any(part in lower[one] for part in _EMBEDS)), "")
    seeing = next((one for one in models if any(part in lower[one] for part in _SEES)), "")
    chat = next((one for one in models if not any(part in lower[one] for part in _EMBEDS)), "")
    return Models(strong=chat, fast=chat, vision=seeing, embedding=embedding)


def _role(
    job: Job, local: list[Provider], rented: list[Provider], work: Mapping[str, Models], chosen: str | None
) -> tuple[Role, str]:
    """Return a role, and why its first model is the first."""
    providers = [*local, *rented]
    if not providers:
        return Role(("demo/echo",)), ""
    able = jobs.chosen(job, providers, work)
    if job.work == "embedding":
        # No fallback: vectors of two models cannot be compared.
        vacancy = "no model found makes embeddings"
        able = sorted(able, key=lambda one: one.provider != chosen)[:1]
    else:
        vacancy = "no model found is for chat"
        # A model without the ability will say so itself.
        able = sorted(able or jobs.chosen(_THINKING, providers, work), key=lambda one: one.provider != chosen)
    if not able:
        return Role((), vacancy=vacancy), ""
    why = f"{variables.CHOICE} says so" if able[0].provider == chosen else jobs.reason(job.wish, able[0])
    return Role(tuple(one.id for one in able)), why


def _leads(directory: Directory, role: str) -> tuple[str, ...]:
    route = directory.routes.get(ROLE + role)
    return tuple(one.upstream.id for one in route.candidates) if route is not None else ()


def _default(local: list[Provider], rented: list[Provider]) -> str | None:
    """Choose who takes the names that nobody lists: one that serves all makers' models, else the only provider."""
    everything = [one.name for one in rented if kind_of(one).publishers is Publishers.ALL]
    names = everything or [one.name for one in (*rented, *local)] or [DEMO.name]
    return names[0] if everything or len(names) == 1 else None
