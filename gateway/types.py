"""The nouns. All are frozen; nothing here does I/O.

What the configuration resolves to is a dataclass. What is made anew for every request (`Call`, `Plan`, `Attempt`) is
a `msgspec.Struct`, because a frozen dataclass costs 0.1 us per field to make and a struct a tenth of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

Header = tuple[bytes, bytes]
"""One HTTP field line: lower-case name and value, as they go over the wire."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The five timers of a call, in seconds. All but `total_s` restart with each attempt."""

    connect_s: float = 5.0
    first_byte_s: float = 30.0
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0
    shortest_s: float = field(init=False, compare=False, repr=False)
    """The shortest of the three that run while an answer is waited for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shortest_s", min(self.first_byte_s, self.first_token_s, self.idle_s))


class LimitScope(StrEnum):
    """What a provider counts its limits by."""

    MODEL = "model"
    ACCOUNT = "account"
    FREE_ACCOUNT = "free_account"
    """One allowance for all free models together, no matter which (OpenRouter); paid ones each by themselves."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An authenticated endpoint that serves models."""

    name: str
    kind: str
    base_url: str
    """Without a trailing slash: `https://api.openai.com/v1`."""
    headers: tuple[Header, ...] = field(default=(), repr=False)
    """Credentials and static headers, sent with every request. Secret."""
    query: str = ""
    """Appended to every URL, without `?`: Azure's `api-version=2024-10-21`."""
    timeouts: Timeouts = Timeouts()
    local: bool = False
    """The server runs on this machine or network and its use costs nothing."""
    stream_usage: bool = False
    """Streams carry usage only when asked by `stream_options.include_usage`, and asking is understood."""
    strict_max_tokens: bool = False
    """A call is refused if `max_tokens` is more than the model writes, or than its context has room for."""
    model_override: str | None = None
    """The one model this endpoint serves, whatever the client called it (RunPod)."""
    limit_scope: LimitScope = LimitScope.MODEL
    probe: bool = True
    """Its health may be asked after in the background."""
    discover: bool = True
    """Its list of models may be asked for in the background."""
    models: tuple[str, ...] = ()
    """Models it is known to serve: configured, or found when it was detected."""
    admin_key: str = field(default="", repr=False)
    """May read what the provider bills; never sent with a call. Secret."""
    unusable: str | None = None
    """Why it is not a candidate (no key, disabled), or None."""


