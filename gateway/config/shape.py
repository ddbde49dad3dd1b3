"""The shape of gateway.yaml, as pydantic models. Imported only when a file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator

from gateway.config import notations as n  # pydantic reads the annotations
from gateway.core.names import quoted

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    shorthand: ClassVar[str | None] = None
    """The field that a plain value sets, in place of a mapping: `main: openai/gpt-5`."""
    shorthand_is_list: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: object) -> object:
        if value is None:
            return {}
        if cls.shorthand and isinstance(value, str):
            return {cls.shorthand: [value] if cls.shorthand_is_list else value}
        if isinstance(value, dict):  # `api_key:` without a value counts as left out
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
    """The pages of other sites that may call the gateway from a browser. By default none."""

    origins: n.Origins = Field(
        default=[],
        description="The sites, written as origins. https://*.example.com means any subdomain, http://localhost:* any "
        "port, and * every site.",
        examples=[["https://app.example.com", "http://localhost:3000"]],
    )
    credentials: n.Flag = Field(
        default=False, description="Pages may send cookies. The gateway reads none, but a proxy before it may."
    )
    max_age: n.Duration = Field(default=600.0, description="How long a browser may remember a preflight.")

    @model_validator(mode="after")
    def _not_everybody_with_credentials(self) -> Cors:
        if self.credentials and "*" in self.origins:
            raise ValueError("credentials cannot be allowed for every site; name the origins, or leave credentials out")
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
    workers: n.Whole = Field(default=1, ge=1, le=256, description="The number of processes that serve.")
    api_keys: list[str] = Field(
        default=[],
        description="The keys that clients may use, each of at least 16 characters. Empty entries are ignored. "
        "GATEWAY_API_KEY is added.",
        examples=[["${GATEWAY_API_KEY:-}"]],
    )
    admin_keys: list[str] = Field(
        default=[],
        description="The keys for the admin API, each of at least 16 characters. Without any, api_keys serve it too. "
        "Empty entries are ignored. GATEWAY_ADMIN_KEY is added.",
        examples=[["${GATEWAY_ADMIN_KEY:-}"]],
    )
    console_hosts: list[str] = Field(
        default=[],
        description="The names under which browsers reach the console, beside this machine's and plain addresses.",
        examples=[["gateway.example.com"]],
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
        description="The most client connections in each process. By default, half of the file descriptors.",
    )
    cors: Cors = Field(default=Cors(), description="The pages of other sites that may call the gateway.")
    watch: n.Flag = Field(
        default=True,
        description="Read the configuration again when its files change. false: at SIGHUP and `gateway reload` only.",
    )


class Timeouts(Strict):
    """The timers of a call to a provider. Timers left out are inherited."""

    connect: n.Duration | None = Field(default=None, description="Until the connection is made (5s).")
    first_byte: n.Duration | None = Field(default=None, description="Until the first byte of the answer (30s).")
    first_token: n.Duration | None = Field(default=None, description="Until a stream's first content (60s).")
    idle: n.Duration | None = Field(default=None, description="Between two pieces of a stream (60s).")
    total: n.Duration | None = Field(default=None, description="The whole call with all its attempts (10m).")


class Defaults(Strict):
    """Defaults, which a provider, model or role may override."""

    provider: str | None = Field(
        default=None,
        description="The provider for bare model ids that no provider is known to list. If it has a model_override, "
        "for all bare model ids.",
    )
    route: str | None = Field(
        default=None,
        description="Where a model name goes that is unknown and has no slash, such as one that a client has built in.",
        examples=["role:main"],
    )
    models: dict[n.JsonEndpointName, n.Name] = Field(
        default={},
        description="Endpoint -> the model, alias or role for its requests that name none.",
        examples=[{"embeddings": "embedder", "moderations": "role:guard"}],
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="The timers of a call.")
    max_attempts: n.Whole = Field(default=4, ge=1, le=20, description="The most upstreams tried for one call.")
    retries: n.Whole = Field(
        default=1, ge=0, le=10, description="How often one upstream is tried again for a call when no other is ready."
    )
    max_wait: n.Wait = Field(
        default=10.0, description="How long a call may wait for a rate limit to end. 0: no wait, a refusal at once."
    )
    order: n.Order = Field(
        default=["listed"],
        description="The policies that candidates are sorted by, the most important first.",
        examples=[["free"]],
    )
    stream_usage: n.Flag = Field(default=True, description="Ask providers for the usage of streams.")
    timezone: n.TimeZone | None = Field(
        default=None,
        description="The time zone in which the days, weeks and months of budgets begin. By default UTC.",
    )
    week_starts: n.Weekday = Field(default="monday", description="The day on which the weeks of budgets begin.")
    params: n.Params = Field(default={})


class Rates(Strict):
    """The price of a model in each unit that it charges by, in USD."""

    input: n.Usd | None = Field(default=None, description="Per million tokens read.")
    output: n.Usd | None = Field(default=None, description="Per million tokens written. 0 for embeddings.")
    cached_input: n.Usd | None = Field(default=None, description="Per million tokens read from the provider's cache.")
    cache_write: n.Usd | None = Field(default=None, description="Per million tokens written to the provider's cache.")
    cache_write_1h: n.Usd | None = Field(default=None, description="Per million tokens cached for an hour.")
    reasoning: n.Usd | None = Field(default=None, description="Per million tokens of thinking.")
    audio_input: n.Usd | None = Field(default=None, description="Per million tokens of audio read.")
    cached_audio_input: n.Usd | None = Field(default=None, description="Per million tokens of audio in the cache.")
    audio_output: n.Usd | None = Field(default=None, description="Per million tokens of audio generated.")
    image_input: n.Usd | None = Field(default=None, description="Per million tokens of images read.")
    image_output: n.Usd | None = Field(default=None, description="Per million tokens of images generated.")
    request: n.Usd | None = Field(default=None, description="Per call.")
    image: n.Usd | None = Field(default=None, description="Per generated image.")
    web_search: n.Usd | None = Field(default=None, description="Per search that the provider makes.")
    second: n.Usd | None = Field(default=None, description="Per second of audio in the request.")
    minute: n.Usd | None = Field(default=None, description="Per minute of audio, instead of `second`.")
    hour: n.Usd | None = Field(default=None, description="Per hour of audio, instead of `second`.")
    minimum_seconds: n.Whole | None = Field(
        default=None, ge=1, le=3600, description="Shorter audio is charged as this many seconds."
    )
    character: n.Usd | None = Field(default=None, description="Per character that is read out.")
    million_characters: n.Usd | None = Field(
        default=None, description="Per million characters, instead of `character`."
    )

    @model_validator(mode="after")
    def _one_notation(self) -> Rates:
        for names in (("second", "minute", "hour"), ("character", "million_characters")):
            if len(said := [name for name in names if getattr(self, name) is not None]) > 1:
                raise ValueError(f"write only one of {' and '.join(said)}: they are the same price")
        return self


class PriceTier(Strict):
    """Prices for the whole call if its prompt is long. Prices left out stay the same."""

    above: n.Tokens = Field(description="These prices apply to prompts of more tokens than this.")
    input: n.Usd | None = Field(default=None, description="Per million tokens read.")
    output: n.Usd | None = Field(default=None, description="Per million tokens written.")
    cached_input: n.Usd | None = Field(default=None, description="Per million tokens read from the provider's cache.")
    cache_write: n.Usd | None = Field(default=None, description="Per million tokens written to the provider's cache.")


class PriceHours(Rates):
    """Prices for calls that begin at certain hours of the day. Prices left out stay the same."""

    between: n.Hours = Field(description="The hours, in UTC. They may pass midnight: 16:30-00:30.")


class Price(Rates):
    """The price of a model in USD, per million tokens and in any other unit that it charges by."""

    tiers: list[PriceTier] = Field(
        default=[],
        description="Other prices for long prompts.",
        examples=[[{"above": "200k", "input": 2.5, "output": 15}]],
    )
    hours: list[PriceHours] = Field(
        default=[],
        description="Other prices at certain hours of the day. The first match counts.",
        examples=[[{"between": "16:30-00:30", "input": 0.135, "output": 0.55}]],
    )

    @model_validator(mode="after")
    def _some(self) -> Price:
        if (self.input is None) != (self.output is None):
            missing = "input" if self.input is None else "output"
            raise ValueError(f"{missing} is missing; write {missing}: 0 if it is free")
        units = self.model_fields_set - {"tiers", "hours", "minimum_seconds"}
        if not units:
            raise ValueError("has no price; write input and output, or another unit (request, image, minute, …)")
        if len({tier.above for tier in self.tiers}) < len(self.tiers):
            raise ValueError("two tiers begin at the same length")
        return self


class Quirks(Strict):
    """What calls to a provider need to be understood there. false: the quirks of its kind are not repaired."""

    enabled: n.Flag = Field(default=True, description="false: the quirks of the kind are not repaired.")
    drop: n.Drop = Field(default=None)
    rename: n.Rename = Field(default=None)
    clamp: n.Clamp = Field(default=None)
    headers: dict[str, str] = Field(default={}, description="Headers that the provider needs.")

    @property
    def adapting(self) -> dict[str, Any]:
        """The verbs and what they change, as in parameters."""
        return {"drop": self.drop, "rename": self.rename, "clamp": self.clamp}

    @model_validator(mode="before")
    @classmethod
    def _flag(cls, value: object) -> object:
        return {"enabled": value} if isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long = super().__get_pydantic_json_schema__(core, handler)
        return {"anyOf": [{"type": "boolean"}, long], "description": long.pop("description", "")}


class Provider(Strict):
    """An endpoint that serves models."""

    kind: n.KindName | None = Field(default=None, description="The kind of the provider. By default, its name.")
    base_url: n.BaseUrl | None = Field(
        default=None, description="The URL of its API, up to and including /v1 or the like."
    )
    models_url: str | None = Field(
        default=None,
        description="Where its list of models is: a path on the host of base_url. By default /models below base_url.",
        examples=["/api/v2/models"],
    )
    api_key: str | None = Field(
        default=None,
        description="The key. If it is left out, the usual variable of the kind is read. If it is empty, the provider "
        "is not used.",
        examples=["${OPENAI_API_KEY:-}"],
    )
    headers: dict[str, str] = Field(default={}, description="Headers that are sent with every request.")
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
        default=None, min_length=1, description="The only model that it serves, under any name."
    )
    models: list[n.Name] = Field(
        default=[], description="Ids of models that it serves. Clients may use them without the provider's name."
    )
    params: n.Params = Field(default={})
    quirks: Quirks = Field(
        default=Quirks(),
        description="What its calls need to be understood there: drop, rename, clamp, headers. false: the quirks of "
        "its kind are not repaired.",
    )
    local: n.Flag | None = Field(
        default=None, description="It runs on this machine or network and is free. By default, judged by the URL."
    )
    stream_usage: n.Flag | None = Field(
        default=None, description="It understands stream_options.include_usage. By default, as usual for the kind."
    )
    strict_max_tokens: n.Flag | None = Field(
        default=None,
        description="It refuses a max_tokens above the limit of the model or of its context, so the gateway lowers "
        "such values. By default, as usual for the kind.",
    )
    speaks: n.Dialects = Field(
        default=[],
        description="The dialects that it serves well, the ones it speaks best first. A call in another dialect is "
        "translated. By default, as usual for the kind.",
        examples=[["chat", "responses"]],
    )
    token_ids: n.Flag | None = Field(
        default=None,
        description="Its models share the vocabulary of OpenAI's, so it may get token ids in place of text. By "
        "default, only the kinds openai and azure.",
    )
    limits: n.Scope | None = Field(
        default=None,
        description="What its rate limits apply to: each model, the account, or (free_account) all free models "
        "together and each other model alone. By default, as usual for the kind.",
    )
    rpm: n.Whole | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Requests a minute that it allows for what `limits` says. The gateway counts them itself and sends "
        "no more. Limits in its answers count as well.",
        examples=[20],
    )
    tpm: n.Tokens | None = Field(
        default=None, description="Tokens a minute that it allows, prompts and answers together.", examples=["200k"]
    )
    rpd: n.Whole | None = Field(
        default=None, ge=1, le=10**9, description="Requests a day (UTC) that it allows.", examples=[1000]
    )
    price: Price | None = Field(
        default=None, description="The price of each of its models, unless an alias sets another."
    )
    free: n.Flag | None = Field(default=None, description="true: its models are free. false: they are not.")
    probe: n.Flag | None = Field(
        default=None, description="Check its health in the background. By default yes, unless that costs money."
    )
    discover: n.Flag | None = Field(
        default=None, description="Fetch its list of models now and then. By default yes, unless that costs money."
    )
    admin_key: str | None = Field(
        default=None,
        description="A key that may read the provider's bills (kinds openai, anthropic, openrouter), for `gateway "
        "usage --reconcile`. It is never sent with a call.",
        examples=["${OPENAI_ADMIN_KEY:-}"],
    )
    enabled: n.Flag = Field(default=True, description="false: the provider is never used.")


class RouteCache(Strict):
    """Whether answers are cached: true or false, how long, or a mapping."""

    enabled: n.Flag = Field(default=True, description="false: answers are not cached.")
    ttl: n.Duration | None = Field(default=None, description="How long an answer is cached. By default cache.ttl.")
    shared: n.Flag = Field(
        default=False, description="All keys share cached answers. By default, each key only gets its own."
    )
    nondeterministic: n.Flag = Field(
        default=False, description="Also cache answers that would differ each time (no seed, temperature not 0)."
    )
    max_entry: n.Size = Field(default=1024 * 1024, description="Longer answers are not cached.")

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
    model: str = Field(
        min_length=1, description="provider/model, another alias, or a model id that some provider lists."
    )
    params: n.ParamsOrPreset = Field(default={})
    price: Price | None = Field(default=None, description="The price of the model, in USD per million tokens.")
    capabilities: n.Capabilities = Field(
        default=[], description="What the model can do.", examples=[["tools", "vision"]]
    )
    lacks: n.Capabilities = Field(default=[], description="What the model cannot do.", examples=[["tools"]])
    context: n.Tokens | None = Field(default=None, description="The most tokens of prompt and answer together.")
    max_output: n.Tokens | None = Field(default=None, description="The most tokens of an answer.")
    free: n.Flag | None = Field(default=None, description="true: the model is free. false: it is not.")
    strength: n.Whole | None = Field(
        default=None, ge=0, le=100, description="The strength of the model, 0 to 100, for `auto` and `strongest`."
    )
    patience: n.Wait | None = Field(
        default=None,
        description="How long a call may wait for the first choice, until the time that it named or for one more "
        "attempt, before another is tried. By default not at all.",
        examples=["2s"],
    )
    system_prefix: str | None = Field(
        default=None,
        description="Text before the system prompt of every conversation. By default that of the name which this one "
        "only renames.",
        examples=["Answer in English."],
    )
    cache: RouteCache | None = Field(default=None, description="Whether answers under this name are cached.")

    @model_validator(mode="after")
    def _not_both(self) -> Alias:
        if both := sorted(set(self.capabilities) & set(self.lacks)):
            raise ValueError(f"{quoted(both[0])} is listed under both capabilities and lacks")
        return self


class Target(Strict):
    """A model for a role: a name, or a mapping with its share."""

    shorthand = "model"
    model: str = Field(min_length=1, description="An alias, provider/model, or another role (role:NAME).")
    weight: n.Weight = Field(default=1.0, description="Its share if the order is `weighted`.")


class Role(Strict):
    """A job: one target, or a mapping with a list of targets in order of preference."""

    shorthand = "models"
    shorthand_is_list = True
    models: list[Target] = Field(
        min_length=1, description="Aliases, provider/model names or other roles (role:NAME), the preferred first."
    )
    params: n.ParamsOrPreset = Field(default={})
    needs: n.Capabilities = Field(
        default=[], description="Capabilities that every model for this role must have, whatever a request needs."
    )
    order: n.Order | None = Field(
        default=None,
        description="The policies that candidates are sorted by, the most important first. By default defaults.order.",
        examples=[["free", "cheapest"]],
    )
    max_price: n.Usd | None = Field(
        default=None,
        description="The highest price of a model, in USD per million tokens: three quarters of the input price plus "
        "one quarter of the output price.",
        examples=["$2"],
    )
    on_policy: n.OnPolicy | None = Field(
        default=None, description="After a refusal because of the content: stay (the default), or failover."
    )
    patience: n.Wait | None = Field(
        default=None,
        description="How long a call may wait for the first choice, until the time that it named or for one more "
        "attempt, before another is tried. By default not at all.",
        examples=["2s"],
    )
    bridge: n.Bridging | None = Field(
        default=None,
        description="When a provider is used that speaks another dialect than the client, so that the call is "
        "translated: last (the default: after those that speak the client's), listed (in the order of the models), or "
        "never.",
    )
    lossy: n.Lossy | None = Field(
        default=None,
        description="What becomes of a call that would lose something in translation: allow (the default; the header "
        "x-gateway-lost names the fields), or refuse.",
    )
    system_prefix: str | None = Field(
        default=None,
        description="Text before the system prompt of every conversation. By default that of the name which this one "
        "only renames.",
        examples=["Answer in English."],
    )
    cache: RouteCache | None = Field(default=None, description="Whether its answers are cached.")


class _Span(Strict):
    @model_validator(mode="after")
    def _some(self) -> _Span:
        least, most = getattr(self, "min", None), getattr(self, "max", None)
        if least is None and most is None:
            raise ValueError("write min, max or both")
        if least is not None and most is not None and least > most:
            raise ValueError("min is more than max")
        return self


class TokenSpan(_Span):
    """From min to max tokens, both included."""

    min: n.Tokens | None = Field(default=None, description="The fewest tokens.")
    max: n.Tokens | None = Field(default=None, description="The most tokens.")


class ScoreSpan(_Span):
    """From min to max points, both included."""

    min: n.Whole | None = Field(default=None, ge=0, le=100, description="The lowest score.")
    max: n.Whole | None = Field(default=None, ge=0, le=100, description="The highest score.")


class When(Strict):
    """The conditions of a rule. A request must fulfil all of them."""

    images: n.Flag | None = Field(default=None, description="The request has images.")
    audio: n.Flag | None = Field(default=None, description="The request has audio, or asks for audio.")
    tools: n.Flag | None = Field(default=None, description="The request offers tools.")
    json_schema: n.Flag | None = Field(
        default=None, description="The request asks for an answer that follows a JSON Schema."
    )
    stream: n.Flag | None = Field(default=None, description="The request asks for a stream.")
    endpoint: n.Endpoints | None = Field(default=None, description="The endpoint, or one of several.")
    task: n.Globs | None = Field(
        default=None,
        description="A pattern, or one of several, for the request's `task`, `metadata.task` or header x-gateway-task.",
    )
    user: n.Glob | None = Field(default=None, description="A pattern for the request's `user`.")
    header: dict[str, n.Glob] = Field(default={}, description="Name of a header -> pattern for its value.")
    model: n.Glob | None = Field(default=None, description="A pattern for the requested model, as the client wrote it.")
    prompt_tokens: TokenSpan | None = Field(default=None, description="The estimated tokens of the prompt.")
    language: n.Languages | None = Field(
        default=None, description="The script of the last message; see docs/routing.md."
    )
    complexity: ScoreSpan | None = Field(
        default=None, description="The estimated complexity, 0 to 100; see docs/routing.md."
    )

    @model_validator(mode="after")
    def _some(self) -> When:
        if not self.model_fields_set:
            raise ValueError(
                "has no condition, so the rule would hold for all requests; if it should, write model: '*'"
            )
        return self


class Rule(Strict):
    """Conditions, and the name that replaces the requested model of matching requests."""

    when: When = Field(description="The conditions.")
    use: n.Name = Field(description="Where matching requests go: role:NAME, an alias, provider/model, or auto.")


class Arm(Strict):
    """One of the alternatives that an experiment compares: a model, or a mapping."""

    shorthand = "model"
    model: str | None = Field(
        default=None,
        min_length=1,
        description="The model in place of the usual ones: an alias, provider/model or role:NAME. By default the usual "
        "ones, which also step in when this one fails.",
    )
    params: n.ParamsOrPreset = Field(default={})
    weight: n.Weight = Field(default=1.0, description="Its share of the calls that take part.")


class Mirror(Strict):
    """Where copies of calls go: a model, or a mapping."""

    shorthand = "model"
    model: str | None = Field(
        default=None,
        min_length=1,
        description="The model that gets the copies: an alias, provider/model or role:NAME. By default the usual ones.",
    )
    params: n.ParamsOrPreset = Field(default={})
    at_once: n.Whole = Field(
        default=4,
        ge=1,
        le=100,
        description="How many copies may be under way at once in each process. Further calls are not copied.",
    )

    @model_validator(mode="after")
    def _some(self) -> Mirror:
        if self.model is None and not self.params:
            raise ValueError("name a model or params, so that a copy differs from its call")
        return self


class Experiment(Strict):
    """A comparison: the calls of a name are divided among arms, or copied to a mirror."""

    on: n.Name = Field(description="The role (role:NAME) or alias whose calls take part.", examples=["role:rlm"])
    share: n.Fraction | None = Field(
        default=None, description="The share of the calls that take part. By default all.", examples=["20%"]
    )
    sticky: n.StickyUnit = Field(
        default="session",
        description="What stays with one arm: session, user, key or call. Where a request names no session, its user "
        "decides, then its key, then the call.",
    )
    arms: dict[n.Arm, Arm] = Field(
        default={}, description="Name -> alternative. The first is the one that the others are compared with."
    )
    mirror: Mirror | None = Field(
        default=None,
        description="In place of arms: clients get the usual answers, and copies of their calls go here.",
    )

    @model_validator(mode="after")
    def _compares(self) -> Experiment:
        if self.mirror is not None:
            if self.arms:
                raise ValueError("has arms and a mirror; make them two experiments, on two names")
            if self.share is None:
                raise ValueError("say what share of the calls is copied, because copies cost money: share: 5%")
        elif len(self.arms) < 2:
            raise ValueError("needs two arms to compare, or a mirror; an arm without a model is the usual one")
        elif not any(one.weight for one in self.arms.values()):
            raise ValueError("all its arms have the weight 0")
        return self


class Ledger(Strict):
    """What is recorded about every call. A change needs a restart, except of `record`."""

    record: n.Tags = Field(
        default=[],
        description="What else is recorded of each request, for `gateway usage --by`: user, metadata.NAME.",
        examples=[["user", "metadata.source"]],
    )
    enabled: n.Flag = Field(
        default=True, description="false: nothing is recorded, and budgets begin anew with every start."
    )
    durability: n.Durability = Field(
        default="process",
        description="process: records survive a crash of the process. strict: records also survive a power cut; the "
        "client gets the end of its answer only after the charge is on disk.",
    )
    content: n.Flag = Field(default=False, description="Record prompts and answers too.")
    retention: n.Days = Field(default=400, description="Calls are deleted after this many days; their sums stay.")


class Stores(Strict):
    """Where lasting state is stored. A change needs a restart."""

    database: n.Location | None = Field(
        default=None,
        description="PostgreSQL, for several machines: postgresql://user:password@host/name. By default SQLite in the "
        "state directory. GATEWAY_DATABASE_URL wins.",
        examples=["${GATEWAY_DATABASE_URL:-}"],
    )
    redis: n.Location | None = Field(
        default=None,
        description="Redis, through which several machines share limits, budgets and the health of upstreams. "
        "GATEWAY_REDIS_URL wins.",
        examples=["${GATEWAY_REDIS_URL:-}"],
    )


class Budget(Strict):
    """A limit on spending."""

    scope: n.BudgetScope = Field(description="What it limits: total, key, role, provider, model or label.")
    name: n.Name | None = Field(
        default=None,
        description="A key's name, a role, a provider, provider/model, or label=value. If it is left out, each key "
        "(role, …) has its own budget of this size.",
        examples=["rlm"],
    )
    limit_usd: n.Usd = Field(description="The most that may be spent in a window.")
    window: n.BudgetWindow = Field(default="month", description="The period: hour, day, week, month or lifetime.")
    alert_at: list[n.Fraction] = Field(
        default=[], description="Shares of the limit at which an alert is sent.", examples=[[0.5, 0.8]]
    )
    then: n.Then = Field(
        default="refuse",
        description="What happens once it is spent: refuse (429), or downgrade to free models.",
    )
    to: n.Name | None = Field(
        default=None, description="With downgrade: the name that gets the calls instead.", examples=["role:memory"]
    )
    on_unknown: n.OnUnknown = Field(
        default="allow",
        description="What happens to calls while the spending is unknown, and to calls without a known price.",
    )
    webhook: n.Webhook | None = Field(default=None, description="The URL to which alerts are posted, as JSON.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Budget:
        if self.to is not None and self.then != "downgrade":
            raise ValueError('"to" is the target of a downgrade; add then: downgrade')
        if self.name is not None and self.scope == "total":
            raise ValueError("the total has no name; leave it out, or choose another scope")
        if self.name is not None and self.scope == "label" and "=" not in self.name:
            raise ValueError("write a label as name=value")
        return self


class Alerts(Strict):
    """Which troubles of upstreams and accounts are posted, and where."""

    webhook: n.Webhook | None = Field(
        default=None,
        description="The URL to which they are posted, as JSON that Slack and Discord show.",
        examples=["${SLACK_WEBHOOK:-}"],
    )
    on: n.Troubles = Field(
        default=list(n.TROUBLES),
        description="ejected: an upstream fails and gets no calls. degraded: it is much worse than usual. no_credit: "
        "an account has no credit left. quota: a quota is used up.",
    )


class Cache(Strict):
    """The response cache. Roles and aliases say which answers are cached."""

    max_memory: n.Size = Field(
        default=64 * 1024 * 1024, description="The memory of the cache in each process. A change needs a restart."
    )
    ttl: n.Duration = Field(default=3600.0, description="How long an answer is cached, unless its role or alias says.")


class File(Strict):
    """The configuration of the gateway."""

    server: Server = Field(default=Server(), description="Where and how the gateway listens.")
    defaults: Defaults = Field(default=Defaults(), description="Defaults, which other sections may override.")
    providers: dict[str, Provider] = Field(default={}, description="Name -> endpoint that serves models.")
    models: dict[str, Alias] = Field(default={}, description="Alias -> model.")
    roles: dict[str, Role] = Field(default={}, description="Job -> models for it. Clients write role:NAME.")
    fallback: dict[str, list[str]] = Field(
        default={},
        description="Alias -> models that step in, if a client uses the alias itself or a role that only renames it.",
    )
    presets: dict[str, n.Params] = Field(default={}, description="Name -> parameters that roles and aliases refer to.")
    rules: list[Rule] = Field(
        default=[], description="Rules that send requests to another model. The first that holds decides."
    )
    experiments: dict[n.Arm, Experiment] = Field(default={}, description="Name -> comparison of models or parameters.")
    ledger: Ledger = Field(default=Ledger(), description="What is recorded about every call.")
    budgets: list[Budget] = Field(default=[], description="Limits on spending. All that apply count.")
    alerts: Alerts = Field(default=Alerts(), description="Which troubles are posted, and where.")
    stores: Stores = Field(default=Stores(), description="Where lasting state is stored.")
    cache: Cache = Field(default=Cache(), description="The response cache.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway.yaml",
        **File.model_json_schema(),
    }
