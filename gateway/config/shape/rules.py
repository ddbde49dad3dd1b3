"""`rules`: where a request goes for other reasons than its model."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


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
