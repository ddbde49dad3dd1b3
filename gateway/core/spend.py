"""Decide which budgets an attempt is charged to, what is said when one is used up, and when somebody is told.

Rule: an attempt is booked in the windows in which it began, however long it takes, so that days add up to months.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.names import ROLE, quoted
from gateway.errors import BudgetExhausted, NoCandidate
from gateway.types import Budget, Charge, Key, OnUnknown, Scope, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.errors import Refusal
    from gateway.types import Route, Upstream

NANO = 1_000_000_000
FOREVER = float("inf")
# What a call is charged beforehand whose price nobody knows, or whose cost cannot be told before the sound is heard:
# nothing, but a budget that is spent refuses it as well.
UNPRICED_NANOUSD = 1
# Models and labels are named by others, so what is kept by name is bounded.
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
# The prefix of accounts that a budget without a name has, one for each value.
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
    """Return when the window that `wall` lies in begins and when the next one does, both in wall-clock seconds.

    Days begin at midnight, and last 23 or 25 hours where clocks are changed. Hours are those of UTC.
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
    """Return when a day begins. Where clocks jump over midnight, it is when they do."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def labels_of(key: Key) -> tuple[str, ...]:
    """Return the labels of a key as budgets and the ledger write them."""
    return tuple([f"{name}={value}" for name, value in key.labels])


def alerts_due(budget: Budget, before: int, after: int) -> tuple[float, ...]:
    """Return the shares of a budget that are reached when what is counted grows from `before` to `after` nano-USD.

    A counter only grows and begins at nothing with each window. So if both are what the counter itself was and became,
    each share is told once in a window, whoever counts.
    """
    limit = budget.limit_nanousd
    return tuple([share for share in budget.alert_at if before < share * limit <= after])


@dataclass(frozen=True, slots=True)
class Alert:
    """A share of a budget has been spent."""

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
        spent, limit = dollars(self.spent_nanousd), dollars(self.budget.limit_nanousd)
        return f"{100 * self.share:g} % of {self.what} is spent: {spent} of {limit}; it {_resets(self.resets_at)}"


class Spent(NamedTuple):
    """What the ledger says was spent by one key on one route at one model since a window began."""

    key: Key
    route: str
    """As `Route.name`: `role:rlm`, `main`."""
    provider: str
    model: str
    cost_nanousd: int


@dataclass(slots=True)
class _Span:
    """The window that the last attempt began in. Enums are slow to look things up by, so accounts have theirs."""

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
    """What has been found for a value before."""

    def of(self, *names: str) -> tuple[_Account, ...]:
        """Return the accounts of a thing that goes by these names, the one it is counted by first."""
        found = self.known.get(names)
        if found is None:
            matching = [account for name in dict.fromkeys(names) for account in self.named.get(name, ())]
            matching += [_account_of_each(budget, names, span) for budget, span in self.each]
            if len(self.known) >= MOST_KEPT:
                self.known.clear()
            found = self.known[names] = tuple(matching)
        return found


class Spending:
    """The budgets of one configuration, arranged so that those of an attempt are found at once."""

    __slots__ = ("_alerting", "_calendar", "_each", "_is_empty", "_named", "_own", "_scoped", "_spans", "_total")

    def __init__(self, budgets: Sequence[Budget], calendar: Calendar = USUAL_CALENDAR) -> None:
        self._is_empty = not budgets
        self._calendar = calendar
        self._total: list[_Account] = []
        self._scoped: dict[Scope, _Scoped] = {}
        self._named: dict[str, Budget] = {}
        """By account."""
        self._each: dict[tuple[str, str], Budget] = {}
        """By the second and the last part of the account."""
        self._own: dict[str, _Account] = {}
        """By key, as it was when it was last seen."""
        self._spans = {window: _Span(window) for window in Window}
        self._alerting = any(budget.alert_at for budget in budgets)
        for budget in budgets:
            self._add(budget)

    def __repr__(self) -> str:
        return f"<Spending {len(self._named) + len(self._each)} budgets>"

    def concerns(self, key: Key) -> bool:
        """Tell whether there is any budget that a call with this key could be charged to. For most there is none."""
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
        """Return what an attempt that begins at `wall` is charged to: every budget that applies.

        `labels`: as `labels_of` writes them. `amount_nanousd`: the most that it may cost; None if nobody knows. What
        is free needs no budget, and is not asked about.
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
        """Return what is to be told when the counter of a charge grows from `before` to `after`."""
        if not self._alerting or (budget := self._budget_of(charge.account)) is None:
            return ()
        return tuple([
            Alert(budget, charge.account, charge.what, share, after, charge.window_start, charge.resets_at)
            for share in alerts_due(budget, before, after)
        ])  # fmt: skip

    def windows(self, keys: Iterable[Key] = ()) -> frozenset[Window]:
        """Return the windows that the budgets have, and those of these keys."""
        configured = (*self._named.values(), *self._each.values())
        return frozenset(
            [budget.window for budget in configured]
            + [key.budget_window for key in keys if key.budget_nanousd is not None]
        )

    def seeds(self, window: Window, spent: Iterable[Spent], wall: float) -> Mapping[tuple[str, int], int]:
        """Return what the counters of a window come to, by account and its start, by what the ledger says since then.

        They are found like the charges of an attempt, so that both cannot come to mean different things.
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
        """Return the account of the budget that a key has of its own."""
        name = key.id or key.name
        known = self._own.get(name)
        if known is not None:
            budget = known.budget
            if budget.limit_nanousd == limit_nanousd and budget.window is key.budget_window:
                return known
        if len(self._own) >= MOST_KEPT:
            self._own.clear()
        budget = Budget(Scope.KEY, limit_nanousd, key.budget_window, name)
        what = _what(budget, key.name or key.id)
        span = self._spans[key.budget_window]
        known = self._own[name] = _Account(f"budget:{_OWN}:{name}:{key.budget_window}", what, budget, span)
        return known

    def has(self, account: str) -> bool:
        """Tell whether an account is one of these budgets', or of a key's own, which no configuration says."""
        return account.startswith(f"budget:{_OWN}:") or self._budget_of(account) is not None

    def _budget_of(self, account: str) -> Budget | None:
        budget = self._named.get(account)
        if budget is None and account.startswith("budget:" + _EACH):
            return self._each.get((account.split(":", 2)[1], account.rpartition(":")[2]))
        return budget


def refusal_of(charge: Charge, budget: Budget, counted: int, held: int, wall: float) -> BudgetExhausted:
    """Return what a client is told when there is no room for a charge.

    `counted`, `held`: of its counter. If the limit is not reached, what is left of it is held by calls under way that
    may need less; then it is worth another try. If it is, SDKs are kept from trying: by themselves they would, twice.
    """
    limit = dollars(budget.limit_nanousd)
    if counted >= budget.limit_nanousd:
        who = "an administrator can raise it"
        if not charge.account.startswith(f"budget:{_OWN}:"):
            who = 'whoever runs this gateway can raise it (under "budgets" in gateway.yaml)'
        message = f"{charge.what} is spent: {dollars(counted)} of {limit}; it {_resets(charge.resets_at, wall)}; {who}"
        return BudgetExhausted(message, headers=[(b"x-should-retry", b"false")])
    message = (
        f"the rest of {charge.what} is held by calls under way: {dollars(counted)} of {limit} is spent, "
        f"{dollars(held)} is held, and this call may take {dollars(charge.amount)}; try again in a moment"
    )
    refusal = BudgetExhausted(message, code="rate_limit_exceeded", headers=[(b"retry-after", b"1")])
    refusal.type = "requests"  # OpenAI's word for a limit that is not for long
    return refusal


def refusal_while_unknown(charged: Iterable[tuple[Charge, Budget]]) -> Refusal | None:
    """Return what a client is told while nobody can tell what was spent, or None if all budgets let it through."""
    for charge, budget in charged:
        if budget.on_unknown is OnUnknown.REFUSE:
            message = (
                f"nobody can tell at the moment how much of {charge.what} is spent, and it says on_unknown: refuse; "
                "try again in a moment"
            )
            return NoCandidate(message, code="budget_unknown", headers=[(b"retry-after", b"1")])
    return None


def objection_to_unpriced(charged: Iterable[tuple[Charge, Budget]]) -> str | None:
    """Return why an upstream whose price nobody knows may not be tried, or None if all budgets let it through."""
    for charge, budget in charged:
        if budget.on_unknown is OnUnknown.REFUSE:
            return f'its price is not known, and {charge.what} says on_unknown: refuse; give it a price under "models"'
    return None


def dollars(nanousd: int) -> str:
    """Write an amount for people: $20, $0.50, and below a cent as much as there is of it."""
    if nanousd % NANO == 0:
        return f"${nanousd // NANO}"
    if nanousd >= NANO // 100:
        return f"${nanousd / NANO:.2f}"
    return f"${nanousd / NANO:.9f}".rstrip("0")


def _account_of_each(budget: Budget, names: tuple[str, ...], span: _Span) -> _Account:
    name = f"budget:{_EACH}{budget.scope}:{names[0]}:{budget.window}"
    return _Account(name, _what(budget, names[-1] or names[0]), budget, span)


def _what(budget: Budget, name: str) -> str:
    if budget.scope is Scope.TOTAL:
        of = ""
    elif not name:  # only a caller can be nobody
        of = " of callers without a key"
    else:
        of = f" of {budget.scope} {quoted(name)}"
    return f"the budget of {dollars(budget.limit_nanousd)}{_A_WINDOW[budget.window]}{of}"


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
