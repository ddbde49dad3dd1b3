"""What this process knows of its upstreams. Every decision about it is made in `core`; here it is only kept.

Everything is called from the event loop, so a read, a decision and a write belong together without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from gateway.core import budget, facts, health, quota
from gateway.core.breaker import State
from gateway.core.facts import UNKNOWN
from gateway.core.merge import merge_facts, merge_quotas
from gateway.core.outcome import OK
from gateway.core.plan import Knowledge
from gateway.core.turns import turn_of
from gateway.types import unpaid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from gateway.core.breaker import Event
    from gateway.core.budget import RetryBudget
    from gateway.core.facts import Facts
    from gateway.core.health import Tally, Trend
    from gateway.core.quota import Quota
    from gateway.core.turns import Turn
    from gateway.types import Attempt, Header, Provider, Upstream, Usage

# Clients may name models that nobody configured, so what is kept by name is bounded; the oldest goes first.
MOST_KEPT = 8192
# Reading the limits off an answer costs as much as the rest of the bookkeeping. While there is plenty, a look now and
# then will do.
LOOK_EVERY_S = 0.1
PLENTY = 0.2
# How many attempts are remembered to have begun, by limit domain: more than matter of any limit that is near its end.
MOST_BEGUN = 512
# An attempt's own clock starts a moment after it was noted to begin, and counts by itself.
CLOCKS_DIFFER_S = 0.00001
# Other processes of this gateway read a new configuration within a second or two. Until then they still tell what is
# forgotten here.
OTHERS_WITHIN_S = 5.0

Value = TypeVar("Value")


class Memory:
    """Facts, quotas, retry budgets and what is under way."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        self.quotas: dict[str, Quota] = {}
        self.in_flight: dict[str, int] = {}
        self.budgets: dict[str, RetryBudget] = {}
        self.begun: dict[str, list[float]] = {}
        """When the latest attempts began, by limit domain: what an answer says of a limit is older than some."""
        self.known = Knowledge(self.facts, self.quotas, self.in_flight, self.begun)
        self.ignored = 0
        """Words about limits that made no sense."""
        self.trends: dict[str, Trend] = {}
        """Of configured upstreams, as of the last `review`."""
        self._tallies: dict[str, Tally] = {}
        self._looked_at: dict[str, float] = {}
        self.turned: Callable[[Turn], None] | None = None
        """Told when an upstream or an account goes out of use or comes back."""
        self._replaced: dict[str, tuple[Provider | None, float]] = {}
        """By name: what stands now in the place of a provider (None: nothing), and until when others may not know."""

    def __repr__(self) -> str:
        return f"<Memory {len(self.facts)} upstreams, {len(self.quotas)} limit domains>"

    def begin(self, upstream: Upstream, wall: float, now: float, *, is_retry: bool) -> bool:
        """An attempt is about to begin. False: its upstream is failing, and the budget of retries is used up.

        `is_retry`: it is not the first of its call, here or elsewhere.
        """
        name = upstream.provider.name
        account = self.budgets.get(name) or budget.RetryBudget(at=now)
        known = self.facts.get(upstream.id)
        if is_retry and not facts.is_sound(known or facts.UNKNOWN):
            paid = budget.spend(account, now)
            if paid is None:
                return False
        else:
            paid = budget.earn(account, now)
        self.budgets[name] = paid
        if known is not None:
            self.facts[upstream.id] = facts.begin(known, wall)
        flying = self.in_flight
        flying[upstream.id] = flying.get(upstream.id, 0) + 1
        begun = self.begun.get(upstream.domain)
        if begun is None:
            self._keep(self.begun, upstream.domain, [wall])
        else:
            begun.append(wall)
            if len(begun) > 2 * MOST_BEGUN:
                del begun[:MOST_BEGUN]
        return True

    def end(
        self, upstream: Upstream, attempt: Attempt, headers: list[Header], usage: Usage | None, wall: float
    ) -> None:
        """An attempt that began is over."""
        self._land(upstream.id)
        if self._replaced and self._is_of_another(upstream.provider):
            return
        known = self.facts.get(upstream.id, facts.UNKNOWN)
        after = facts.observe(known, attempt, usage, wall)
        self._keep(self.facts, upstream.id, after)
        if after.breaker is not known.breaker or after.usable_at != known.usable_at:
            self._tell(upstream.id, known, after, wall)
        self._keep(self._tallies, upstream.id, health.count(self._tallies.get(upstream.id, health.NONE), attempt))
        if attempt.outcome is not OK:
            unseen = unpaid(upstream.provider.name)  # the part of an account that is the same to people
            for shared in facts.shared_by(upstream, attempt.outcome):
                self._observe(shared, attempt, wall, is_told=shared != unseen)
            headers = [*headers, *attempt.limits]
        if headers:
            self._look(upstream.domain, headers, attempt, wall)

    def heard(self, upstream: Upstream, attempt: Attempt, headers: list[Header], wall: float) -> None:
        """A stream has begun. What its head says of limits need not wait for its end."""
        if self._replaced and self._is_of_another(upstream.provider):
            return
        self._look(upstream.domain, headers, attempt, wall)

    def told(self, domain: str, limits: tuple[quota.Limit, ...]) -> None:
        """A provider said elsewhere than in an answer what is left (OpenRouter's key endpoint)."""
        known = self.quotas.get(domain, quota.NOTHING_KNOWN)
        now = max((limit.observed_at for limit in limits), default=0.0)
        self._keep(self.quotas, domain, quota.after(known, limits, now))

    def probe_begin(self, upstream_id: str, wall: float) -> bool:
        """A probe from the background is about to begin. False: an attempt that serves as one is under way already."""
        known = self.facts.get(upstream_id, facts.UNKNOWN)
        if known.breaker.state is State.HALF_OPEN and not known.breaker.admits(wall):
            return False
        if known.breaker.state is not State.CLOSED:
            self.facts[upstream_id] = facts.begin(known, wall)
        return True

    def probed(self, upstream_id: str, event: Event, said: str, wall: float) -> None:
        """A probe that began is over. It says what `facts.probed` makes of it."""
        known = self.facts.get(upstream_id, facts.UNKNOWN)
        after = facts.probed(known, event, said, wall)
        if after != known:
            self._keep(self.facts, upstream_id, after)
            self._tell(upstream_id, known, after, wall)

    def merge_in(self, facts: Mapping[str, Facts], quotas: Mapping[str, Quota], wall: float) -> None:
        """Another process told what it knows: take over what is news."""
        if self._replaced:
            facts = {name: one for name, one in facts.items() if not self._is_stale(name, wall)}
            quotas = {name: one for name, one in quotas.items() if not self._is_stale(name, wall)}
        for name, theirs in facts.items():
            ours = self.facts.get(name, UNKNOWN)
            both = merge_facts(ours, theirs, wall)
            if both != ours:
                self._keep(self.facts, name, both)
                self._tell(name, ours, both, wall)
        for domain, said in quotas.items():
            known = self.quotas.get(domain, quota.NOTHING_KNOWN)
            merged = merge_quotas(known, said, wall)
            if merged != known:
                self._keep(self.quotas, domain, merged)

    def forget(
        self, elsewhere: Collection[str], rekeyed: Collection[str], providers: Mapping[str, Provider], wall: float
    ) -> None:
        """A reload has replaced providers: forget what is no longer true of those of these names.

        `elsewhere`: other servers now, or gone; nothing known of them holds. `rekeyed`: the same servers with another
        key; what is known of the account does not hold. `providers`: by name, as they are now. An attempt at a
        replaced provider that is under way teaches nothing when it ends.
        """
        for name in (*elsewhere, *rekeyed):
            self._replaced[name] = (providers.get(name), wall + OTHERS_WITHIN_S)
        kept: tuple[dict[str, Any], ...] = (
            self.facts, self.quotas, self.begun, self.trends, self._tallies, self._looked_at, self.budgets,
        )  # fmt: skip
        of_accounts = (self.quotas, self.begun, self._looked_at)
        for one in kept:
            for key in [key for key in one if _provider_of(key) in elsewhere]:
                del one[key]
        for account in of_accounts:
            for key in [key for key in account if _provider_of(key) in rekeyed]:
                del account[key]
        for key in [key for key in self.facts if _provider_of(key) in rekeyed]:
            if "/" in key:  # how fast and sound a model is, its server decides
                self.facts[key] = msgspec.structs.replace(self.facts[key], usable_at=0.0, limited=False)
            else:
                del self.facts[key]

    def _is_of_another(self, provider: Provider) -> bool:
        """Tell whether a reload has put another provider in the place of this one."""
        if provider.name not in self._replaced:
            return False
        now, _ = self._replaced[provider.name]
        return now is None or not is_same(now, provider)

    def _is_stale(self, name: str, wall: float) -> bool:
        """Tell whether others may speak of a provider that a reload has replaced."""
        found = self._replaced.get(_provider_of(name))
        return found is not None and wall < found[1]

    def review(self, upstream_ids: Iterable[str], wall: float) -> tuple[tuple[str, Trend], ...]:
        """Compare what these did since the last review with what they usually do; return who is marked or unmarked."""
        tallies, self._tallies = self._tallies, {}
        before, self.trends = self.trends, {}
        changed: list[tuple[str, Trend]] = []
        for upstream_id in upstream_ids:
            tally, trend = tallies.get(upstream_id), before.get(upstream_id)
            if tally is None and trend is None:
                continue
            known = trend or health.Trend()
            after = self.trends[upstream_id] = health.follow(known, tally or health.NONE, wall)
            if after.is_degraded is not known.is_degraded:
                changed.append((upstream_id, after))
        return tuple(changed)

    def _observe(self, shared: str, attempt: Attempt, wall: float, *, is_told: bool) -> None:
        """What one upstream was told concerns all that share its account or its limits."""
        known = self.facts.get(shared, facts.UNKNOWN)
        after = facts.observe(known, attempt, None, wall)
        self._keep(self.facts, shared, after)
        if is_told:
            self._tell(shared, known, after, wall)

    def _tell(self, name: str, before: Facts, after: Facts, wall: float) -> None:
        if self.turned is not None and (turn := turn_of(name, before, after, wall)) is not None:
            self.turned(turn)

    def _look(self, domain: str, headers: list[Header], attempt: Attempt, wall: float) -> None:
        if 0.0 < self._looked_at.get(domain, 0.0) - wall <= LOOK_EVERY_S and attempt.status == 200:
            return
        # The headers are as old as the head they came in: a stream may have gone on for minutes since.
        began_at = wall - attempt.duration_s
        heard_at = began_at + (attempt.duration_s if attempt.first_byte_s is None else attempt.first_byte_s)
        limits, ignored = quota.read_limits(headers, heard_at, began_at + CLOCKS_DIFFER_S)
        self.ignored += ignored
        known = self.quotas.get(domain, quota.NOTHING_KNOWN)
        if limits:
            self._keep(self.quotas, domain, quota.after(known, limits, wall))
        elif known.limits and attempt.outcome is OK:
            self.quotas[domain] = quota.without_past(known, heard_at)
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
        # What is written goes to the end, so that names which clients make up push out each other, not what is in use.
        if kept.pop(key, None) is None and len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = value


def is_same(one: Provider, other: Provider) -> bool:
    """Tell whether two providers of one name are the same account at the same server."""
    return is_same_server(one, other) and one.headers == other.headers


def is_same_server(one: Provider, other: Provider) -> bool:
    """Tell whether two providers of one name are the same server, with whatever key."""
    return (one.base_url, one.kind, one.query) == (other.base_url, other.kind, other.query)


def _provider_of(name: str) -> str:
    """Return the provider of an upstream (`shop/m`), an account (`shop:unpaid`) or an allowance (`shop:free`)."""
    return name.partition("/")[0].partition(":")[0]
