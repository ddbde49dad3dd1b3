"""The shape of gateway.yaml, as pydantic models. Nothing imports this before a file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator

from gateway.config import notations as n  # noqa: TC001  # pydantic reads the annotations
from gateway.core.names import quoted

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    shorthand: ClassVar[str | None] = None
    """The field that a value stands for which is no mapping: `main: openai/gpt-5`."""
    shorthand_is_list: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: object) -> object:
        if value is None:
            return {}
        if cls.shorthand and isinstance(value, str):
            return {cls.shorthand: [value] if cls.shorthand_is_list else value}
        if isinstance(value, dict):  # `api_key:` with nothing behind it is not said
            return {key: inner for key, inner in value.items() if inner is not None}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long = handler.resolve_ref_schema(handler(core))
        if not cls.shorthand:
            return long
        return {"anyOf": [{"type": "string"}, long], "description": long.pop("description", "")}


class ServerTimeouts(Strict):
    """How long the gateway waits for a client."""

    header: n.Duration = Field(default=10.0, description="For the request line and headers.")
    body: n.Duration = Field(default=60.0, description="For the request body.")
    write: n.Duration = Field(default=60.0, description="For a client that does not read its answer.")


class Cors(Strict):
    """Which pages of other sites may call the gateway from a browser. Off unless origins are named."""

    origins: n.Origins = Field(
        default=[],
        description="The sites, as browsers name them; https://*.example.com is any subdomain, http://localhost:* any "
        "port, * every site.",
        examples=[["https://app.example.com", "http://localhost:3000"]],
    )
    credentials: n.Flag = Field(
        default=False, description="Pages may send cookies along. The gateway reads none; a proxy before it may."
    )
    max_age: n.Duration = Field(default=600.0, description="How long a browser may remember a preflight.")

    @model_validator(mode="after")
    def _not_everybody_with_credentials(self) -> Cors:
        if self.credentials and "*" in self.origins:
            raise ValueError("credentials cannot be allowed to every site; name the origins, or leave them out")
        return self


class Server(Strict):
    """Where and how the gateway listens. A change of host, port or workers needs a restart."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="The address to bind. Beyond loopback, set api_keys. GATEWAY_HOST wins.",
        examples=["0.0.0.0"],
    )
    port: n.Whole = Field(default=8400, ge=0, le=65535, description="The port to bind. GATEWAY_PORT wins.")
    workers: n.Whole = Field(default=1, ge=1, le=256, description="How many processes serve.")
    api_keys: list[str] = Field(
        default=[],
        description="The keys that clients may present, 16 characters or more. Empty entries are dropped. "
        "GATEWAY_API_KEY is added.",
        examples=[["${GATEWAY_API_KEY:-}"]],
    )
    max_body: n.Size = Field(default=32 * 1024 * 1024, description="How much of a request body is held in memory.")
    timeouts: ServerTimeouts = Field(default=ServerTimeouts(), description="How long to wait for a client.")
    drain: n.Duration = Field(default=30.0, description="How long calls in flight may go on after a stop.")
    drain_delay: n.Wait = Field(
        default=0.0,
        description="How long connections are still accepted after a stop, while /readyz answers 503. "
        "GATEWAY_DRAIN_DELAY wins.",
    )
    max_connections: n.Whole | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="The most connections of clients, in each process. By default, half of the file descriptors.",
    )
    cors: Cors = Field(default=Cors(), description="Which pages of other sites may call the gateway.")
    watch: n.Flag = Field(
        default=True,
        description="Read the configuration again when its files change. false: at SIGHUP and `gateway reload` only.",
    )


class Timeouts(Strict):
    """The timers of a call to a provider. What is left out is inherited."""

    connect: n.Duration | None = Field(default=None, description="Until the connection stands (5s).")
    first_byte: n.Duration | None = Field(default=None, description="Until the first byte of the answer (30s).")
    first_token: n.Duration | None = Field(default=None, description="Until a stream's first content (60s).")
    idle: n.Duration | None = Field(default=None, description="Between two pieces of a stream (60s).")
    total: n.Duration | None = Field(default=None, description="The whole call with all its attempts (10m).")


