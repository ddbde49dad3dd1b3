"""Turn a validated file into a frozen `Config`, and collect every mistake on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.catalog import ability_of
from gateway.config import clients, money, scalars
from gateway.config.abilities import said_of_all, said_of_one
from gateway.config.params import encoded
from gateway.config.providers import Entry, make_provider, merged_timeouts
from gateway.config.routing import make_rule
from gateway.config.settings import AlertSettings, CacheSettings, Config, ServerSettings
from gateway.core.arms import DeclaredArm, DeclaredExperiment
from gateway.core.cors import EVERY, Cors
from gateway.core.declared import Alias, Declared, Role, make_directory
from gateway.core.default_route import DefaultRoute
from gateway.core.fitting import misfits
from gateway.core.names import quoted
from gateway.core.params import merged
from gateway.core.presets import BUILT_IN as BUILT_IN_PRESETS
from gateway.core.troubles import Trouble
from gateway.kinds import BUILT_IN, KINDS, OTHER
from gateway.types import (
    Bridging,
    CachePolicy,
    Capability,
    LimitScope,
    Params,
    Provider,
    Rate,
    RateUnit,
    Timeouts,
    Unit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.config import shape
    from gateway.config.blanks import Blanks
    from gateway.config.source import Path, Source
    from gateway.core.names import Directory

DEMO = Provider(
    BUILT_IN,
    BUILT_IN,
    KINDS[BUILT_IN].base_url,
    local=True,
    stream_usage=True,
    model_override="echo",
    models=("echo",),
    probe=False,
    discover=False,
)


class Resolution:
    """One pass over a file. `problems` collects its complaints as (path, at its key?, message)."""

    def __init__(
        self,
        file: shape.File,
        source: Source,
        environ: Mapping[str, str],
        vacant: Mapping[str, str],
        blanks: Blanks | None = None,
        tolerates: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """`tolerates`: tells whether an unknown name at a place is no problem; it then has no upstream."""
        self.file = file
        self.tolerates = tolerates
        self.tolerated: list[tuple[Path, bool, str]] = []
        self.blanks = blanks or {}
        self.source = source
        self.environ = environ
        self.vacant = vacant
        self.problems: list[tuple[Path, bool, str]] = []
        written = {name: encoded(params, {}, self._at("presets", name)) for name, params in file.presets.items()}
        self.presets = {**BUILT_IN_PRESETS, **written}
        self.quirks = {
            name: encoded(said.quirks.adapting, {}, self._at("providers", name, "quirks"))
            for name, said in file.providers.items()
        }
        self.timeouts = merged_timeouts(Timeouts(), self._timers(file.defaults.timeouts, "defaults"))

    def config(self, name: str) -> Config:
        """Return the configuration. Use it only if there are no `problems`."""
        defaults = self.file.defaults
        providers = {name: self._provider(name, said) for name, said in self.file.providers.items()}
        providers.setdefault(DEMO.name, DEMO)
        unknown = (defaults.route or "").strip()
        directory, objections = make_directory(
            Declared(
                providers=providers,
                provider_params=self._provider_params(),
                presets=self.presets,
                aliases={name: self._alias(name, written) for name, written in self.file.models.items()},
                roles={
                    **{name: Role((), vacancy=why) for name, why in self.vacant.items()},
                    **{name: self._role(name, written) for name, written in self.file.roles.items()},
                },
                fallback={name: tuple(targets) for name, targets in self.file.fallback.items()},
                default_provider=(defaults.provider or "").strip() or None,
                default_route=DefaultRoute(unknown) if unknown else None,
                tolerates=self.tolerates,
                order=tuple(defaults.order),
                uses=(
                    *([(("defaults", "route"), unknown)] if unknown else ()),
                    *((("rules", i, "use"), rule.use) for i, rule in enumerate(self.file.rules)),
                    *((("budgets", i, "to"), one.to) for i, one in enumerate(self.file.budgets) if one.to),
                    *((("defaults", "models", endpoint), name) for endpoint, name in defaults.models.items()),
                ),
                curated=ability_of,
                of_providers={name: said_of_all(written) for name, written in self.file.providers.items()},
                kinds=frozenset(KINDS),
                experiments={name: self._experiment(name, one) for name, one in self.file.experiments.items()},
            )
        )
        for one in objections:
            into = self.tolerated if one.tolerated else self.problems
            into.append((self._written(one.where), one.about_name, one.message))
        server = self._server()
        rules = tuple(make_rule(one, self._at("rules", i, "when")) for i, one in enumerate(self.file.rules))
        return Config(
            source=name,
            server=server,
            directory=directory,
            timeouts=self.timeouts,
            max_attempts=defaults.max_attempts,
            retries=defaults.retries,
            max_wait_s=defaults.max_wait,
            inject_stream_usage=defaults.stream_usage,
            default_models=defaults.models,
            rules=rules,
            ledger=money.ledger_settings(self.environ, self._complain, self.file.ledger, self.file.stores),
            recorded=tuple(self.file.ledger.record),
            budgets=tuple(money.budgets(self.file.budgets, directory, self._complain)),
            alerts=AlertSettings(self.file.alerts.webhook or "", frozenset(map(Trouble, self.file.alerts.on))),
            calendar=money.calendar(defaults),
            cache=CacheSettings(self.file.cache.max_memory),
            warnings=(*warnings(server, providers), *unable(directory), *idle(directory), *misfits(directory)),
        )

    def _complain(self, path: Path, message: str) -> None:
        self.problems.append((path, False, message))

    def _at(self, *prefix: str | int) -> Callable[[tuple[str, ...], str], None]:
        return lambda path, message: self.problems.append(((*prefix, *path), False, message))

    def _written(self, where: Path) -> Path:
        """Return the written place of a name that `core.declared` objects to, in whichever notation it has."""
        section, name, *index = where
        if section == "roles":
            for path in ((section, name, "models", *index, "model"), (section, name, "models", *index)):
                if path in self.source.marks:
                    return path
        if section == "experiments" and where not in self.source.marks and where[:-1] in self.source.marks:
            return where[:-1]  # an arm that is written short
        if section == "models" and (path := (section, name, "model")) in self.source.marks:
            return path
        return where

    def _timers(self, said: shape.Timeouts, *where: str) -> dict[str, float]:
        found = {f"{name}_s": value for name, value in said if value is not None}
        if found.get("first_token_s", scalars.LONGEST_S) < found.get("first_byte_s", 0):
            self.problems.append(
                ((*where, "timeouts", "first_token"), False, "first_token cannot be shorter than first_byte")
            )
        return found

    def _provider(self, name: str, written: shape.Provider) -> Provider:
        path = ("providers", name)
        kind = written.kind or (name if name in KINDS else OTHER)
        url = written.base_url
        blank = self.blanks.get(name, {})
        if written.kind is None and kind != name and url is None and not blank:
            message = f"{quoted(name)} is not a known kind; set its kind, or the base_url of its API"
            self.problems.append(((*path, "base_url"), False, message))
            url = "http://stand-in.invalid"
        entry = Entry(
            kind=kind,
            base_url=url,
            models_url=(written.models_url or "").strip(),
            api_key=written.api_key,
            key_variables=self.source.variables.get((*path, "api_key"), ()),
            headers=written.headers,
            endpoint_id=written.endpoint_id,
            api_version=written.api_version,
            timeouts=self._timers(written.timeouts, *path),
            model_override=written.model_override,
            models=tuple(written.models),
            local=written.local,
            stream_usage=written.stream_usage,
            strict_max_tokens=written.strict_max_tokens,
            speaks=tuple(written.speaks),
            token_ids=written.token_ids,
            quirks=self.quirks[name],
            quirk_headers=written.quirks.headers,
            repairs=written.quirks.enabled,
            limits=LimitScope(written.limits) if written.limits else None,
            rates=tuple(_rates(written)),
            probe=written.probe,
            discover=written.discover,
            enabled=written.enabled,
            admin_key=(written.admin_key or "").strip(),
            blank=blank,
        )
        return make_provider(name, entry, self.environ, self.timeouts, self._at(*path))

    def _alias(self, name: str, written: shape.Alias) -> Alias:
        params = encoded(written.params, self.presets, self._at("models", name, "params"))
        cache = self._cache(written.cache, "models", name)
        return Alias(written.model, params, said_of_one(written), cache, written.patience, written.system_prefix)

    def _role(self, name: str, written: shape.Role) -> Role:
        return Role(
            targets=tuple(one.model for one in written.models),
            params=encoded(written.params, self.presets, self._at("roles", name, "params")),
            weights=tuple(one.weight for one in written.models),
            order=tuple(written.order or ()),
            needs=frozenset(map(Capability, written.needs)),
            max_price=written.max_price,
            fails_over_on_policy=written.on_policy == "failover" if written.on_policy else None,
            cache=self._cache(written.cache, "roles", name),
            patience_s=written.patience,
            bridging=Bridging(written.bridge) if written.bridge else None,
            is_lossless=written.lossy == "refuse" if written.lossy else None,
            system_prefix=written.system_prefix,
        )

    def _experiment(self, name: str, written: shape.Experiment) -> DeclaredExperiment:
        place, mirror = ("experiments", name), written.mirror
        arms = {
            arm: DeclaredArm(one.model or "", self._tried(one.params, *place, "arms", arm), one.weight)
            for arm, one in written.arms.items()
        }
        copies = DeclaredArm(mirror.model or "", self._tried(mirror.params, *place, "mirror")) if mirror else None
        share, most = written.share or 1.0, mirror.at_once if mirror else 0
        return DeclaredExperiment(written.on, arms, share, Unit(written.sticky), copies, most)

    def _tried(self, written: Mapping[str, Any] | str, *place: str) -> Params:
        return encoded(written, self.presets, self._at(*place, "params"))

    def _cache(self, written: shape.RouteCache | None, *where: str) -> CachePolicy | None:
        if written is None:
            return None
        common = self.file.cache
        if "max_entry" in written.model_fields_set and written.max_entry > common.max_memory:
            message = "larger than cache.max_memory; raise that, or lower this"
            self.problems.append(((*where, "cache", "max_entry"), False, message))
        return CachePolicy(
            ttl_s=(common.ttl if written.ttl is None else written.ttl) if written.enabled else 0.0,
            shared=written.shared,
            nondeterministic=written.nondeterministic,
            max_entry_bytes=min(written.max_entry, common.max_memory),
        )

    def _provider_params(self) -> dict[str, Params]:
        common = merged(Params(), encoded(self.file.defaults.params, {}, self._at("defaults", "params")))
        return {
            name: merged(
                merged(common, encoded(said.params, {}, self._at("providers", name, "params"))),
                self.quirks[name],
            )
            for name, said in self.file.providers.items()
        }

    def _keys(self, field: str, said: list[str]) -> frozenset[bytes]:
        """Return the digests of configured keys; empty entries are dropped."""
        digests = set()
        for i, key in enumerate(said):
            if not key.strip():
                continue
            if wrong := clients.objection(key.strip()):
                self.problems.append((("server", field, i), False, wrong))
            digests.add(clients.digest(key.strip()))
        return frozenset(digests)

    def _server(self) -> ServerSettings:
        said = self.file.server
        server = ServerSettings(
            host=said.host.strip(),
            port=said.port,
            workers=said.workers,
            api_keys=self._keys("api_keys", said.api_keys),
            admin_keys=self._keys("admin_keys", said.admin_keys),
            console_hosts=frozenset(one.lower() for one in said.console_hosts),
            max_body_bytes=said.max_body,
            header_timeout_s=said.timeouts.header,
            body_timeout_s=said.timeouts.body,
            write_timeout_s=said.timeouts.write,
            drain_s=said.drain,
            drain_delay_s=said.drain_delay,
            max_connections=said.max_connections,
            cors=_cors(said.cors) if said.cors.origins else None,
            watch=said.watch,
        )
        return clients.with_environment(
            server, self.environ, lambda variable, message: self.problems.append((("$", variable), False, message))
        )


def _rates(said: shape.Provider) -> Iterator[Rate]:
    if said.rpm is not None:
        yield Rate(RateUnit.REQUESTS, said.rpm, 60)
    if said.tpm is not None:
        yield Rate(RateUnit.TOKENS, said.tpm, 60)
    if said.rpd is not None:
        yield Rate(RateUnit.REQUESTS, said.rpd, 86_400)


def _cors(said: shape.Cors) -> Cors:
    return Cors(tuple(said.origins), said.credentials, said.max_age)


def warnings(server: ServerSettings, providers: Mapping[str, Provider]) -> Iterator[str]:
    """Yield warnings about settings that are legal but probably not intended."""
    if clients.is_open_to_others(server):
        yield f"the gateway listens on {server.host} without api_keys; set GATEWAY_API_KEY or server.api_keys"
    if server.cors is not None and EVERY in server.cors.origins and not server.api_keys:
        yield (
            "server.cors allows pages of every site, but without a configured key the gateway still refuses them; "
            "name their origins or set GATEWAY_API_KEY"
        )
    for one in providers.values():
        if one.base_url.startswith("http:") and one.headers and not scalars.is_own_host(one.base_url):
            yield f'provider "{one.name}" sends its key over plain http; use https'


def unable(directory: Directory) -> Iterator[str]:
    """Yield warnings about roles that none of their models can fill."""
    for route in directory.routes.values():
        missing = [one.upstream.ability.lacks & route.needs for one in route.candidates]
        if missing and all(missing):
            lacking = ", ".join(sorted(frozenset[str]().union(*missing)))
            yield f"no model can serve {route.name}: all lack something that it needs ({lacking})"


def idle(directory: Directory) -> Iterator[str]:
    """Yield warnings about arms of experiments whose own models cannot be used."""
    for experiment in directory.experiments.values():
        usual = {one.identity for one in directory.routes[experiment.on].candidates}
        for arm in (*experiment.arms, *((experiment.mirror,) if experiment.mirror is not None else ())):
            if arm.target and all(one.identity in usual for one in arm.route.candidates):
                reasons = "; ".join(f"{one.upstream_id}: {one.reason}" for one in arm.route.rejected)
                name = f"{experiment.name}/{arm.name}"
                yield f"no model of the experiment's arm {quoted(name)} can be used ({reasons})"
