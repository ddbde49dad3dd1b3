"""`budgets`, and the `ledger` in which their calls are recorded."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


class Ledger(Strict):
    """The record of every call. A change needs a restart, except of `record`."""

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