class Defaults(Strict):
    """What holds unless a provider, model or role says otherwise."""

    provider: str | None = Field(default=None, description="Takes a bare model id that no provider is known to list.")
    timeouts: Timeouts = Field(default=Timeouts(), description="The timers of a call.")
    max_attempts: n.Whole = Field(default=4, ge=1, le=20, description="The most upstreams tried for one call.")
    retries: n.Whole = Field(
        default=1, ge=0, le=10, description="How often one upstream is tried again for a call when no other is ready."
    )
    max_wait: n.Wait = Field(
        default=10.0, description="How long a call may wait for a rate limit to end. 0: it is refused at once."
    )
    order: n.Order = Field(
        default=["listed"], description="What candidates are sorted by, the first policy first.", examples=[["free"]]
    )
    stream_usage: n.Flag = Field(default=True, description="Ask providers for the usage of streams.")
    timezone: n.TimeZone | None = Field(
        default=None,
        description="Whose midnight begins the days, weeks and months of budgets. By default UTC.",
    )
    week_starts: n.Weekday = Field(default="monday", description="The day on which the weeks of budgets begin.")
    params: n.Params = Field(default={})


class Rates(Strict):
    """What a model costs in each unit that it charges by. USD."""

    input: n.Usd | None = Field(default=None, description="Per million tokens read.")
    output: n.Usd | None = Field(default=None, description="Per million tokens written. 0 for embeddings.")
    cached_input: n.Usd | None = Field(default=None, description="Per million tokens read from the provider's cache.")
    cache_write: n.Usd | None = Field(default=None, description="Per million tokens written to the provider's cache.")
    cache_write_1h: n.Usd | None = Field(default=None, description="Per million tokens written to it for an hour.")
    reasoning: n.Usd | None = Field(default=None, description="Per million tokens of thinking.")
    audio_input: n.Usd | None = Field(default=None, description="Per million tokens of sound read.")
    cached_audio_input: n.Usd | None = Field(default=None, description="Per million tokens of sound in the cache.")
    audio_output: n.Usd | None = Field(default=None, description="Per million tokens of sound made.")
    image_input: n.Usd | None = Field(default=None, description="Per million tokens of pictures read.")
    image_output: n.Usd | None = Field(default=None, description="Per million tokens of pictures made.")
    request: n.Usd | None = Field(default=None, description="For each call.")
    image: n.Usd | None = Field(default=None, description="For each picture made.")
    web_search: n.Usd | None = Field(default=None, description="For each search that the provider makes.")
    second: n.Usd | None = Field(default=None, description="For each second of sound that is heard.")
    minute: n.Usd | None = Field(default=None, description="For each minute of sound, instead of `second`.")
    hour: n.Usd | None = Field(default=None, description="For each hour of sound, instead of `second`.")
    minimum_seconds: n.Whole | None = Field(
        default=None, ge=1, le=3600, description="Shorter sound is charged as so many seconds."
    )
    character: n.Usd | None = Field(default=None, description="For each character that is read out.")
    million_characters: n.Usd | None = Field(default=None, description="For a million of them, instead of `character`.")

    @model_validator(mode="after")
    def _one_notation(self) -> Rates:
        for names in (("second", "minute", "hour"), ("character", "million_characters")):
            if len(said := [name for name in names if getattr(self, name) is not None]) > 1:
                raise ValueError(f"say {' or '.join(said)}, not both: they are the same price")
        return self


class PriceTier(Strict):
    """What holds for the whole call once its prompt is longer. What is left out is as for shorter ones."""

    above: n.Tokens = Field(description="Prompts of more tokens than this.")
    input: n.Usd | None = Field(default=None, description="Per million tokens read.")
    output: n.Usd | None = Field(default=None, description="Per million tokens written.")
    cached_input: n.Usd | None = Field(default=None, description="Per million tokens read from the provider's cache.")
    cache_write: n.Usd | None = Field(default=None, description="Per million tokens written to the provider's cache.")


class PriceHours(Rates):
    """What holds at some hours of every day, for calls that begin then. What is left out is as at others."""

    between: n.Hours = Field(description="From when until when, UTC; past midnight if it ends before it begins.")


class Price(Rates):
    """What a model costs, in USD: tokens by the million, and whatever else it charges by."""

    tiers: list[PriceTier] = Field(
        default=[],
        description="Other prices for long prompts.",
        examples=[[{"above": "200k", "input": 2.5, "output": 15}]],
    )
    hours: list[PriceHours] = Field(
        default=[],
        description="Other prices at some hours of the day. The first that fits counts.",
        examples=[[{"between": "16:30-00:30", "input": 0.135, "output": 0.55}]],
    )

    @model_validator(mode="after")
    def _some(self) -> Price:
        if (self.input is None) != (self.output is None):
            missing = "input" if self.input is None else "output"
            raise ValueError(f"{missing} is missing; write {missing}: 0 if that costs nothing")
        units = self.model_fields_set - {"tiers", "hours", "minimum_seconds"}
        if not units:
            raise ValueError("says nothing; write input and output, or what else costs (request, image, minute, …)")
        if len({tier.above for tier in self.tiers}) < len(self.tiers):
            raise ValueError("two tiers begin at the same length")
        return self


