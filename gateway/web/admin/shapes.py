"""The bodies, queries and answers of the admin API. Their docstrings and types are the document's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.stores.overlay import Line  # noqa: TC001  # msgspec reads the annotations
from gateway.web.admin.table import Strict

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=10_000)]


# -- bodies and queries


class Rename(Strict, frozen=True, kw_only=True):
    """Where a name goes."""

    to: Name


class Wish(Strict, frozen=True, kw_only=True):
    """One edit: the value that the merged configuration is to have at a path. null: the path is to be absent."""

    path: Name
    value: Any = None


class Edits(Strict, frozen=True, kw_only=True):
    """Edits that are made together or not at all."""

    changes: Annotated[list[Wish], Meta(min_length=1, max_length=1000)]


class Reverts(Strict, frozen=True, kw_only=True):
    """Paths of which gateway.yaml is to count again. `all`: every change, even if the overlay cannot be read."""

    paths: tuple[Name, ...] = ()
    all: bool = False


class NewKey(Strict, frozen=True, kw_only=True):
    """A virtual key. Its secret is in the answer, once."""

    name: Annotated[str, Meta(max_length=64)] = ""
    routes: tuple[str, ...] = ()
    budget_usd: str | float | None = None
    window: Literal["hour", "day", "week", "month", "lifetime"] = "month"
    rpm: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    tpm: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    streams: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    expires: str | None = None
    labels: tuple[str, ...] = ()
    admin: bool = False


class Switch(Strict, frozen=True, kw_only=True):
    """What is switched, and where to. `call`: ask for one tiny answer too. `force`: switch although a check fails."""

    name: Name
    to: Name
    call: bool = False
    force: bool = False


class ConfigQuery(Strict, frozen=True, kw_only=True):
    """`layer`: both files merged, gateway.yaml alone, or the overlay alone."""

    layer: Literal["merged", "file", "overlay"] = "merged"


class LimitQuery(Strict, frozen=True, kw_only=True):
    """`limit`: how many, the newest first."""

    limit: Limit = 50


class CallsQuery(Strict, frozen=True, kw_only=True):
    """Filters of attempts: each is a value to be equal to."""

    limit: Limit = 50
    provider: str | None = None
    model: str | None = None
    route: str | None = None
    key: str | None = None


class UsageQuery(Strict, frozen=True, kw_only=True):
    """`by`: comma-separated, of hour, day, key, role, route, endpoint, provider, model, arm, and what `ledger.record`
    lists. Times: 7d, today, 2026-11-01."""

    by: str = "model"
    since: str = "30d"
    until: str | None = None


class PeriodQuery(Strict, frozen=True, kw_only=True):
    """A period. Times: 7d, today, 2026-11-01."""

    since: str = "30d"
    until: str | None = None


class ModelsQuery(Strict, frozen=True, kw_only=True):
    """Filters of models. `needs`: capabilities, comma-separated. `pool`: the configuration's, or providers' lists.

    `ending`: only those that their provider is going to retire, or no longer lists.
    """

    search: str = ""
    provider: str = ""
    free: bool = False
    needs: str = ""
    pool: Literal["curated", "discovered"] | None = None
    ending: bool = False


class ProviderQuery(Strict, frozen=True, kw_only=True):
    """`provider`: the name of one."""

    provider: Name


class PlanQuery(Strict, frozen=True, kw_only=True):
    """A call that is imagined: a name, what it needs, and how long it is."""

    model: Name
    needs: str = ""
    order: str = ""
    tokens: str = "0"
    max_tokens: str = "0"


# -- answers


class Named(msgspec.Struct, kw_only=True, frozen=True):
    """A value of the configuration. Secrets are masked; references to variables stay."""

    name: str
    value: Any
    set_in: Literal["file", "run_time", "both"]


class NamedList(msgspec.Struct, kw_only=True, frozen=True):
    """Values of one section."""

    data: list[Named]
    version: str
    object: Literal["list"] = "list"


class Whole(msgspec.Struct, kw_only=True, frozen=True):
    """A section that is changed as a whole."""

    value: Any
    set_in: Literal["file", "run_time", "both"]
    version: str


class Place(msgspec.Struct, kw_only=True, frozen=True):
    """A place that sets a parameter."""

    level: str
    path: str
    file: str
    line: int


class Parameter(msgspec.Struct, kw_only=True, frozen=True):
    """An effective parameter."""

    verb: Literal["default", "force", "drop", "rename", "clamp"]
    field: str
    value: Any
    origins: list[Place]


class OfCandidate(msgspec.Struct, kw_only=True, frozen=True):
    """The parameters of one candidate."""

    upstream: str
    label: str
    via: list[str]
    params: list[Parameter]


class Traced(msgspec.Struct, kw_only=True, frozen=True):
    """The effective parameters of a name."""

    name: str
    preset: str
    candidates: list[OfCandidate]
    version: str


class Flaw(msgspec.Struct, kw_only=True, frozen=True):
    """A mistake that a change would bring."""

    path: str
    message: str


class Changed(msgspec.Struct, kw_only=True, frozen=True):
    """A change. `in_use`: new calls use it. `breaks`: what has no upstream because of it."""

    version: str
    stored: bool
    in_use: bool
    diff: str
    breaks: list[str]
    problems: list[Flaw]
    note: str = ""


class CheckInfo(msgspec.Struct, kw_only=True, frozen=True):
    """One check of a switch. `ok` is null if it cannot be told, or is only worth knowing."""

    step: Literal["key", "reachable", "key_accepted", "listed", "capabilities", "context", "price", "call"]
    ok: bool | None
    detail: str


class Switched(Changed, kw_only=True, frozen=True):
    """A switch, with its checks. `before`, `after`: the upstreams that come first."""

    ok: bool
    before: str
    after: str
    steps: list[CheckInfo]


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """One entry of the overlay. null: it removes what gateway.yaml has there."""

    path: str
    value: Any


class Configuration(msgspec.Struct, kw_only=True, frozen=True):
    """The configuration as it is written."""

    source: str
    version: str
    running_version: int
    layer: str
    value: Any
    error: str = ""
    waits: list[str] = []


class Difference(msgspec.Struct, kw_only=True, frozen=True):
    """What the overlay changes."""

    version: str
    entries: list[Entry]
    diff: str
    warnings: list[str]


class Text(msgspec.Struct, kw_only=True, frozen=True):
    """A gateway.yaml with all changes in it."""

    version: str
    yaml: str


class History(msgspec.Struct, kw_only=True, frozen=True):
    """Changes, the newest first."""

    data: list[Line]
    object: Literal["list"] = "list"


class Reloaded(msgspec.Struct, kw_only=True, frozen=True):
    """The result of a reading of the configuration."""

    version: int
    error: str
    waits: list[str]
    done: bool


class FieldInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A setting that a kind of provider has."""

    key: str
    label: str
    hint: str
    sensitive: bool
    required: bool


class KindInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A kind of provider."""

    kind: str
    base_url: str
    key_variables: list[str]
    key_required: bool
    free: Literal["models", "plan", "local"] | None
    """What can be free of charge there: models by their names, a plan of the key, or the server is a local one."""
    fields: list[FieldInfo]
    guide: list[str]
    """Steps that lead to what the fields ask for."""


class KindList(msgspec.Struct, kw_only=True, frozen=True):
    """All kinds of providers."""

    data: list[KindInfo]
    object: Literal["list"] = "list"


class ProviderInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A provider: what is configured, and how it is. `unusable`: why it gets no calls."""

    name: str
    kind: str
    base_url: str
    enabled: bool
    configured: bool
    unusable: str | None
    has_api_key: bool
    local: bool
    fields: list[FieldInfo]
    value: Any
    set_in: Literal["file", "run_time", "both", "built_in"]
    models_known: int
    refreshed_at: float | None
    refresh_error: str | None
    upstreams: list[UpstreamInfo]


class UpstreamInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What past calls tell about one model at one provider."""

    upstream: str
    breaker: str
    success: float
    first_token_s: float | None
    in_flight: int
    usable_in_s: float
    last_error: str | None


class ProviderList(msgspec.Struct, kw_only=True, frozen=True):
    """All providers."""

    data: list[ProviderInfo]
    version: str
    object: Literal["list"] = "list"


class UpstreamList(msgspec.Struct, kw_only=True, frozen=True):
    """The facts about upstreams."""

    data: list[UpstreamInfo]
    object: Literal["list"] = "list"


class StepInfo(msgspec.Struct, kw_only=True, frozen=True):
    """One step of a test. `ok` is null if the step cannot be told."""

    step: Literal["key", "reachable", "key_accepted", "models"]
    ok: bool | None
    detail: str


class TestInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A test of a provider. It costs nothing: no model is called."""

    provider: str
    ok: bool
    steps: list[StepInfo]
    models: list[str]
    latency_ms: int


class OptionInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A provider that can be chosen, with the settings that a form shows."""

    id: str
    name: str
    description: str
    fields: list[FieldInfo]


class ChoiceInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The provider that is chosen: the default provider. `configured`: it can serve calls."""

    provider: str | None
    base_url: str
    has_api_key: bool
    model_override: str | None
    configured: bool
    available_providers: list[OptionInfo]


class Chosen(msgspec.Struct, kw_only=True, frozen=True):
    """A provider is chosen. `ok`: new calls use it."""

    ok: bool
    provider: str
    configured: bool
    message: str


class Listed(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The models of a provider, or why it cannot be asked for them."""

    ok: bool
    provider: str | msgspec.UnsetType = msgspec.UNSET
    models: list[str] | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET


class Status(msgspec.Struct, kw_only=True, frozen=True):
    """It is done."""

    status: Literal["ok"] = "ok"


class EndingInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The end of a model at one provider. `is_gone`: the provider's list lacks the model since `at`.

    Otherwise the provider stops to serve it at `at`; null: a table of prices marks it as deprecated (`marked_by`).
    `words`: the same for people.
    """

    upstream: str
    is_gone: bool
    at: float | None
    replacement: str | None
    marked_by: str | None
    words: str


class ModelInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A model at all its providers."""

    model: str
    display_name: str
    capabilities: list[str]
    context_tokens: int | None
    max_output_tokens: int | None
    input_nanousd_per_mtok: int | None
    output_nanousd_per_mtok: int | None
    free: bool
    upstreams: list[str]
    used_by: list[str]
    source: str
    refreshed_at: float | None
    error: str | None
    endings: list[EndingInfo]


class ModelPools(msgspec.Struct, kw_only=True, frozen=True):
    """The models of the configuration, those of providers' lists, and when each list was read."""

    curated: list[ModelInfo]
    discovered: list[ModelInfo]
    refreshed: dict[str, RefreshInfo]


class RefreshInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The last request for a provider's list of models."""

    at: float
    error: str | None
    count: int


class Refreshed(msgspec.Struct, kw_only=True, frozen=True):
    """The providers' lists after a refresh."""

    refreshed: dict[str, RefreshInfo]


class KeyInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A virtual key. `secret` is there once: in the answer that creates the key."""

    id: str
    name: str
    state: str
    hint: str
    routes: list[str]
    budget_nanousd: int | None
    window: str
    rpm: int | None
    tpm: int | None
    streams: int | None
    expires_at: float | None
    created_at: float
    labels: list[str]
    admin: bool
    secret: str | None = None
    stored: bool = True


class KeyList(msgspec.Struct, kw_only=True, frozen=True):
    """All virtual keys, the oldest first."""

    data: list[KeyInfo]
    object: Literal["list"] = "list"


class Records(msgspec.Struct, kw_only=True, frozen=True):
    """Records of the ledger."""

    data: list[dict[str, Any]]
    object: Literal["list"] = "list"


class CallRecords(msgspec.Struct, kw_only=True, frozen=True):
    """The attempts of one call. `plan`: as it was when the call was made; null: it is not kept, and `why_no_plan`."""

    data: list[dict[str, Any]]
    plan: dict[str, Any] | None
    why_no_plan: str
    object: Literal["list"] = "list"


class Cancelled(msgspec.Struct, kw_only=True, frozen=True):
    """The attempts that were cancelled, by their names in the ledger."""

    cancelled: list[str]


class QuotaInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What is left of one limit."""

    of: str
    unit: str
    left: float
    limit: float | None
    resets_in_s: float


class StandingInfo(msgspec.Struct, kw_only=True, frozen=True):
    """How a provider is. `reachable`: null if nothing has been heard yet. `breakers`: those that are not closed."""

    name: str
    reachable: bool | None
    key: str
    first_token_s: float | None
    error_share: float
    breakers: dict[str, str]
    quota: list[QuotaInfo]
    last_error: str
    last_check_at: float | None


class RoleInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Who serves a role now, who would be next, and why others would not."""

    role: str
    serves: str | None
    then: list[str]
    why: str


class Standings(msgspec.Struct, kw_only=True, frozen=True):
    """How all providers are, and who serves each role, as the worker that answers knows it."""

    providers: list[StandingInfo]
    roles: list[RoleInfo]


class Free(msgspec.Struct, kw_only=True, frozen=True):
    """The plan of an imagined call, as `gateway explain` shows it."""

    plan: dict[str, Any]


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """Sums over the attempts of a period, in groups."""

    since: int
    by: list[str]
    groups: list[dict[str, Any]]
    total: dict[str, Any]
