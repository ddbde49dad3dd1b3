"""`providers`: the endpoints that serve models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator

from gateway.config import notations as n
from gateway.config.shape.defaults import Timeouts
from gateway.config.shape.prices import Price
from gateway.config.shape.strict import Strict

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


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