class Provider(Strict):
    """An endpoint that serves models."""

    kind: n.KindName | None = Field(default=None, description="What it is. By default, what its name says.")
    base_url: n.BaseUrl | None = Field(default=None, description="Where it is, up to and including /v1 or the like.")
    api_key: str | None = Field(
        default=None,
        description="The key. Left out, the usual variable of the kind is read; empty, the provider is passed over.",
        examples=["${OPENAI_API_KEY:-}"],
    )
    headers: dict[str, str] = Field(default={}, description="Static headers, sent with every request.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Timers that differ from the defaults.")
    endpoint_id: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]+$", description="The RunPod endpoint (kind runpod)."
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="The api-version query of Azure OpenAI (kind azure).",
        examples=["2024-10-21"],
    )
    model_override: str | None = Field(
        default=None, min_length=1, description="The one model it serves, whatever the client called it."
    )
    models: list[n.Name] = Field(
        default=[], description="Model ids it is known to serve; they can be asked for without the provider's name."
    )
    params: n.Params = Field(default={})
    local: n.Flag | None = Field(
        default=None, description="It runs on this machine or network and costs nothing. By default, judged by the URL."
    )
    stream_usage: n.Flag | None = Field(
        default=None, description="It understands stream_options.include_usage. By default, what the kind does."
    )
    strict_max_tokens: n.Flag | None = Field(
        default=None,
        description="It refuses a max_tokens that is more than the model writes or its context has room for, so the "
        "gateway lowers it. By default, what the kind does.",
    )
    limits: n.Scope | None = Field(
        default=None,
        description="What its rate limits are counted by: each model, the account, or (free_account) the account for "
        "all free models together and each model for the others. By default, what the kind does.",
    )
    price: Price | None = Field(default=None, description="What each of its models costs, unless an alias says more.")
    free: n.Flag | None = Field(default=None, description="Its models cost nothing, or do although they seem not to.")
    probe: n.Flag | None = Field(
        default=None, description="Ask after its health in the background. By default yes, unless that costs money."
    )
    discover: n.Flag | None = Field(
        default=None, description="Ask for its list of models now and then. By default yes, unless that costs money."
    )
    admin_key: str | None = Field(
        default=None,
        description="A key that may read what the provider bills (kinds openai, anthropic, openrouter), for `gateway "
        "usage --reconcile`. It is never sent with a call.",
        examples=["${OPENAI_ADMIN_KEY:-}"],
    )
    enabled: n.Flag = Field(default=True, description="false: it is never a candidate.")


