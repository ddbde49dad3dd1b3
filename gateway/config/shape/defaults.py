"""`defaults`, which a provider, a model or a role may override, and the timers of calls."""

from __future__ import annotations

from pydantic import Field

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


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
