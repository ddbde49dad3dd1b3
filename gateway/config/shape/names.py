"""`models` and `roles`: the names that clients may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, GetJsonSchemaHandler, model_validator

from gateway.config import notations as n
from gateway.config.shape.prices import Price
from gateway.config.shape.strict import Strict
from gateway.core.names import quoted

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


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
