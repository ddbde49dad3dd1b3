"""Which budgets an attempt is charged to, and what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.spend import (
    MOST_KEPT,
    UNPRICED_NANOUSD,
    Calendar,
    Spending,
    Spent,
    alerts_due,
    dollars,
    labels_of,
    objection_to_unpriced,
    refusal_of,
    refusal_while_unknown,
    window_of,
)
from gateway.types import Budget, Charge, Key, OnUnknown, Provider, Route, RouteKind, Scope, Upstream, Window

NANO = 1_000_000_000
UPSTREAM = Upstream(Provider("openrouter", "openrouter", "http://x/v1"), "google/gemma-3-27b-it:free")
ROLE = Route("role:rlm", RouteKind.ROLE, ())
ALIAS = Route("rlm", RouteKind.ALIAS, ())
CI = Key(id="key_0123456789ab", name="ci", labels=(("team", "search"), ("env", "prod")))
NOBODY = Key(id="")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-21T05:30:07.5")


def budget(scope: Scope, name: str = "", window: Window = Window.DAY, **more: object) -> Budget:
    return Budget(scope, 5 * NANO, window, name, **more)  # type: ignore[arg-type]  # a test's shorthand


def accounts(budgets: list[Budget], key: Key = CI, route: Route = ROLE, upstream: Upstream = UPSTREAM) -> list[str]:
    found = Spending(budgets).charges(key, route, upstream, labels_of(key), 7, NOW)
    return [charge.account for charge, _ in found]


@pytest.mark.parametrize(
    ("window", "wall", "start", "end"),
    [
        (Window.HOUR, "2026-11-21T05:59:59.999", "2026-11-21T05:00", "2026-11-21T06:00"),
        (Window.HOUR, "2026-11-21T06:00", "2026-11-21T06:00", "2026-11-21T07:00"),
        (Window.DAY, "2026-11-21T23:59:59.999", "2026-11-21", "2026-11-22"),
        (Window.DAY, "2026-12-31T00:00", "2026-12-31", "2027-01-01"),
        (Window.WEEK, "2026-11-22T23:59", "2026-11-16", "2026-11-23"),  # a Sunday
        (Window.WEEK, "2026-11-23T00:00", "2026-11-23", "2026-11-30"),  # a Monday
        (Window.WEEK, "2027-01-01T12:00", "2026-12-28", "2027-01-04"),
        (Window.MONTH, "2026-11-30T23:59:59", "2026-11-01", "2026-12-01"),
        (Window.MONTH, "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        (Window.MONTH, "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_windows(window: Window, wall: str, start: str, end: str) -> None:
    """They begin and end at the calendar's own borders, in UTC."""
    assert window_of(window, at(wall)) == (at(start), at(end))


BERLIN, KOLKATA, BEIRUT = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Beirut")


