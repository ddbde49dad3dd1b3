"""The fields of a kind of provider. Rule: data only; the parsers that a row names are in other modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.types import Capability, LimitScope, Params

if TYPE_CHECKING:
    from collections.abc import Mapping


class Publishers(Enum):
    """The first segments that a model id of the kind may have, as in `google/gemma-3`."""

    NONE = auto()
    """None: the ids have no slash."""
    USUAL = auto()
    """The usual segments in the lists of multi-model hosts: Gemini writes `models/gemini-3`."""
    ANY = auto()
    """Any: a host of open weights, with ids like those of Hugging Face."""
    ALL = auto()
    """Any: the provider serves the models of all makers, or answers to any name."""


class ListApi(Enum):
    """The format of a list of models. `catalog.listing` reads it."""

    OPENAI = auto()
    """OpenAI's plain format, without extra fields."""
    ANTHROPIC = auto()
    LMSTUDIO = auto()
    OLLAMA = auto()
    OPENROUTER = auto()
    TOGETHER = auto()


class BalanceApi(Enum):
    """How to ask for the balance of an account. `background.balances` asks."""

    OPENROUTER = auto()
    """`GET /key`, and `GET /credits` with an admin key."""
    DEEPSEEK = auto()
    """`GET /user/balance`."""


class BillApi(Enum):
    """How to ask for the bill of an account. `background.bills` asks."""

    OPENAI = auto()
    """`GET /organization/costs`, with an admin key."""
    ANTHROPIC = auto()
    """`GET /organizations/cost_report`, with an admin key."""
    OPENROUTER = auto()
    """`GET /activity` with an admin key, `GET /key` without one, and `GET /generation` for one answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """A GET that tells whether a provider can be reached, and costs nothing."""

    path: str
    below: str | None = None
    """The end of the base URL that is removed before `path` is appended; None: nothing is removed."""
    tells_readiness: bool = False
    """A 503 means that the server is up but cannot serve yet. Elsewhere a 503 may come from a broken health page."""
    only_there: bool = False
    """Ask only if the base URL ends with `below`: elsewhere the question may cost money."""
    needs_key: bool = False
    """The answer is a 401 without a valid key, so that it tells whether the key is accepted."""

    def url(self, base_url: str, query: str = "") -> str | None:
        """Return where to ask a provider; None if that may cost money there. `query`: as of `Provider.query`."""
        if self.below is None:
            return f"{base_url}{self.path}?{query}" if query else base_url + self.path
        if self.only_there and not base_url.endswith(self.below):
            return None
        return base_url.removesuffix(self.below) + self.path


@dataclass(frozen=True, slots=True)
class Models:
    """The usual models of a provider, by kind of work. Empty: it has no model for that work."""

    strong: str = ""
    fast: str = ""
    vision: str = ""
    embedding: str = ""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Where a browser signs in, and a key is given for the code that it brings back: OAuth with PKCE (RFC 7636).

    Both are paths at the host of the base URL.
    """

    page: str
    exchange: str

    def urls(self, base_url: str) -> tuple[str, str]:
        """Return the URLs of the page and of the exchange."""
        parts = urlsplit(base_url)
        origin = f"{parts.scheme}://{parts.netloc}"
        return origin + self.page, origin + self.exchange


@dataclass(frozen=True, slots=True)
class SmallModel:
    """How a server of a kind gets a small model on a machine that has none."""

    model: str
    """Its id there."""
    command: tuple[str, ...]
    """Its first word is the program that must be installed."""
    install: str
    """Where the program comes from."""
    serves: bool = False
    """The command is the server, and does not end. Else the server must run before."""
    size: str = "2.4 GB"


