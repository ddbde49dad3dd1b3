"""Decide which budgets an attempt is charged to, when to refuse it, and when to send alerts.

Rule: an attempt is booked in the windows in which it began, however long it takes, so that days add up to months.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.bounded import remember
from gateway.core.money import short_usd
from gateway.core.names import ROLE, quoted
from gateway.errors import NO_RETRY, BudgetExhausted, NoCandidate
from gateway.types import Budget, Charge, Key, OnUnknown, Scope, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gateway.errors import Refusal
    from gateway.types import Route, Upstream

FOREVER = float("inf")
# The charge held for a call without a known price, or for sound of unknown length: next to nothing, but enough for an
# exhausted budget to refuse the call.
UNPRICED_NANOUSD = 1
# Others choose the names of models and labels, so tables by name are bounded.
MOST_KEPT = 4096

_HOUR_S = 3600
_DAY_S = 86_400
_A_WINDOW = {
    Window.HOUR: " an hour",
    Window.DAY: " a day",
    Window.WEEK: " a week",
    Window.MONTH: " a month",
    Window.LIFETIME: "",
}
# The prefix of the accounts of a budget without a name, which has one account for each value.
_EACH = "each-"
_OWN = "own"


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Calendar:
    """When the days, weeks and months of budgets begin."""

    zone: tzinfo = UTC
    week_starts: int = 0
    """The first day of the week, as an index of WEEKDAYS."""


USUAL_CALENDAR = Calendar()


def window_of(window: Window, wall: float, calendar: Calendar = USUAL_CALENDAR) -> tuple[int, float]:
    """Return the start of the window around `wall` and the start of the next one, both in wall-clock seconds.

    Days begin at midnight, and last 23 or 25 hours when clocks change. Hours are those of UTC.
    """
    if window is Window.LIFETIME:
        return 0, FOREVER
    if window is Window.HOUR:
        start = int(wall // _HOUR_S) * _HOUR_S
        return start, start + _HOUR_S
    today = datetime.fromtimestamp(wall, calendar.zone).date()
    match window:
        case Window.DAY:
            first, after = today, today + timedelta(days=1)
        case Window.WEEK:
            first = today - timedelta(days=(today.weekday() - calendar.week_starts) % 7)
            after = first + timedelta(days=7)
        case Window.MONTH:
            first = today.replace(day=1)
            months = first.year * 12 + first.month
            after = first.replace(year=months // 12, month=months % 12 + 1)
    return int(_midnight(first, calendar.zone)), _midnight(after, calendar.zone)


def _midnight(day: date, zone: tzinfo) -> float:
    """Return when a day begins. Where clocks skip midnight, this is the moment of the change."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def labels_of(key: Key) -> tuple[str, ...]:
    """Return the labels of a key in the form of budgets and the ledger: `name=value`."""
    return tuple([f"{name}={value}" for name, value in key.labels])


def alerts_due(budget: Budget, before: int, after: int) -> tuple[float, ...]:
    """Return the alert shares of a budget that its counter passes when it grows from `before` to `after` nano-USD.

    A counter starts each window at 0 and only grows. Each share is therefore passed once in a window, even with several
    processes, as long as `before` and `after` are values of the counter itself.
    """
    limit = budget.limit_nanousd
    return tuple([share for share in budget.alert_at if before < share * limit <= after])


@dataclass(frozen=True, slots=True)
class Alert:
    """The event that a share of a budget has been spent."""

    budget: Budget
    account: str
    what: str
    """For people: `the budget of $20 a day`."""
    share: float
    spent_nanousd: int
    window_start: int
    resets_at: float

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        spent, limit = short_usd(self.spent_nanousd), short_usd(self.budget.limit_nanousd)
        return f"{100 * self.share:g} % of {self.what} is spent: {spent} of {limit}; it {_resets(self.resets_at)}"


class Spent(NamedTuple):
    """The ledger's sum for one key, route and model since a window began."""

    key: Key
    route: str
    """The name of a `Route`: `role:rlm`, `main`."""
    provider: str
    model: str
    cost_nanousd: int


@dataclass(slots=True)
class _Span:
    """The window in which the last attempt began. Each account refers to its own: enums are slow as dictionary keys."""

    window: Window
    start: int = 0
    end: float = 0.0


class _Account(NamedTuple):
    name: str
    what: str
    budget: Budget
    span: _Span


@dataclass(slots=True)
class _Scoped:
    """The budgets of one scope."""

    scope: Scope
    named: dict[str, list[_Account]] = field(default_factory=dict)
    each: list[tuple[Budget, _Span]] = field(default_factory=list)
    known: dict[tuple[str, ...], tuple[_Account, ...]] = field(default_factory=dict)
    """Cache of `of`."""

    def of(self, *names: str) -> tuple[_Account, ...]:
        """Return the accounts of a thing with these names. The first name is the one in its account."""
        found = self.known.get(names)
        if found is None:
            matching = [account for name in dict.fromkeys(names) for account in self.named.get(name, ())]
            matching += [_account_of_each(budget, names, span) for budget, span in self.each]
            found = remember(self.known, names, tuple(matching), MOST_KEPT)
        return found


