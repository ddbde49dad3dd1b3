"""The shape of what is known about a kind of provider. Rule: data only; the parsers that a row names are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.types import Capability, LimitScope

if TYPE_CHECKING:
    from collections.abc import Mapping


class Publishers(Enum):
    """Which first segments a model id of the kind may have: `google/gemma-3`."""

    NONE = auto()
    """None: its ids have no slash."""
    USUAL = auto()
    """Those that hosts of many models list: Gemini writes `models/gemini-3`."""
    ANY = auto()
    """Any: hosts of open weights, whose ids are those of Hugging Face or like them."""
    ALL = auto()
    """Any, because it serves the models of all makers, or answers to any name at all."""


class ListApi(Enum):
    """Whose words a list of models is written in. `catalog.listing` reads them."""

    OPENAI = auto()
    """No words of its own."""
    ANTHROPIC = auto()
    LMSTUDIO = auto()
    OLLAMA = auto()
    OPENROUTER = auto()
    TOGETHER = auto()


class BalanceApi(Enum):
    """How to ask what is left of an account. `background.balances` asks."""

    OPENROUTER = auto()
    """`GET /key`, and `GET /credits` with an admin key."""
    DEEPSEEK = auto()
    """`GET /user/balance`."""


class BillApi(Enum):
    """How to ask what an account is billed. `background.bills` asks."""

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
    """What the base URL ends with and the path does not have before it; None: the path stands below the base URL."""
    tells_readiness: bool = False
    """A 503 means that the server is there and cannot serve yet. Elsewhere a 503 may be a page that is broken."""
    only_there: bool = False
    """At another base URL the question may cost money."""


@dataclass(frozen=True, slots=True)
class Models:
    """Which models of a provider do which work. Empty: it has none for it."""

    strong: str = ""
    fast: str = ""
    vision: str = ""
    embedding: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """All that is known about one kind of provider. The defaults are those of an endpoint that one rents.

    The configuration of a provider may say otherwise of its URL, key, timers, limits and usage.
    """

    name: str
    """What the configuration calls it: `kind: openai`."""

    # -- where it is

    base_url: str = ""
    """Empty: the configuration must say it. `{endpoint_id}` is filled in from the configuration."""
    key_vars: tuple[str, ...] = ()
    """Environment variables that usually hold the key; the first one that is set counts."""
    url_var: str = ""
    """Environment variable that says in the kind's SDKs to which base URL the key belongs."""
    key_required: bool = True
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    endpoint_id_from: str = ""
    """Where to find the `endpoint_id` that the base URL needs. Empty: the configuration has no endpoint_id."""
    has_api_version: bool = False
    """The configuration may give an `api_version`."""
    built_in: bool = False
    """The gateway itself answers, with how to add a real provider. No call must reach it by accident."""

    # -- how calls go

    speaks: tuple[str, ...] = ("chat",)
    """Dialects that it is known to serve below its base URL. A dialect that is missing here is unknown, not refused."""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of `types.Timeouts` that the kind needs different."""
    strict_max_tokens: bool = False
    """A call is refused if `max_tokens` is more than the model writes, or than its context has room for.

    True only where such refusals were reported; each has its wording beside it. For the others the client's value is
    left alone: they write as much as there is room for (llama.cpp, Ollama, LM Studio, Fireworks), or are not verified.
    """
    limits: LimitScope = LimitScope.MODEL
    """What its rate limits are counted by.

    ACCOUNT only where it is known that all models share one limit: too narrow costs a 429, too wide idles good models.
    """

    # -- what its models are

    publishers: Publishers = Publishers.NONE
    tagged: bool = False
    """A model id may have a colon and no slash: `llama3:8b`."""
    any_name: bool = False
    """It serves the model that it was started with under any name."""
    usual: Models | None = None
    """The models to start with where nothing is configured. None: they depend on the server."""
    adds: frozenset[Capability] = frozenset()
    """What the endpoint adds to a chat model, whichever it is."""
    takes: frozenset[Capability] = frozenset()
    """What the endpoint takes from a chat model, whichever it is."""

    # -- what can be asked for nothing

    discover: bool = True
    """Asking for its list of models costs nothing."""
    list_api: ListApi = ListApi.OPENAI
    may_lack_list: bool = False
    """A server of one's own making may serve chats and no list of models."""
    lists_other_names: bool = False
    """Its list names other things than what a call names: base models, files."""
    key_check: str = ""
    """A path that answers only a good key, where the list of models is open to everyone."""
    probe: bool = True
    """Asking after its health costs nothing."""
    health: Question = Question("/models")

    # -- what it charges

    free_when_local: bool = True
    """A server of this kind on this machine computes here. False for proxies, which spend money elsewhere."""
    free_by_name: bool = False
    """A model whose id ends with `:free` costs nothing."""
    stream_usage: bool = False
    """Streams report usage only when asked by `stream_options.include_usage`, and asking is understood.

    False where usage always comes (OpenRouter, DeepSeek, Groq), where asking is refused (Mistral: 422), and where it is
    not verified.
    """
    cost_in_headers: bool = False
    """The header `x-litellm-response-cost` of an answer says what the call cost."""
    id_header: bytes = b""
    """The header with the id that an answer is billed by, if the answer itself does not say it."""
    balance_api: BalanceApi | None = None
    bill_api: BillApi | None = None