class RouteCache(Strict):
    """Whether answers are kept and served again: true, how long, or a mapping."""

    enabled: n.Flag = Field(default=True, description="false: they are not.")
    ttl: n.Duration | None = Field(default=None, description="How long one is served again. By default cache.ttl.")
    shared: n.Flag = Field(
        default=False, description="Serve every key what was answered to any of them. By default, each its own."
    )
    nondeterministic: n.Flag = Field(
        default=False, description="Keep also answers that would be different each time (no seed, temperature not 0)."
    )
    max_entry: n.Size = Field(default=1024 * 1024, description="A longer answer is not kept.")

    @model_validator(mode="before")
    @classmethod
    def _flag_or_ttl(cls, value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
            return {"enabled": value}
        return {"ttl": value} if isinstance(value, (str, int, float)) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long = super().__get_pydantic_json_schema__(core, handler)
        short = {"type": ["boolean", "string", "number"], "examples": [True, "10m"]}
        return {"anyOf": [short, long], "description": long.pop("description", "")}


class Alias(Strict):
    """A second name for a model: `main: openai/gpt-5`, or a mapping with parameters."""

    shorthand = "model"
    model: str = Field(min_length=1, description="provider/model, another alias, or a model id some provider lists.")
    params: n.ParamsOrPreset = Field(default={})
    price: Price | None = Field(default=None, description="What the model costs, in USD per million tokens.")
    capabilities: n.Capabilities = Field(
        default=[], description="What the model can do.", examples=[["tools", "vision"]]
    )
    lacks: n.Capabilities = Field(default=[], description="What the model cannot do.", examples=[["tools"]])
    context: n.Tokens | None = Field(default=None, description="How many tokens it reads and writes at most, together.")
    max_output: n.Tokens | None = Field(default=None, description="How many tokens it writes at most.")
    free: n.Flag | None = Field(default=None, description="It costs nothing, or does although it seems not to.")
    strength: n.Whole | None = Field(
        default=None, ge=0, le=100, description="How hard a task it is good for, 0 to 100. `auto` and `strongest` ask."
    )
    patience: n.Wait | None = Field(
        default=None,
        description="How long a call may wait for the first choice, which says when it is back or is tried again once, "
        "before another is asked. By default not at all.",
        examples=["2s"],
    )
    cache: RouteCache | None = Field(default=None, description="Whether answers under this name are kept.")

    @model_validator(mode="after")
    def _not_both(self) -> Alias:
        if both := sorted(set(self.capabilities) & set(self.lacks)):
            raise ValueError(f"{quoted(both[0])} stands under capabilities and under lacks")
        return self


class Target(Strict):
    """One who may do a job: a name, or a mapping with its share."""

    shorthand = "model"
    model: str = Field(min_length=1, description="An alias, provider/model, or another role (role:NAME).")
    weight: n.Weight = Field(default=1.0, description="Its share where the order is `weighted`.")


class Role(Strict):
    """A job: a target, or a mapping with a list of them in the order of preference."""

    shorthand = "models"
    shorthand_is_list = True
    models: list[Target] = Field(
        min_length=1, description="Aliases, provider/model names or other roles (role:NAME), the preferred first."
    )
    params: n.ParamsOrPreset = Field(default={})
    needs: n.Capabilities = Field(
        default=[], description="What whoever does it must be able to do, whatever a request asks for."
    )
    order: n.Order | None = Field(
        default=None,
        description="What candidates are sorted by, the first policy first. By default, defaults.order.",
        examples=[["free", "cheapest"]],
    )
    max_price: n.Usd | None = Field(
        default=None,
        description="The dearest model it may use, in USD per million tokens: three quarters of the price of reading, "
        "one of writing.",
        examples=["$2"],
    )
    on_policy: n.OnPolicy | None = Field(
        default=None, description="What follows a refusal for the content's sake: stay (the default), or failover."
    )
    patience: n.Wait | None = Field(
        default=None,
        description="How long a call may wait for the first choice, which says when it is back or is tried again once, "
        "before another is asked. By default not at all.",
        examples=["2s"],
    )
    cache: RouteCache | None = Field(default=None, description="Whether its answers are kept.")


class _Span(Strict):
    @model_validator(mode="after")
    def _some(self) -> _Span:
        least, most = getattr(self, "min", None), getattr(self, "max", None)
        if least is None and most is None:
            raise ValueError("say min, max or both")
        if least is not None and most is not None and least > most:
            raise ValueError("min is more than max")
        return self


class TokenSpan(_Span):
    """From min to max tokens, both included."""

    min: n.Tokens | None = Field(default=None, description="At least so many.")
    max: n.Tokens | None = Field(default=None, description="At most so many.")


class ScoreSpan(_Span):
    """From min to max points, both included."""

    min: n.Whole | None = Field(default=None, ge=0, le=100, description="At least so many.")
    max: n.Whole | None = Field(default=None, ge=0, le=100, description="At most so many.")


class When(Strict):
    """What must be true of a request, all of it."""

    images: n.Flag | None = Field(default=None, description="It has images.")
    audio: n.Flag | None = Field(default=None, description="It has sound, or wants some.")
    tools: n.Flag | None = Field(default=None, description="It offers tools.")
    json_schema: n.Flag | None = Field(default=None, description="It wants an answer that follows a JSON Schema.")
    stream: n.Flag | None = Field(default=None, description="It wants a stream.")
    endpoint: n.Endpoints | None = Field(default=None, description="It comes to this endpoint, or one of these.")
    task: n.Globs | None = Field(
        default=None,
        description="Its `task`, `metadata.task` or header x-gateway-task fits this pattern, or one of these.",
    )
    user: n.Glob | None = Field(default=None, description="Its `user` fits this pattern.")
    header: dict[str, n.Glob] = Field(default={}, description="Name -> pattern that this header of it fits.")
    model: n.Glob | None = Field(default=None, description="The model it asks for, as written, fits this pattern.")
    prompt_tokens: TokenSpan | None = Field(default=None, description="So many tokens, by estimate.")
    language: n.Languages | None = Field(
        default=None, description="The script of its last message; see docs/routing.md."
    )
    complexity: ScoreSpan | None = Field(default=None, description="How hard it looks, 0 to 100; see docs/routing.md.")

    @model_validator(mode="after")
    def _some(self) -> When:
        if not self.model_fields_set:
            raise ValueError("says nothing, so the rule would hold for every request; if it should, write model: '*'")
        return self


class Rule(Strict):
    """Where a request goes, whatever it asks for, when something is true of it."""

    when: When = Field(description="The conditions.")
    use: n.Name = Field(description="Where it goes: role:NAME, an alias, provider/model, or auto.")


class Ledger(Strict):
    """What is written down of every call. A change needs a restart."""

    enabled: n.Flag = Field(default=True, description="false: nothing is, and budgets begin anew with every start.")
    durability: n.Durability = Field(
        default="process",
        description="process: a record survives the end of the process at any moment. strict: also a power cut; a "
        "client sees the end of its answer only when the charge is on disk.",
    )
    content: n.Flag = Field(default=False, description="Keep prompts and answers too.")
    retention: n.Days = Field(default=400, description="After so many days a call is deleted; its sums stay.")


class Stores(Strict):
    """Where state is kept that outlives a request. A change needs a restart."""

    database: n.Location | None = Field(
        default=None,
        description="PostgreSQL, for several machines: postgresql://user:password@host/name. By default SQLite in the "
        "state directory. GATEWAY_DATABASE_URL wins.",
        examples=["${GATEWAY_DATABASE_URL:-}"],
    )
    redis: n.Location | None = Field(
        default=None,
        description="Redis, so that several machines share limits, budgets and what they know of upstreams. "
        "GATEWAY_REDIS_URL wins.",
        examples=["${GATEWAY_REDIS_URL:-}"],
    )


class Budget(Strict):
    """How much may be spent on what."""

    scope: n.BudgetScope = Field(description="What it is for: total, key, role, provider, model or label.")
    name: n.Name | None = Field(
        default=None,
        description="Which one: a key's name, a role, a provider, provider/model, or label=value. Left out, each of "
        "them has this budget.",
        examples=["rlm"],
    )
    limit_usd: n.Usd = Field(description="How much.")
    window: n.BudgetWindow = Field(default="month", description="For how long: hour, day, week, month or lifetime.")
    alert_at: list[n.Fraction] = Field(
        default=[], description="Shares of the limit at which somebody is told.", examples=[[0.5, 0.8]]
    )
    then: n.Then = Field(
        default="refuse",
        description="What follows when it is spent: refuse (429), or downgrade to what costs nothing.",
    )
    to: n.Name | None = Field(
        default=None, description="With downgrade: who takes the calls instead.", examples=["role:memory"]
    )
    on_unknown: n.OnUnknown = Field(
        default="allow",
        description="What it does with calls while nobody can tell what was spent, or whose price nobody knows.",
    )
    webhook: n.Webhook | None = Field(default=None, description="Where alerts are posted, as JSON.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Budget:
        if self.to is not None and self.then != "downgrade":
            raise ValueError('"to" says where calls are downgraded to; add then: downgrade')
        if self.name is not None and self.scope == "total":
            raise ValueError("the total has no name; leave it out, or choose another scope")
        if self.name is not None and self.scope == "label" and "=" not in self.name:
            raise ValueError("a label is written name=value")
        return self


class Cache(Strict):
    """What holds for all answers that are kept. Which are is said by roles and aliases."""

    max_memory: n.Size = Field(
        default=64 * 1024 * 1024, description="How much memory they take in each process. A change needs a restart."
    )
    ttl: n.Duration = Field(default=3600.0, description="How long one is served again, where nothing else is said.")


class File(Strict):
    """The configuration of the gateway."""

    server: Server = Field(default=Server(), description="Where and how the gateway listens.")
    defaults: Defaults = Field(default=Defaults(), description="What holds unless something says otherwise.")
    providers: dict[str, Provider] = Field(default={}, description="Name -> endpoint that serves models.")
    models: dict[str, Alias] = Field(default={}, description="Alias -> what it stands for.")
    roles: dict[str, Role] = Field(default={}, description="Job -> who may do it. Asked for as role:NAME.")
    fallback: dict[str, list[str]] = Field(
        default={},
        description="Alias -> who steps in, when the alias is used by its own name or by a role that only renames it.",
    )
    presets: dict[str, n.Params] = Field(default={}, description="Name -> parameters that roles and aliases refer to.")
    rules: list[Rule] = Field(
        default=[], description="What sends requests elsewhere than they ask for. The first that holds decides."
    )
    ledger: Ledger = Field(default=Ledger(), description="What is written down of every call.")
    budgets: list[Budget] = Field(default=[], description="How much may be spent on what. All that apply count.")
    stores: Stores = Field(default=Stores(), description="Where state is kept that outlives a request.")
    cache: Cache = Field(default=Cache(), description="What holds for all answers that are kept.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway.yaml",
        **File.model_json_schema(),
    }