@dataclass(frozen=True, slots=True)
class Kind:
    """All facts about one kind of provider. The defaults are those of a hosted, paid endpoint.

    The configuration of a provider may override its URL, key, timers, limits and usage.
    """

    name: str
    """The name in the configuration: `kind: openai`."""

    # -- where it is

    base_url: str = ""
    """Empty: the configuration must give it. `{endpoint_id}` is filled in from the configuration."""
    key_vars: tuple[str, ...] = ()
    """Environment variables that usually hold the key; the first one that is set counts."""
    url_var: str = ""
    """Environment variable of the kind's SDKs that holds the base URL of the key."""
    title: str = ""
    """What its maker calls it, for forms. Empty: the name."""
    called: str = ""
    """The name of a provider of this kind that no configuration has named. Empty: the name of the kind."""
    settings_vars: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Setting of an entry -> the variables that hold it where no configuration has such a provider; the first counts.

    Only for kinds that an API key alone does not make usable.
    """
    key_required: bool = True
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    endpoint_id_from: str = ""
    """A hint for users: where to find the `endpoint_id` of the base URL. Empty: the kind has no endpoint_id."""
    guide: tuple[str, ...] = ()
    """Steps for users that lead to a key and whatever else the kind needs. Empty: the usual ones."""
    sign_in: SignIn | None = None
    """How a program gets a key of a user who signs in. None: keys are made by hand."""
    has_api_version: bool = False
    """The configuration may give an `api_version`."""
    built_in: bool = False
    """The gateway itself answers, and explains how to add a real provider. No call may reach it by accident."""

    # -- how calls go

    speaks: tuple[str, ...] = ("chat",)
    """Dialects that the provider serves well below the base URL, the ones it speaks best first.

    Conversations in another dialect are translated. A dialect whose streams lack what SDKs need is left out.
    """
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of `types.Timeouts` that differ from the defaults."""
    strict_max_tokens: bool = False
    """The provider refuses a call whose `max_tokens` exceeds the model's output limit or its free context.

    True only where such a refusal was reported; its wording stands beside the row. Elsewhere the client's value is left
    alone: the provider writes as much as there is room for (llama.cpp, Ollama, LM Studio, Fireworks), or is unverified.
    """
    token_ids: bool = False
    """Its models share the vocabulary of OpenAI's. Elsewhere, token ids mean other words."""
    quirks: Mapping[str, Params] = field(default_factory=dict)
    """Dialect -> drops, renames and clamps without which the provider refuses calls that OpenAI would take.

    They repair the calls that the gateway itself writes in the provider's dialect. A client that speaks the dialect has
    its bytes passed on. Only where a source tells of the refusal, or that the field has no effect.
    """
    limits: LimitScope = LimitScope.MODEL
    """The unit that rate limits are counted by.

    ACCOUNT only where all models are known to share one limit: too narrow a scope costs a 429, too wide a scope idles
    good models.
    """

    # -- its models

    publishers: Publishers = Publishers.NONE
    tagged: bool = False
    """A model id may have a colon and no slash: `llama3:8b`."""
    any_name: bool = False
    """The server serves one model, chosen at its start, under any name."""
    usual: Models | None = None
    """The models to use where nothing is configured. None: they depend on the server."""
    adds: frozenset[Capability] = frozenset()
    """Capabilities that the endpoint adds to every chat model."""
    takes: Mapping[str, frozenset[Capability]] = field(default_factory=dict)
    """Dialect -> capabilities that its endpoint removes from every chat model."""

    small_model: SmallModel | None = None

    # -- questions that are free of charge

    discover: bool = True
    """Asking for its list of models costs nothing."""
    list_api: ListApi = ListApi.OPENAI
    may_lack_list: bool = False
    """A server of this kind may serve chats without a list of models."""
    lists_other_names: bool = False
    """Its list has other names than calls use: base models, files."""
    key_check: str = ""
    """A path that needs a valid key. Set where the list of models is open to everyone."""
    probe: bool = True
    """A probe of its health costs nothing."""
    health: Question = Question("/models")

    # -- its charges

    free_when_local: bool = True
    """A server of this kind on this machine costs nothing. False for proxies, which spend money elsewhere."""
    free_plan: bool = False
    """A key may belong to a plan that costs nothing; nothing in the API says so."""
    free_by_name: bool = False
    """A model whose id ends with `:free` costs nothing."""
    stream_usage: bool | None = None
    """Streams report usage only with `stream_options.include_usage`, and the provider supports this field.

    False where usage always comes (OpenRouter, DeepSeek, Groq), and where the field is refused (Mistral: 422). None
    where neither is verified.
    """
    cost_in_headers: bool = False
    """The header `x-litellm-response-cost` of an answer holds the cost of the call."""
    id_header: bytes = b""
    """The header with the billing id of an answer, if the body does not have the id."""
    balance_api: BalanceApi | None = None
    bill_api: BillApi | None = None

    @property
    def free(self) -> str:
        """What can be free of charge there: `models` by their names, a `plan` for the key, or the server is `local`."""
        if self.free_by_name:
            return "models"
        if self.free_plan:
            return "plan"
        is_local = self.free_when_local and not self.key_required and bool(self.base_url)
        return "local" if is_local and not self.built_in else ""

    @property
    def usual_name(self) -> str:
        """The name of a provider of this kind that no configuration has named."""
        return self.called or self.name
