"""`experiments`: comparisons of models or parameters."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


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