class Capability(StrEnum):
    """What a call may need of a model."""

    TOOLS = "tools"
    VISION = "vision"
    AUDIO = "audio"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    EMBEDDINGS = "embeddings"
    STREAMING = "streaming"


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices that hold for the whole call once its prompt is longer than `above` tokens. None: as below it."""

    above: int
    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in nano-USD per million tokens (50_000_000 is 5 cents). None: not known.

    What is not known of a part (cache, sound, pictures) is charged like the whole it belongs to, and the cost is then
    an estimate. Thinking without a price of its own is output like any other.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    """Into a cache that keeps five minutes, or as long as there is no choice about."""
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    cached_audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    request: int = 0
    """In nano-USD for each call."""
    image: int = 0
    """In nano-USD for each picture made."""
    web_search: int = 0
    """In nano-USD for each search the provider made."""
    audio_hour: int = 0
    """In nano-USD for each hour of sound heard: prices per second and minute are whole by the hour."""
    least_audio_ms: int = 0
    """Shorter sound is charged as so much: 10 seconds at Groq."""
    characters: int = 0
    """In nano-USD per million characters that are read out."""
    tiers: tuple[Tier, ...] = ()
    """The shortest first."""
    hours: tuple[Hours, ...] = ()
    """When something else holds; the first that fits decides. `pricing.price_at` looks."""
    source: str = field(default="", compare=False)
    """Who says so: `config`, `list` (the provider's own), `genai-prices 0.2.3`, `curated`."""
    is_nothing: bool = field(init=False, compare=False, repr=False)
    """Every unit is known to cost nothing, at any length and any hour: the model is free."""

    def __post_init__(self) -> None:
        # By all fields, so that a unit which is added one day is no gift until somebody thinks of it here.
        amounts = [getattr(self, one.name) for one in fields(self) if one.init and one.name not in _NO_AMOUNTS]
        nothing = not any(amounts) and all(map(_costs_nothing, self.tiers))
        object.__setattr__(self, "is_nothing", nothing and all(one.price.is_nothing for one in self.hours))

    @property
    def blended(self) -> int:
        """One number to compare by, in nano-USD per million tokens.

        It is that of a call which reads 3000 tokens and writes 1000: most read about three times what they write. What
        is charged by the call, picture, minute of sound or thousand characters is charged once in it.
        """
        tokens = (3 * self.input + self.output) // 4
        once = self.request + self.image + self.audio_hour // 60 + self.characters // 1000
        return tokens + once * 250 if once else tokens


_NO_AMOUNTS = frozenset({"least_audio_ms", "tiers", "hours", "source"})


def _costs_nothing(tier: Tier) -> bool:
    return not (tier.input or tier.output or tier.cached_input or tier.cache_write)


@dataclass(frozen=True, slots=True)
class Hours:
    """A price that holds at some hours of every day, UTC."""

    since_s: int
    """Seconds after midnight."""
    until_s: int
    """Seconds after midnight, not included. Before `since_s`: on the next day."""
    price: Price
    """All of it, without hours of its own."""

    def hold_at(self, wall: float) -> bool:
        """Tell whether it is one of these hours at `wall`, in wall-clock seconds."""
        second = wall % 86_400
        if self.since_s <= self.until_s:
            return self.since_s <= second < self.until_s
        return second >= self.since_s or second < self.until_s


@dataclass(frozen=True, slots=True)
class Ability:
    """What is known of a model. What is not known counts neither for nor against it."""

    has: frozenset[Capability] = frozenset()
    lacks: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    free: bool = False
    """Its use costs nothing: local, or a provider's free allowance."""
    strength: int | None = None
    """How hard a task it is good for, 0 to 100, by family and size. Only `auto` asks."""


def _seed_of(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One model at one provider."""

    provider: Provider
    model: str
    """As the provider knows it."""
    ability: Ability = field(default_factory=Ability, compare=False)
    id: str = field(init=False, compare=False)
    """`provider/model`, the name in configuration, logs, metrics and headers."""
    domain: str = field(init=False, compare=False)
    """What its rate limits are counted by: the account, the account's free allowance, or the model in it."""
    account: str = field(init=False, compare=False)
    """What concerns all of the account is remembered under this: the provider's name, or for the models that it
    serves without credit another."""
    seed: int = field(init=False, compare=False, repr=False)
    """A hash of `id`, the same in every process: what spreads callers over upstreams."""

    def __post_init__(self) -> None:
        name = f"{self.provider.name}/{self.model}"
        object.__setattr__(self, "id", name)
        object.__setattr__(self, "seed", _seed_of(name))
        scope = self.provider.limit_scope
        shared = scope is LimitScope.ACCOUNT or (scope is LimitScope.FREE_ACCOUNT and self.ability.free)
        domain = name if not shared else self.provider.name
        object.__setattr__(self, "domain", f"{domain}:free" if shared and self.ability.free else domain)
        needs_credit = scope is not LimitScope.FREE_ACCOUNT or not self.ability.free
        object.__setattr__(self, "account", self.provider.name if needs_credit else unpaid(self.provider.name))

    def __repr__(self) -> str:
        return f"<Upstream {self.id}>"


def unpaid(provider: str) -> str:
    """Return what is remembered of a provider's account as far as it serves models without credit."""
    return f"{provider}:unpaid"


@dataclass(frozen=True, slots=True)
class Params:
    """Request parameters that configuration adds to a call. Values are JSON, encoded once at load time."""

    defaults: Mapping[str, bytes] = field(default_factory=dict)
    """Added where the client did not say."""
    forced: Mapping[str, bytes] = field(default_factory=dict)
    """Put in the place of whatever the client said."""

    def __bool__(self) -> bool:
        return bool(self.defaults or self.forced)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream as one route uses it."""

    upstream: Upstream
    params: Params = Params()
    weight: float = 1.0
    """Its share where the order is `weighted`."""
    rank: int = 0
    """Whatever the order, those of a lower rank come first: a fallback is no equal."""
    via: tuple[str, ...] = field(default=(), compare=False)
    """The names that led to it, the outermost first: `("role:rlm", "careful", "main")`."""
    label: str = field(default="", compare=False)
    """Its name in logs, metrics and plans: the upstream's id, with `#name` where a route has that upstream twice."""

    seed: int = field(init=False, compare=False, repr=False)
    """A hash of `label`, the same in every process: what spreads callers over candidates."""

    def __post_init__(self) -> None:
        upstream, label = self.upstream, self.label or self.upstream.id
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "seed", upstream.seed if label == upstream.id else _seed_of(label))

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it another candidate than its neighbours: the upstream, and the parameters it is asked with."""
        params = self.params
        return self.upstream.id, frozenset(params.defaults.items()), frozenset(params.forced.items())


@dataclass(frozen=True, slots=True)
class Rejected:
    """An upstream that a route names but will not use, and why."""

    upstream_id: str
    reason: str
    brief: str = field(default="", compare=False)
    """The reason in a few words of our own: `ejected (server_error)`. Empty: the reason itself has no others."""
    context_tokens: int | None = None
    """How long its context is, if the reason is that the prompt is longer; None for any other reason."""


class RouteKind(StrEnum):
    """What a name turned out to be."""

    ROLE = "role"
    ALIAS = "alias"
    AUTO = "auto"
    """Built in: everything that is configured, in an order that has a name."""
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which answers of a route are kept, for how long and for whom."""

    ttl_s: float
    """How long an answer is served again."""
    shared: bool = False
    """Every key is served what was answered to any of them."""
    nondeterministic: bool = False
    """Also answers that would be different each time."""
    max_entry_bytes: int = 1024 * 1024
    """A longer answer is not kept."""


@dataclass(frozen=True, slots=True)
class Route:
    """A role, alias or model name after resolution."""

    name: str
    kind: RouteKind
    candidates: tuple[Candidate, ...]
    """In the order of preference. Empty when every upstream it names is unusable."""
    rejected: tuple[Rejected, ...] = ()
    order: tuple[str, ...] = ("listed",)
    """Policies, the first one first."""
    needs: frozenset[Capability] = frozenset()
    """What every call to it needs, whatever its body says."""
    max_price: int | None = None
    """The dearest upstream it may use, as a blended price in nano-USD per million tokens."""
    fails_over_on_policy: bool = False
    """A refusal for the content's sake may be asked of another model."""
    patience_s: float = 0.0
    """How long a call may wait for the first choice before another is asked. 0: not at all."""
    cache: CachePolicy | None = None
    """None: no answer is kept."""
    configured: bool = True
    """False for a name that is only in the request, which therefore never becomes a metric label."""
    label: str = field(init=False, compare=False, repr=False)
    """The name as a metric label: bounded by the configuration."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.name if self.configured else "other")


class BodyKind(StrEnum):
    """How the request of an endpoint is encoded."""

    JSON = "json"
    MULTIPART = "multipart"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API, the same for every provider that speaks the dialect."""

    name: str
    """As a metric label: `chat`, `embeddings`."""
    path: str
    """Below the base URL on both sides: `/chat/completions`."""
    dialect: str
    """The name of the dialect whose operation it is (`dialects.endpoints`)."""
    body: BodyKind = BodyKind.JSON
    embeds: bool = False
    """Only models that make embeddings can carry it out."""
    usage_on_request: bool = False
    """Streams of this endpoint know `stream_options.include_usage`."""
    generates: bool = False
    """A plain answer begins only when all of it has been generated, so its first byte may be minutes away."""
    default_model: str = ""
    """The name that a call asks for which names no model, if the API says that it need not. Resolved like any name."""
    answers_json: bool = True
    """A plain success that is not JSON is a broken answer. False where it may be audio or subtitles."""
    repeatable: bool = True
    """False: a request that went out and brought no answer may have been carried out and charged, or have left
    something behind, so it is not sent to the same upstream a second time."""


class RestOfForm(Protocol):
    """Judges what is still to come of a form on its way through."""

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece, and return what may go on.

        Raises:
            BadRequest: nothing may go on any more.
        """

    def end(self) -> bytes:
        """It is over: return what was still kept back.

        Raises:
            BadRequest: it is not whole.
        """


class Call(msgspec.Struct, frozen=True, gc=False):
    """What the client asked for."""

    endpoint: Endpoint
    model: str
    body: bytes
    model_span: tuple[int, int]
    """Where the value of `model` stands in `body`: of JSON with its quotes, of a form without anything around it."""
    fields: Mapping[str, object] = {}  # msgspec makes a new one for each
    """The top-level fields of a JSON body, their values unread."""
    stream: bool = False
    wants_usage: bool = False
    """The client itself asked for the usage event of a stream."""
    content_type: bytes = b"application/json"
    rest_bytes: int | None = 0
    """How much of the request body is still to come after `body`, of a form too large to keep; None: not known."""
    rest: RestOfForm | None = None
    """What that has to pass through."""
    needs: Needs | None = None
    """What a large body needs, which was found out with it; of a small one it is found out when it is asked for."""

    def __repr__(self) -> str:
        return f"<Call {self.endpoint.name} {self.model!r} {len(self.body)} bytes{', stream' if self.stream else ''}>"


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one answer took, as the provider counted it. Parts are contained in their whole.

    The same meaning for every provider, however it counts: providers.md part C says how each does.
    """

    input_tokens: int = 0
    """All that was read: from the cache, into the cache, and neither."""
    output_tokens: int = 0
    """All that was written, thinking included."""
    cached_tokens: int = 0
    """Of the input, read from the provider's cache."""
    reasoning_tokens: int = 0
    """Of the output."""
    cache_write_tokens: int = 0
    """Of the input, written to the cache; those for an hour not included."""
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    """Pictures made."""
    web_searches: int = 0
    audio_ms: int = 0
    """Sound that was heard, in milliseconds."""
    characters: int = 0
    """Text that was read out."""
    cost_nanousd: int | None = None
    """What the provider says that it charges."""
    service_tier: str = ""
    """As the provider says that it served it: `flex`, `priority`, `batch`; empty for the usual."""
    is_suspect: bool = False
    """Something in it was absurd and has been clamped."""


class CostSource(StrEnum):
    """Where a cost comes from, the most trusted first."""

    PROVIDER = "provider_reported"
    COMPUTED = "computed"
    """From the provider's usage and a price."""
    ESTIMATED = "estimated"
    """The answer broke off, or parts of the price are not known."""
    FREE = "free"
    UNKNOWN = "unknown"
    """There is no price; the cost is null."""


class Window(StrEnum):
    """How long a budget lasts. Windows begin at midnight UTC, weeks on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


class Scope(StrEnum):
    """What a budget is for."""

    TOTAL = "total"
    KEY = "key"
    ROLE = "role"
    PROVIDER = "provider"
    MODEL = "model"
    LABEL = "label"


class OnUnknown(StrEnum):
    """What a budget does while nobody can tell what has been spent, and with calls whose price is not known."""

    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent on what, and what follows."""

    scope: Scope
    limit_nanousd: int
    window: Window
    name: str = ""
    """The key, role, provider, upstream or label (`team=search`) it is for; empty: each of them has it."""
    alert_at: tuple[float, ...] = ()
    """Shares of the limit, ascending, at which somebody is told."""
    downgrade: bool = False
    """When it is spent only free upstreams are used, instead of none."""
    to: str = ""
    """With `downgrade`: the route that takes the call instead, whatever it costs."""
    on_unknown: OnUnknown = OnUnknown.ALLOW
    webhook: str = ""
    """Where alerts are posted."""


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What one call would take of one limited amount: of a budget, or of a key's requests, tokens or streams."""

    account: str
    """What is counted, with its window's kind: `budget:total:day`, `budget:role:rlm:month`."""
    window_start: int
    """Wall-clock seconds. With the account it names the counter."""
    resets_at: float
    """Wall-clock seconds; infinite for what lasts for ever."""
    limit: int
    amount: int
    """The most it may come to, held until it is known: nano-USD, or a count."""
    what: str
    """For people: `the budget of $20 a day`, `60 requests a minute of key "ci"`."""
    is_concurrency: bool = False
    """It only counts while it is held: streams at once."""


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A virtual key, without the secret: that is shown once and kept by nobody."""

    id: str
    """`key_` and twelve hexadecimal digits. Empty for the keys of the configuration and for callers without one."""
    name: str = ""
    digest: bytes = b""
    """SHA-256 of the secret. It is no credential."""
    hint: str = ""
    """The last four characters of the secret, to tell keys apart by."""
    routes: tuple[str, ...] = ()
    """Patterns (`role:*`, `openai/gpt-*`) of what it may ask for, as written in `model`. Empty: anything."""
    budget_nanousd: int | None = None
    budget_window: Window = Window.MONTH
    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    max_streams: int | None = None
    """Calls under way at once."""
    expires_at: float | None = None
    """Wall-clock seconds."""
    revoked_at: float | None = None
    created_at: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()
    may_admin: bool = False
    """It may see and change what concerns everybody, and makes no calls; the configuration's own keys do both."""


class Blame(StrEnum):
    """Whose doing an outcome is. Only `UPSTREAM` counts against an upstream's health."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"
    """Ours to mend: a bad key, no credit, a model that the provider does not have."""
    NOBODY = "nobody"


class About(StrEnum):
    """What a refusal or failure is about. Only this decides what is set aside, and for whom (`core.facts`)."""

    CALL = "call"
    """This call: its size, its content, its parameters. Nothing is set aside; another upstream may take it."""
    MODEL = "model"
    """This model at this provider: missing, retired, not allowed. The upstream is set aside."""
    ALLOWANCE = "allowance"
    """A rate limit or a quota. All upstreams that share the limit are set aside."""
    CREDIT = "credit"
    """The account's money. All its upstreams that need money are set aside."""
    ACCOUNT = "account"
    """The account itself: its key, or its right to be served. All its upstreams are set aside."""
    PROVIDER = "provider"
    """The upstream as a whole. It counts against the upstream's health; the breaker decides."""
    CLOCK = "clock"
    """The deadline that we gave the whole call. Nothing is set aside."""
    NOBODY = "nobody"


class Then(StrEnum):
    """What an outcome asks for."""

    RELAY = "relay"
    AGAIN = "again"
    """The same upstream once more, on a fresh connection."""
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of an attempt, said once: there is one object for each (`core.outcome`), compared by identity."""

    name: str
    """As a metric label and in the ledger."""
    blame: Blame
    then: Then
    about: About
    aside_s: float = 0.0
    """For how long what it is about is set aside, where the refusal itself does not say."""
    sent: bool = True
    """False: no request went out, because no connection was made or because the attempt was not made at all."""

    @property
    def was_made(self) -> bool:
        """False for an attempt that a budget prevented; it uses up none of `max_attempts`."""
        return self.sent or self.about is About.PROVIDER


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """An error body in any of the shapes providers use, read into one."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    per_day: bool = False
    """It says that a daily quota is used up (Gemini's `quotaId`, Groq's "requests per day (RPD)")."""
    retry_after_s: float | None = None
    """When to come back, if the body says so (Gemini's `retryDelay`, "try again in 20ms")."""
    param: str | None = None
    """The request field that is complained of (OpenAI's `param`)."""
    behind: str | None = None
    """The provider behind this provider whose refusal it is (OpenRouter's `metadata.provider_name`)."""
    flagged: bool = False
    """Its fields say that the content was refused (OpenRouter's `metadata.reasons`, Azure's content filter)."""
    page: bool = False
    """It is no error of an API but a web page or nothing: something in front of the API may have answered."""
    headers: tuple[Header, ...] = ()
    """Header lines that the body repeats (OpenRouter's `metadata.headers`)."""
    resets_at: float | None = None
    """When the limit ends, in wall-clock seconds, if the body names a date."""
    until_midnight: bool = False
    """The quota it speaks of is renewed at 00:00 UTC."""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One request to one upstream, after it ended or was committed to."""

    candidate: Candidate
    outcome: Outcome
    status: int | None = None
    """HTTP status of the answer; None if there was none."""
    message: str = ""
    """What the upstream or the socket said, for people."""
    retry_after_s: float | None = None
    first_byte_s: float | None = None
    """From the start of the attempt, in seconds."""
    first_token_s: float | None = None
    duration_s: float = 0.0
    ended_at: float = 0.0
    """On the monotonic clock."""
    limits: tuple[Header, ...] = ()
    """Header lines about limits that stood in the body of a refusal."""


class Needs(msgspec.Struct, frozen=True, gc=False):
    """What one call asks of an upstream, read from its body."""

    capabilities: frozenset[Capability] = frozenset()
    input_tokens: int = 0
    """An estimate: there is no tokenizer for every model, and admission needs none."""
    output_tokens: int = 0
    """What the client allows at most, 0 if it does not say."""


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What will be tried for a call, in order, and until when."""

    order: tuple[Candidate, ...]
    """Whom to try, the ones that are ready first."""
    max_attempts: int
    deadline: float
    """On the monotonic clock, like `ready_at`."""
    ready_at: tuple[float, ...] = ()
    """When each of `order` may be tried, where some have to be waited for; empty if all are ready."""
    rejected: tuple[Rejected, ...] = ()
    """Who will not be tried, and why."""
    reasons: tuple[str, ...] = ()
    """Why each of `order` stands where it stands, if somebody asked."""
    retries: int = 0
    """How often the same upstream may be tried again, when nobody else is left."""
    max_wait_s: float = 0.0
    """The longest pause between two attempts."""
    retry_after_s: float | None = None
    """With nobody to try: when somebody will be."""
    fails_over_on_policy: bool = False
    """A refusal for the content's sake is asked of the next one."""
    patience_s: float = 0.0
    """How long to keep to the first choice, if it says that it will be back so soon."""
    repeats: bool = True
    """The call may go to the same upstream again although it may have been carried out there."""
    hedge_after_s: float = 0.0
    """An attempt without an answer for so long is hedged: the next candidate is asked as well. 0: never."""
    resumes: bool = False
    """An answer that breaks off is continued by the next candidate."""
    seed: int = 0
    """What back-off draws from, so that a plan can be played again."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The money of one attempt that was made."""

    attempt: str
    """Its name in the ledger: `call/n`, n from 1."""
    upstream: Upstream
    began_at: float
    """Wall-clock seconds."""
    cost_nanousd: int | None
    """None: the cost is not known."""
    source: CostSource
    saved_nanousd: int = 0
    """What the same usage would have cost at the first paid model of the route, less what it did cost."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """All that an exchange came to, for every listener of the gateway: metrics, and whatever else counts calls."""

    call: Call
    route: Route
    """Where the call went in the end: a spent budget may have sent it elsewhere than asked."""
    attempts: tuple[Attempt, ...]
    status: int
    usage: Usage | None
    hung_up: bool
    duration_s: float
    overhead_s: float
    """What the gateway added: from the request's arrival to the first attempt, and from the commit to the relay."""
    cached: bool = False
    """The answer was kept from an earlier call; there were no attempts."""
    request_id: bytes = b""
    parent: str = ""
    """The request id of the call on whose behalf the gateway made this one; empty: a client made it."""
    key: Key | None = None
    plan: Plan | None = None
    """What was to be tried; None for a cached answer."""
    receipts: tuple[Receipt, ...] = ()
    """One for each attempt that was begun, in order."""