class Spending:
    """The budgets of one configuration, indexed for the charges of an attempt."""

    __slots__ = ("_alerting", "_calendar", "_each", "_is_empty", "_named", "_own", "_scoped", "_spans", "_total")

    def __init__(self, budgets: Sequence[Budget], calendar: Calendar = USUAL_CALENDAR) -> None:
        self._is_empty = not budgets
        self._calendar = calendar
        self._total: list[_Account] = []
        self._scoped: dict[Scope, _Scoped] = {}
        self._named: dict[str, Budget] = {}
        """By account name."""
        self._each: dict[tuple[str, str], Budget] = {}
        """By the second and the last part of the account name."""
        self._own: dict[str, _Account] = {}
        """By key; the latest known budget of each key."""
        self._spans = {window: _Span(window) for window in Window}
        self._alerting = any(budget.alert_at for budget in budgets)
        for budget in budgets:
            self._add(budget)

    def __repr__(self) -> str:
        return f"<Spending {len(self._named) + len(self._each)} budgets>"

    def concerns(self, key: Key) -> bool:
        """Tell whether any budget could apply to a call with this key. For most calls there is none."""
        return not self._is_empty or key.budget_nanousd is not None

    def charges(
        self,
        key: Key,
        route: Route,
        upstream: Upstream,
        labels: Sequence[str],
        amount_nanousd: int | None,
        wall: float,
    ) -> tuple[tuple[Charge, Budget], ...]:
        """Return the charges of an attempt that begins at `wall`: one for every budget that applies.

        `labels`: as `labels_of` writes them. `amount_nanousd`: the highest cost of the attempt; None if unknown. Free
        attempts need no budget: the caller does not ask for their charges.
        """
        if self._is_empty and key.budget_nanousd is None:
            return ()
        amount = amount_nanousd or UNPRICED_NANOUSD
        found: list[tuple[Charge, Budget]] = []
        for account, what, budget, span in self._applying(key, route.name, upstream.provider.name, upstream.id, labels):
            if not span.start <= wall < span.end:
                span.start, span.end = window_of(span.window, wall, self._calendar)
            found.append((Charge(account, span.start, span.end, budget.limit_nanousd, amount, what), budget))
        return tuple(found)

    def alerts(self, charge: Charge, before: int, after: int) -> tuple[Alert, ...]:
        """Return the alerts due when the counter of a charge grows from `before` to `after`."""
        if not self._alerting or (budget := self._budget_of(charge.account)) is None:
            return ()
        return tuple([
            Alert(budget, charge.account, charge.what, share, after, charge.window_start, charge.resets_at)
            for share in alerts_due(budget, before, after)
        ])  # fmt: skip

    def windows(self, keys: Iterable[Key] = ()) -> frozenset[Window]:
        """Return the windows of all configured budgets and of these keys' own budgets."""
        configured = (*self._named.values(), *self._each.values())
        return frozenset(
            [budget.window for budget in configured]
            + [key.budget_window for key in keys if key.budget_nanousd is not None]
        )

    def seeds(self, window: Window, spent: Iterable[Spent], wall: float) -> Mapping[tuple[str, int], int]:
        """Return the initial counters of a window from the ledger's sums, by account and start of the window.

        The accounts are found like those of an attempt's charges, so that both always agree.
        """
        start, _ = window_of(window, wall, self._calendar)
        sums: defaultdict[tuple[str, int], int] = defaultdict(int)
        for one in spent:
            upstream_id = f"{one.provider}/{one.model}"
            for account in self._applying(one.key, one.route, one.provider, upstream_id, labels_of(one.key)):
                if account.budget.window is window:
                    sums[account.name, start] += one.cost_nanousd
        return sums

    def _add(self, budget: Budget) -> None:
        span = self._spans[budget.window]
        if budget.scope is not Scope.TOTAL and not budget.name:
            self._each[_EACH + budget.scope, budget.window] = budget
            self._scoped.setdefault(budget.scope, _Scoped(budget.scope)).each.append((budget, span))
            return
        middle = f":{budget.name}" if budget.name else ""
        account = _Account(f"budget:{budget.scope}{middle}:{budget.window}", _what(budget, budget.name), budget, span)
        self._named[account.name] = budget
        if budget.scope is Scope.TOTAL:
            self._total.append(account)
        else:
            scoped = self._scoped.setdefault(budget.scope, _Scoped(budget.scope))
            scoped.named.setdefault(budget.name, []).append(account)

    def _applying(self, key: Key, route: str, provider: str, upstream_id: str, labels: Sequence[str]) -> list[_Account]:
        found = self._total.copy()
        for scope, scoped in self._scoped.items():
            if scope is Scope.KEY:
                found += scoped.of(key.id or key.name, key.name)
            elif scope is Scope.ROLE:
                if route.startswith(ROLE):
                    found += scoped.of(route[len(ROLE) :])
            elif scope is Scope.PROVIDER:
                found += scoped.of(provider)
            elif scope is Scope.MODEL:
                found += scoped.of(upstream_id)
            else:
                for label in labels:
                    found += scoped.of(label)
        if key.budget_nanousd is not None:
            found.append(self._own_of(key, key.budget_nanousd))
        return found

    def _own_of(self, key: Key, limit_nanousd: int) -> _Account:
        """Return the account of a key's own budget."""
        name = key.id or key.name
        known = self._own.get(name)
        if known is not None:
            budget = known.budget
            if budget.limit_nanousd == limit_nanousd and budget.window is key.budget_window:
                return known
        budget = Budget(Scope.KEY, limit_nanousd, key.budget_window, name)
        what = _what(budget, key.name or key.id)
        span = self._spans[key.budget_window]
        own = _Account(f"budget:{_OWN}:{name}:{key.budget_window}", what, budget, span)
        return remember(self._own, name, own, MOST_KEPT)

    def accounts(self, wall: float) -> Iterator[tuple[str, str, Budget, int, float]]:
        """Yield each known account: its name, what it limits, its budget, and the start and the end of its window.

        Known are the accounts that the configuration names, and the others that calls have asked for.
        """
        known = self._total + list(self._own.values())
        for scoped in self._scoped.values():
            known += [one for named in scoped.named.values() for one in named]
            known += [one for found in scoped.known.values() for one in found]
        for one in {each.name: each for each in known}.values():
            start, end = window_of(one.budget.window, wall, self._calendar)
            yield one.name, one.what, one.budget, start, end

    def has(self, account: str) -> bool:
        """Tell whether an account is one of these budgets', or of a key's own, which no configuration says."""
        return account.startswith(f"budget:{_OWN}:") or self._budget_of(account) is not None

    def _budget_of(self, account: str) -> Budget | None:
        budget = self._named.get(account)
        if budget is None and account.startswith("budget:" + _EACH):
            return self._each.get((account.split(":", 2)[1], account.rpartition(":")[2]))
        return budget