@pytest.mark.parametrize(
    ("calendar", "window", "wall", "start", "end"),
    [
        (Calendar(BERLIN), Window.DAY, "2026-11-25T22:59:59", "2026-11-24T23:00", "2026-11-25T23:00"),
        (Calendar(BERLIN), Window.DAY, "2026-11-25T23:00:00", "2026-11-25T23:00", "2026-11-26T23:00"),
        (Calendar(BERLIN), Window.DAY, "2026-07-01T21:59:59", "2026-06-30T22:00", "2026-07-01T22:00"),
        # the nights in which clocks are changed: days of 23 and 25 hours
        (Calendar(BERLIN), Window.DAY, "2026-03-29T12:00:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        (Calendar(BERLIN), Window.DAY, "2026-10-25T12:00:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        (Calendar(BERLIN), Window.DAY, "2026-10-25T00:30:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        (Calendar(BERLIN), Window.DAY, "2026-10-25T01:30:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        # at which midnight itself is left out: the day begins at 01:00
        (Calendar(BEIRUT), Window.DAY, "2026-03-29T12:00:00", "2026-03-28T22:00", "2026-03-29T21:00"),
        (Calendar(BEIRUT), Window.DAY, "2026-03-28T21:59:59", "2026-03-27T22:00", "2026-03-28T22:00"),
        (Calendar(KOLKATA), Window.DAY, "2026-11-25T18:29:59", "2026-11-24T18:30", "2026-11-25T18:30"),
        (Calendar(KOLKATA), Window.HOUR, "2026-11-25T18:29:59", "2026-11-25T18:00", "2026-11-25T19:00"),
        (Calendar(BERLIN), Window.MONTH, "2026-10-31T22:59:59", "2026-09-30T22:00", "2026-10-31T23:00"),
        (Calendar(BERLIN), Window.MONTH, "2026-12-31T23:00:00", "2026-12-31T23:00", "2027-01-31T23:00"),
        # 2026-11-25 is a Wednesday
        (Calendar(), Window.WEEK, "2026-11-25T12:00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        (Calendar(week_starts=6), Window.WEEK, "2026-11-25T12:00:00", "2026-11-22T00:00", "2026-11-29T00:00"),
        (Calendar(week_starts=6), Window.WEEK, "2026-11-29T00:00:00", "2026-11-29T00:00", "2026-12-06T00:00"),
        (Calendar(week_starts=2), Window.WEEK, "2026-11-25T12:00:00", "2026-11-25T00:00", "2026-12-02T00:00"),
        (Calendar(BERLIN, 6), Window.WEEK, "2026-10-25T12:00:00", "2026-10-24T22:00", "2026-10-31T23:00"),
    ],
)
def test_windows_of_a_calendar(calendar: Calendar, window: Window, wall: str, start: str, end: str) -> None:
    """Days begin at midnight where the budgets live, however long they last."""
    assert window_of(window, at(wall), calendar) == (at(start), at(end))


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Asia/Kolkata", "Asia/Beirut", "America/New_York", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize("window", [Window.DAY, Window.WEEK, Window.MONTH])
@given(st.integers(1_700_000_000, 1_900_000_000))
def test_windows_of_a_calendar_leave_no_gap(zone: str, window: Window, wall: int) -> None:
    """Each moment lies in one, and the next begins where it ends."""
    calendar = Calendar(ZoneInfo(zone), 6)
    start, end = window_of(window, wall, calendar)
    assert start <= wall < end
    assert window_of(window, end, calendar)[0] == end
    assert window_of(window, end - 1, calendar) == (start, end)


def test_the_calendar_holds_for_all_budgets() -> None:
    """Also for those that keys have of their own, and for what is read from the ledger."""
    wall = at("2026-11-25T23:30:00")
    spending = Spending([Budget(Scope.TOTAL, NANO, Window.DAY)], Calendar(BERLIN))
    key = Key(id="key_a", name="a", budget_nanousd=NANO, budget_window=Window.DAY)
    charges = spending.charges(key, ROLE, UPSTREAM, (), 1, wall)
    assert {(one.window_start, one.resets_at) for one, _ in charges} == {
        (at("2026-11-25T23:00:00"), at("2026-11-26T23:00:00"))
    }
    assert len(charges) == 2
    seeds = spending.seeds(Window.DAY, [Spent(key, "role:x", "p", "m", 7)], wall)
    assert {start for _, start in seeds} == {at("2026-11-25T23:00:00")}


def test_a_lifetime_has_no_end() -> None:
    assert window_of(Window.LIFETIME, NOW) == (0, float("inf"))


@given(st.floats(0, 4e9), st.sampled_from(sorted(Window)))
def test_windows_follow_each_other_without_a_gap(wall: float, window: Window) -> None:
    """A moment lies in one window, and where it ends the next begins."""
    start, end = window_of(window, wall)
    assert start <= wall < end
    if window is not Window.LIFETIME:
        assert window_of(window, end)[0] == end
        assert window_of(window, end - 0.25) == (start, end)


@pytest.mark.parametrize(
    ("one", "charged"),
    [
        (budget(Scope.TOTAL), ["budget:total:day"]),
        (budget(Scope.TOTAL, window=Window.LIFETIME), ["budget:total:lifetime"]),
        (budget(Scope.KEY, "ci"), ["budget:key:ci:day"]),
        (budget(Scope.KEY, "key_0123456789ab"), ["budget:key:key_0123456789ab:day"]),
        (budget(Scope.KEY, "other"), []),
        (budget(Scope.KEY), ["budget:each-key:key_0123456789ab:day"]),
        (budget(Scope.ROLE, "rlm"), ["budget:role:rlm:day"]),
        (budget(Scope.ROLE, "vision"), []),
        (budget(Scope.ROLE), ["budget:each-role:rlm:day"]),
        (budget(Scope.PROVIDER, "openrouter"), ["budget:provider:openrouter:day"]),
        (budget(Scope.PROVIDER, "openai"), []),
        (budget(Scope.PROVIDER), ["budget:each-provider:openrouter:day"]),
        (budget(Scope.MODEL, UPSTREAM.id), [f"budget:model:{UPSTREAM.id}:day"]),
        (budget(Scope.MODEL, "openrouter/other"), []),
        (budget(Scope.MODEL), [f"budget:each-model:{UPSTREAM.id}:day"]),
        (budget(Scope.LABEL, "team=search"), ["budget:label:team=search:day"]),
        (budget(Scope.LABEL, "team=ads"), []),
        (budget(Scope.LABEL), ["budget:each-label:team=search:day", "budget:each-label:env=prod:day"]),
    ],
)
def test_what_a_budget_is_for(one: Budget, charged: list[str]) -> None:
    """One that has no name is counted for each value by itself."""
    assert accounts([one]) == charged


def test_an_alias_of_a_roles_name_is_no_role() -> None:
    assert accounts([budget(Scope.ROLE, "rlm"), budget(Scope.ROLE)], route=ALIAS) == []


def test_callers_without_a_key_are_one() -> None:
    """They share what each key has, and no named budget is theirs."""
    assert accounts([budget(Scope.KEY, "ci"), budget(Scope.KEY), budget(Scope.LABEL)], NOBODY) == [
        "budget:each-key::day"
    ]


def test_all_budgets_that_apply_count() -> None:
    """Also two for the same thing: each has a counter of its own, or one call would be counted twice."""
    everything = [budget(scope, window=window) for scope in Scope for window in Window]
    everything += [budget(Scope.ROLE, "rlm"), budget(Scope.KEY, "ci")]
    key = Key(id=CI.id, name="ci", labels=CI.labels, budget_nanousd=NANO, budget_window=Window.DAY)
    found = accounts(everything, key)
    assert len(found) == len(set(found)) == 7 * len(Window) + 3


def test_a_charge() -> None:
    """It says what is counted, where, until when, and how much of how much it may be."""
    own = Key(id="key_0123456789ab", name="ci", budget_nanousd=NANO // 4, budget_window=Window.MONTH)
    named = budget(Scope.ROLE, "rlm")
    (first, of_role), (second, of_key) = Spending([named]).charges(own, ROLE, UPSTREAM, (), 7, NOW)
    assert first == Charge(
        account="budget:role:rlm:day",
        window_start=int(at("2026-11-21")),
        resets_at=at("2026-11-22"),
        limit=5 * NANO,
        amount=7,
        what='the budget of $5 a day of role "rlm"',
    )
    assert of_role is named
    assert second == Charge(
        account="budget:own:key_0123456789ab:month",
        window_start=int(at("2026-11-01")),
        resets_at=at("2026-12-01"),
        limit=NANO // 4,
        amount=7,
        what='the budget of $0.25 a month of key "ci"',
    )
    assert of_key == Budget(Scope.KEY, NANO // 4, Window.MONTH, "key_0123456789ab")


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (budget(Scope.TOTAL), "the budget of $5 a day"),
        (budget(Scope.TOTAL, window=Window.LIFETIME), "the budget of $5"),
        (budget(Scope.KEY), 'the budget of $5 a day of key "ci"'),
        (budget(Scope.LABEL, "team=search", Window.HOUR), 'the budget of $5 an hour of label "team=search"'),
    ],
)
def test_what_it_is_called(one: Budget, what: str) -> None:
    """By what people know it by, not by what it is counted by."""
    assert [charge.what for charge, _ in Spending([one]).charges(CI, ROLE, UPSTREAM, labels_of(CI), 7, NOW)] == [what]


def test_without_budgets_there_is_nothing_to_charge() -> None:
    assert Spending([]).charges(CI, ROLE, UPSTREAM, labels_of(CI), 7, NOW) == ()
    assert not Spending([]).concerns(CI)
    assert Spending([budget(Scope.LABEL)]).concerns(CI)
    assert Spending([]).concerns(Key(id="key_1", budget_nanousd=0))


def test_a_price_that_nobody_knows() -> None:
    """Such a call holds the least there is, so that a budget which is spent refuses it too."""
    ((charge, _),) = Spending([budget(Scope.TOTAL)]).charges(CI, ROLE, UPSTREAM, (), None, NOW)
    assert charge.amount == UNPRICED_NANOUSD > 0


def test_windows_follow_the_clock() -> None:
    """Forwards and, when somebody sets it, backwards."""
    spending = Spending([budget(Scope.TOTAL, window=Window.HOUR)])
    for wall in ("2026-11-21T05:59:59", "2026-11-21T06:00:00", "2026-11-21T05:10:00"):
        ((charge, _),) = spending.charges(CI, ROLE, UPSTREAM, (), 1, at(wall))
        assert (charge.window_start, charge.resets_at) == window_of(Window.HOUR, at(wall))


def test_a_keys_own_budget_may_change() -> None:
    """The counter stays; another window is another counter."""
    spending = Spending([])

    def charged(nanousd: int, window: Window) -> tuple[str, int]:
        key = Key(id="key_1", budget_nanousd=nanousd, budget_window=window)
        ((charge, _),) = spending.charges(key, ROLE, UPSTREAM, (), 1, NOW)
        return charge.account, charge.limit

    assert charged(5, Window.DAY) == ("budget:own:key_1:day", 5)
    assert charged(9, Window.DAY) == ("budget:own:key_1:day", 9)
    assert charged(9, Window.MONTH) == ("budget:own:key_1:month", 9)


def test_strangers_do_not_fill_it() -> None:
    """Models are the client's to name; what is kept by name is bounded."""
    spending = Spending([budget(Scope.MODEL)])
    for number in range(MOST_KEPT + 10):
        upstream = Upstream(UPSTREAM.provider, f"m{number}")
        key = Key(id=f"key_{number}", budget_nanousd=1)
        first, second = spending.charges(key, ROLE, upstream, (), 1, NOW)
        assert first[0].account == f"budget:each-model:openrouter/m{number}:day"
        assert second[0].account == f"budget:own:key_{number}:month"
    assert len(spending._scoped[Scope.MODEL].known) <= MOST_KEPT
    assert len(spending._own) <= MOST_KEPT
    assert repr(spending) == "<Spending 1 budgets>"


# -- what is said


def charge_of(one: Budget) -> Charge:
    ((charge, _),) = Spending([one]).charges(CI, ROLE, UPSTREAM, (), NANO, NOW)
    return charge


def test_a_budget_that_is_spent() -> None:
    """What, how much of how much, when it resets, and who can change it; SDKs are told to leave it at that."""
    one = budget(Scope.ROLE, "rlm")
    refusal = refusal_of(charge_of(one), one, 5_012_000_000, 0, NOW)
    assert refusal.message == (
        'the budget of $5 a day of role "rlm" is spent: $5.01 of $5; it resets at 2026-11-22T00:00:00Z, in 18 hours; '
        'the operator of this gateway can raise it (under "budgets" in gateway.yaml)'
    )
    assert (refusal.status, refusal.type, refusal.code) == (429, "insufficient_quota", "insufficient_quota")
    assert refusal.headers == ((b"x-should-retry", b"false"),)


def test_a_keys_own_budget_that_is_spent() -> None:
    key = Key(id="key_1", name="ci", budget_nanousd=NANO, budget_window=Window.LIFETIME)
    ((charge, one),) = Spending([]).charges(key, ROLE, UPSTREAM, (), 1, NOW)
    assert refusal_of(charge, one, NANO, 0, NOW).message == (
        'the budget of $1 of key "ci" is spent: $1 of $1; it never resets; an administrator can raise it'
    )


def test_a_budget_that_others_hold() -> None:
    """It may be free again in a moment, so it is worth another try."""
    one = budget(Scope.TOTAL)
    refusal = refusal_of(charge_of(one), one, 4 * NANO, NANO // 2, NOW)
    assert refusal.message == (
        "calls under way hold the rest of the budget of $5 a day: $4 of $5 is spent, $0.50 is held, and this "
        "call may cost $1; try again in a moment"
    )
    assert (refusal.status, refusal.type, refusal.code) == (429, "requests", "rate_limit_exceeded")
    assert refusal.headers == ((b"retry-after", b"1"),)


@pytest.mark.parametrize(
    ("nanousd", "written"),
    [(0, "$0"), (1, "$0.000000001"), (420_000, "$0.00042"), (10_000_000, "$0.01"), (NANO // 2, "$0.50"),
     (NANO, "$1"), (1_999_900_000, "$2.00"), (2**62, "$4611686018.43")],
)  # fmt: skip
def test_dollars(nanousd: int, written: str) -> None:
    assert dollars(nanousd) == written


def test_what_a_budget_does_not_know() -> None:
    """It lets the call through unless it says otherwise; one that does is enough."""
    lenient, strict = budget(Scope.TOTAL), budget(Scope.ROLE, "rlm", on_unknown=OnUnknown.REFUSE)
    charged = Spending([lenient]).charges(CI, ROLE, UPSTREAM, (), 1, NOW)
    assert (refusal_while_unknown(charged), objection_to_unpriced(charged)) == (None, None)
    charged = Spending([lenient, strict]).charges(CI, ROLE, UPSTREAM, (), 1, NOW)
    refusal = refusal_while_unknown(charged)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.headers) == (503, "budget_unknown", ((b"retry-after", b"1"),))
    assert refusal.message.startswith(
        'the gateway cannot tell at the moment how much of the budget of $5 a day of role "rlm" is spent'
    )
    assert objection_to_unpriced(charged) == (
        'its price is unknown, and the budget of $5 a day of role "rlm" says on_unknown: refuse; '
        'set its price under "models"'
    )


# -- alerts


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0, 49, ()),
        (0, 50, (0.5,)),
        (49, 50, (0.5,)),
        (50, 51, ()),
        (50, 79, ()),
        (79, 80, (0.8,)),
        (0, 200, (0.5, 0.8, 1.0)),
        (80, 80, ()),
        (100, 200, ()),
    ],
)
def test_shares_that_are_reached(before: int, after: int, told: tuple[float, ...]) -> None:
    assert alerts_due(Budget(Scope.TOTAL, 100, Window.DAY, alert_at=(0.5, 0.8, 1.0)), before, after) == told


@given(st.lists(st.integers(0, 60), max_size=20))
def test_each_share_is_told_once(amounts: list[int]) -> None:
    """However the spending comes, and by however many it is counted."""
    one = Budget(Scope.TOTAL, 100, Window.DAY, alert_at=(0.5, 0.8, 1.0))
    told: list[float] = []
    counted = 0
    for amount in amounts:
        told += alerts_due(one, counted, counted + amount)
        counted += amount
    assert told == [share for share in one.alert_at if counted >= share * 100]


@pytest.mark.parametrize(
    ("scope", "name"), [(Scope.ROLE, "rlm"), (Scope.ROLE, ""), (Scope.TOTAL, ""), (Scope.MODEL, "")]
)
def test_an_alert_is_found_by_its_charge(scope: Scope, name: str) -> None:
    """Of named budgets and of those that each value has."""
    one = budget(scope, name, alert_at=(0.8,))
    spending = Spending([one])
    ((charge, _),) = spending.charges(CI, ROLE, UPSTREAM, (), 1, NOW)
    (alert,) = spending.alerts(charge, 0, 4_100_000_000)
    assert (alert.budget, alert.account, alert.share) == (one, charge.account, 0.8)
    assert alert.sentence == f"80 % of {charge.what} is spent: $4.10 of $5; it resets at 2026-11-22T00:00:00Z"
    assert spending.alerts(charge, 4_100_000_000, 4_900_000_000) == ()


def test_what_nobody_asked_to_be_told_of() -> None:
    """The charges of keys, of budgets without alerts, and of budgets that are gone."""
    spending = Spending([budget(Scope.ROLE, "rlm", alert_at=(0.8,)), budget(Scope.TOTAL)])
    for account in ("key k_7f requests", "budget:total:day", "budget:own:key_1:month", "budget:each-key:x:day"):
        charge = Charge(account, 0, float("inf"), 10, 1, "x")
        assert spending.alerts(charge, 0, 10 * NANO) == ()


# -- after a restart


def test_the_ledger_is_read_like_an_attempt_is_charged() -> None:
    """So a counter that is begun anew comes to what it was."""
    budgets = [budget(scope, window=window) for scope in Scope for window in (Window.DAY, Window.MONTH)]
    budgets += [budget(Scope.ROLE, "rlm"), budget(Scope.KEY, "ci"), budget(Scope.MODEL, "openai/other")]
    key = Key(id=CI.id, name="ci", labels=CI.labels, budget_nanousd=NANO, budget_window=Window.DAY)
    spending = Spending(budgets)
    charged = spending.charges(key, ROLE, UPSTREAM, labels_of(key), 7, NOW)
    row = Spent(key, "role:rlm", "openrouter", UPSTREAM.model, 7)
    for window in (Window.DAY, Window.MONTH):
        expected = {(one.account, one.window_start): 14 for one, of in charged if of.window is window}
        assert spending.seeds(window, [row, row], NOW) == expected
    assert spending.seeds(Window.WEEK, [row], NOW) == {}
    assert spending.windows() == {Window.DAY, Window.MONTH}
    assert Spending([]).windows([key, NOBODY]) == {Window.DAY}
