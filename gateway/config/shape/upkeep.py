"""`alerts`, `stores` and `cache`: what runs beside the calls."""

from __future__ import annotations

from pydantic import Field

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


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


class Cache(Strict):
    """The response cache. Roles and aliases say which answers are cached."""

    max_memory: n.Size = Field(
        default=64 * 1024 * 1024, description="The memory of the cache in each process. A change needs a restart."
    )
    ttl: n.Duration = Field(default=3600.0, description="How long an answer is cached, unless its role or alias says.")
