"""`price`, wherever it stands."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


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