def refusal_of(charge: Charge, budget: Budget, counted: int, held: int, wall: float) -> BudgetExhausted:
    """Return the refusal when a budget has no room for a charge.

    `counted`, `held`: the values of the charge's counter. While the limit is not reached, calls under way hold the rest
    and may not need it, so another try is worthwhile. Once the limit is reached, the refusal stops SDKs from retrying,
    which they would do twice.
    """
    limit = short_usd(budget.limit_nanousd)
    if counted >= budget.limit_nanousd:
        who = "an administrator can raise it"
        if not charge.account.startswith(f"budget:{_OWN}:"):
            who = 'the operator of this gateway can raise it (under "budgets" in gateway.yaml)'
        resets = _resets(charge.resets_at, wall)
        message = f"{charge.what} is spent: {short_usd(counted)} of {limit}; it {resets}; {who}"
        return BudgetExhausted(message, headers=[NO_RETRY])
    message = (
        f"calls under way hold the rest of {charge.what}: {short_usd(counted)} of {limit} is spent, "
        f"{short_usd(held)} is held, and this call may cost {short_usd(charge.amount)}; try again in a moment"
    )
    refusal = BudgetExhausted(message, code="rate_limit_exceeded", headers=[(b"retry-after", b"1")])
    refusal.type = "requests"  # OpenAI's word for a limit that passes soon
    return refusal


def refusal_while_unknown(charged: Iterable[tuple[Charge, Budget]]) -> Refusal | None:
    """Return the refusal while the spending is unknown, or None if all budgets allow the call."""
    for charge, budget in charged:
        if budget.on_unknown is OnUnknown.REFUSE:
            message = (
                f"the gateway cannot tell at the moment how much of {charge.what} is spent, and the budget says "
                "on_unknown: refuse; try again in a moment"
            )
            return NoCandidate(message, code="budget_unknown", headers=[(b"retry-after", b"1")])
    return None


def objection_to_unpriced(charged: Iterable[tuple[Charge, Budget]]) -> str | None:
    """Return why an upstream without a known price may not be tried, or None if all budgets allow it."""
    for charge, budget in charged:
        if budget.on_unknown is OnUnknown.REFUSE:
            return f'its price is unknown, and {charge.what} says on_unknown: refuse; set its price under "models"'
    return None


def _account_of_each(budget: Budget, names: tuple[str, ...], span: _Span) -> _Account:
    name = f"budget:{_EACH}{budget.scope}:{names[0]}:{budget.window}"
    return _Account(name, _what(budget, names[-1] or names[0]), budget, span)


def _what(budget: Budget, name: str) -> str:
    if budget.scope is Scope.TOTAL:
        of = ""
    elif not name:  # only the scope of keys has an empty name
        of = " of callers without a key"
    else:
        of = f" of {budget.scope} {quoted(name)}"
    return f"the budget of {short_usd(budget.limit_nanousd)}{_A_WINDOW[budget.window]}{of}"


def _resets(at: float, wall: float | None = None) -> str:
    if at == FOREVER:
        return "never resets"
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"resets at {when}" + (f", in {_roughly(at - wall)}" if wall is not None else "")


def _roughly(seconds: float) -> str:
    for unit, one_s in (("days", _DAY_S), ("hours", _HOUR_S), ("minutes", 60)):
        if seconds >= 2 * one_s:
            return f"{seconds // one_s:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} seconds"
