"""What this process knows of its upstreams. Every decision about it is made in `core`; here it is only kept.

Everything is called from the event loop, so a read, a decision and a write belong together without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gateway.core import budget, facts, quota
from gateway.core.plan import Knowledge

if TYPE_CHECKING:
    from gateway.core.budget import RetryBudget
    from gateway.core.facts import Facts
    from gateway.core.quota import Quota
    from gateway.types import Attempt, Header, Upstream, Usage

# Clients may name models that nobody configured, so what is kept by name is bounded; the oldest goes first.
MOST_KEPT = 8192
# Reading the limits off an answer costs as much as the rest of the bookkeeping. While there is plenty, a look now and
# then will do.
LOOK_EVERY_S = 0.1
PLENTY = 0.2

Value = TypeVar("Value")


class Memory:
    """Facts, quotas, retry budgets and what is under way."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        self.quotas: dict[str, Quota] = {}
        self.in_flight: dict[str, int] = {}
        self.budgets: dict[str, RetryBudget] = {}
        self.known = Knowledge(self.facts, self.quotas, self.in_flight)
        self.ignored = 0
        """Words about limits that made no sense."""
        self._looked_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Memory {len(self.facts)} upstreams, {len(self.quotas)} limit domains>"

    def begin(self, upstream: Upstream, wall: float, now: float, *, is_retry: bool) -> bool:
        """An attempt is about to begin. False: it is a retry, and its provider's budget cannot pay for it."""
        name = upstream.provider.name
        account = self.budgets.get(name) or budget.RetryBudget(at=now)
        paid = budget.spend(account, now) if is_retry else budget.earn(account, now)
        if paid is None:
            return False
        self.budgets[name] = paid
        if known := self.facts.get(upstream.id):
            self.facts[upstream.id] = facts.begin(known, wall)
        flying = self.in_flight
        flying[upstream.id] = flying.get(upstream.id, 0) + 1
        if upstream.domain != upstream.id:
            flying[upstream.domain] = flying.get(upstream.domain, 0) + 1
        return True

    def end(
        self, upstream: Upstream, attempt: Attempt, headers: list[Header], usage: Usage | None, wall: float
    ) -> None:
        """An attempt that began is over."""
        self._land(upstream.id)
        if upstream.domain != upstream.id:
            self._land(upstream.domain)
        known = self.facts.get(upstream.id, facts.UNKNOWN)
        self._keep(self.facts, upstream.id, facts.observe(known, attempt, usage, wall))
        if attempt.outcome in facts.ACCOUNT_WIDE:
            self._observe(upstream.provider.name, attempt, wall)
        elif attempt.outcome in facts.SAID and upstream.domain != upstream.id:
            self._observe(upstream.domain, attempt, wall)
        if headers:
            self._look(upstream.domain, headers, wall, attempt.status)

    def told(self, domain: str, limits: tuple[quota.Limit, ...]) -> None:
        """A provider said elsewhere than in an answer what is left (OpenRouter's key endpoint)."""
        self._keep(self.quotas, domain, quota.after(self.quotas.get(domain, quota.NOTHING_KNOWN), limits))

    def _observe(self, shared: str, attempt: Attempt, wall: float) -> None:
        """What one upstream was told concerns all that share its account or its limits."""
        self._keep(self.facts, shared, facts.observe(self.facts.get(shared, facts.UNKNOWN), attempt, None, wall))

    def _look(self, domain: str, headers: list[Header], wall: float, status: int | None) -> None:
        if wall < self._looked_at.get(domain, 0.0) and status == 200:
            return
        limits, ignored = quota.read_limits(headers, wall)
        self.ignored += ignored
        if limits:
            self._keep(self.quotas, domain, quota.after(self.quotas.get(domain, quota.NOTHING_KNOWN), limits))
        scarce = any(limit.limit and limit.remaining < PLENTY * limit.limit for limit in limits)
        self._keep(self._looked_at, domain, wall if scarce else wall + LOOK_EVERY_S)

    def _land(self, key: str) -> None:
        left = self.in_flight[key] - 1
        if left:
            self.in_flight[key] = left
        else:
            del self.in_flight[key]

    @staticmethod
    def _keep(kept: dict[str, Value], key: str, value: Value) -> None:
        if key not in kept and len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = value
