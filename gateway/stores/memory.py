"""The process's knowledge of its upstreams. Decisions are made in `core`; this file only stores their results.

Everything is called from the event loop, so reading, deciding and writing need no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core import allowance, facts, health, quota
from gateway.core.bounded import keep
from gateway.core.breaker import BreakerState
from gateway.core.facts import UNKNOWN
from gateway.core.merge import merge_facts, merge_quotas
from gateway.core.outcome import OK
from gateway.core.plan import Knowledge
from gateway.core.turns import turn_of
from gateway.types import unpaid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from gateway.core.allowance import Allowance
    from gateway.core.breaker import Event
    from gateway.core.facts import Facts
    from gateway.core.health import Tally, Trend
    from gateway.core.quota import Quota
    from gateway.core.turns import Turn
    from gateway.types import Attempt, Header, Provider, Upstream, Usage

# Entries per map, the oldest evicted first: clients may name models that are not configured.
MOST_KEPT = 8192
# Reading limits from an answer's headers costs as much as the rest of the bookkeeping. While more than PLENTY of every
# limit is left, they are read only so often.
LOOK_EVERY_S = 0.1
PLENTY = 0.2
# Start times remembered by limit domain: more than matter for a limit that is nearly used up.
MOST_BEGUN = 512
# An attempt's own (monotonic) clock starts slightly after the wall-clock time that `begin` notes.
CLOCKS_DIFFER_S = 0.00001
# A server that lacks a dialect of its kind is an old one. Its update should be noticed.
UNSPOKEN_S = 10 * 60.0
# Other processes of this gateway read a new configuration within a second or two. Until then they still tell what is
# forgotten here.
OTHERS_WITHIN_S = 5.0


class Memory:
    """Facts, quotas, allowances for retries and what is under way."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        self.quotas: dict[str, Quota] = {}
        self.in_flight: dict[str, int] = {}
        self.allowances: dict[str, Allowance] = {}
        self.begun: dict[str, list[float]] = {}
        """When the latest attempts began, by limit domain: an answer's limits do not yet include later attempts."""
        self.known = Knowledge(self.facts, self.quotas, self.in_flight, self.begun)
        self.ignored = 0
        """Rate-limit headers that could not be read."""
        self.trends: dict[str, Trend] = {}
        """Of configured upstreams, as of the last `review`."""
        self.unspoken: dict[tuple[str, str], float] = {}
        """Dialects that a provider turned out not to serve, by its name; until when (wall clock) that holds."""
        self._tallies: dict[str, Tally] = {}
        self._looked_at: dict[str, float] = {}
        self.turned: Callable[[Turn], None] | None = None
        """Told when an upstream or an account goes out of use or comes back."""
        self._replaced: dict[str, tuple[Provider | None, float]] = {}
        """By name: what stands now in the place of a provider (None: nothing), and until when others may not know."""

    def __repr__(self) -> str:
        return f"<Memory {len(self.facts)} upstreams, {len(self.quotas)} limit domains>"

    def spoken(self, provider: Provider, wall: float) -> tuple[str, ...]:
        """Return the dialects that a provider speaks, the best first, as far as is known now."""
        if not self.unspoken:
            return provider.speaks
        return tuple(one for one in provider.speaks if self.unspoken.get((provider.name, one), 0.0) <= wall)

    def speaks_not(self, provider: Provider, dialect: str, wall: float) -> None:
        """A provider does not serve a dialect of its kind: its server is older than the dialect."""
        keep(self.unspoken, (provider.name, dialect), wall + UNSPOKEN_S, MOST_KEPT)

    def begin(self, upstream: Upstream, wall: float, now: float, *, is_retry: bool) -> bool:
        """An attempt is about to begin. False: its upstream is failing, and the allowance for retries is used up.

        `is_retry`: the attempt is not the first of its call, at this upstream or any other.
        """
        name = upstream.provider.name
        account = self.allowances.get(name) or allowance.Allowance(at=now)
        known = self.facts.get(upstream.id)
        if is_retry and not facts.is_sound(known or facts.UNKNOWN):
            paid = allowance.spend(account, now)
            if paid is None:
                return False
        else:
            paid = allowance.earn(account, now)
        self.allowances[name] = paid
        if known is not None:
            self.facts[upstream.id] = facts.begin(known, wall)
        flying = self.in_flight
        flying[upstream.id] = flying.get(upstream.id, 0) + 1
        begun = self.begun.get(upstream.domain)
        if begun is None:
            keep(self.begun, upstream.domain, [wall], MOST_KEPT)
        else:
            begun.append(wall)
            if len(begun) > 2 * MOST_BEGUN:
                del begun[:MOST_BEGUN]
        return True

    def end(
        self, upstream: Upstream, attempt: Attempt, headers: list[Header], usage: Usage | None, wall: float
    ) -> None:
        """Learn from an attempt that has ended."""
        self._land(upstream.id)
        if self._replaced and self._is_of_another(upstream.provider):
            return
        known = self.facts.get(upstream.id, facts.UNKNOWN)
        after = facts.observe(known, attempt, usage, wall)
        keep(self.facts, upstream.id, after, MOST_KEPT)
        if after.breaker is not known.breaker or after.usable_at != known.usable_at:
            self._tell(upstream.id, known, after, wall)
        keep(self._tallies, upstream.id, health.count(self._tallies.get(upstream.id, health.NONE), attempt), MOST_KEPT)
        if attempt.outcome is not OK:
            unseen = unpaid(upstream.provider.name)  # people see one account: report only one of its two parts
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
        """Take over limits that a provider reports outside of answers (OpenRouter's key endpoint)."""
        known = self.quotas.get(domain, quota.NOTHING_KNOWN)
        now = max((limit.observed_at for limit in limits), default=0.0)
        keep(self.quotas, domain, quota.after(known, limits, now), MOST_KEPT)

    def probe_begin(self, upstream_id: str, wall: float) -> bool:
        """Note that a background probe begins. False: do not begin it; an attempt already serves as the probe."""
        known = self.facts.get(upstream_id, facts.UNKNOWN)
        if known.breaker.state is BreakerState.HALF_OPEN and not known.breaker.admits(wall):
            return False
        if known.breaker.state is not BreakerState.CLOSED:
            self.facts[upstream_id] = facts.begin(known, wall)
        return True

    def probed(self, upstream_id: str, event: Event, said: str, wall: float) -> None:
        """Learn from a background probe that has ended, as `facts.probed` decides."""
        known = self.facts.get(upstream_id, facts.UNKNOWN)
        after = facts.probed(known, event, said, wall)
        if after != known:
            keep(self.facts, upstream_id, after, MOST_KEPT)
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
                keep(self.facts, name, both, MOST_KEPT)
                self._tell(name, ours, both, wall, is_hearsay=True)
        for domain, said in quotas.items():
            known = self.quotas.get(domain, quota.NOTHING_KNOWN)
            merged = merge_quotas(known, said, wall)
            if merged != known:
                keep(self.quotas, domain, merged, MOST_KEPT)

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
            self.facts, self.quotas, self.begun, self.trends, self._tallies, self._looked_at, self.allowances,
        )  # fmt: skip
        for spoken in [spoken for spoken in self.unspoken if spoken[0] in elsewhere]:
            del self.unspoken[spoken]
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
        """Compare upstreams since the last review with their usual; return those newly degraded or recovered."""
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
        """Apply an attempt to the facts of a shared account or limit domain."""
        known = self.facts.get(shared, facts.UNKNOWN)
        after = facts.observe(known, attempt, None, wall)
        keep(self.facts, shared, after, MOST_KEPT)
        if is_told:
            self._tell(shared, known, after, wall)

    def _tell(self, name: str, before: Facts, after: Facts, wall: float, *, is_hearsay: bool = False) -> None:
        if self.turned is not None and (turn := turn_of(name, before, after, wall)) is not None:
            self.turned(turn._replace(is_hearsay=True) if is_hearsay else turn)

    def _look(self, domain: str, headers: list[Header], attempt: Attempt, wall: float) -> None:
        if 0.0 < self._looked_at.get(domain, 0.0) - wall <= LOOK_EVERY_S and attempt.status == 200:
            return
        # The headers date from the answer's head; a stream may have gone on for minutes since.
        began_at = wall - attempt.duration_s
        heard_at = began_at + (attempt.duration_s if attempt.first_byte_s is None else attempt.first_byte_s)
        limits, ignored = quota.read_limits(headers, heard_at, began_at + CLOCKS_DIFFER_S)
        self.ignored += ignored
        known = self.quotas.get(domain, quota.NOTHING_KNOWN)
        if limits:
            keep(self.quotas, domain, quota.after(known, limits, wall), MOST_KEPT)
        elif known.limits and attempt.outcome is OK:
            self.quotas[domain] = quota.without_past(known, heard_at)
        scarce = any(limit.limit and limit.remaining < PLENTY * limit.limit for limit in limits)
        keep(self._looked_at, domain, wall if scarce else wall + LOOK_EVERY_S, MOST_KEPT)

    def _land(self, key: str) -> None:
        left = self.in_flight[key] - 1
        if left:
            self.in_flight[key] = left
        else:
            del self.in_flight[key]


def is_same(one: Provider, other: Provider) -> bool:
    """Tell whether two providers of one name are the same account at the same server."""
    return is_same_server(one, other) and one.headers == other.headers


def is_same_server(one: Provider, other: Provider) -> bool:
    """Tell whether two providers of one name are the same server, with whatever key."""
    return (one.base_url, one.kind, one.query) == (other.base_url, other.kind, other.query)


def _provider_of(name: str) -> str:
    """Return the provider of an upstream (`shop/m`), an account (`shop:unpaid`) or an allowance (`shop:free`)."""
    return name.partition("/")[0].partition(":")[0]
