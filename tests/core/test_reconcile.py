"""What is booked against what is billed: which days agree, which are flagged, and what cannot be told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.core.ledger import Row, RowState
from gateway.core.reconcile import (
    DAY_S,
    RECONCILED,
    Billed,
    Booked,
    Books,
    Comparison,
    Generation,
    Meter,
    Verdict,
    billed_between,
    compare,
    corrected,
    day_of,
    days_between,
    is_doubtful,
    is_drift,
    nano,
    start_of,
)
from gateway.types import CostSource, Usage

MONDAY, TUESDAY, WEDNESDAY = "2026-11-16", "2026-11-17", "2026-11-18"
NOON = start_of(WEDNESDAY) + DAY_S / 2
CENT = 10_000_000
DOLLAR = 100 * CENT


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0.06", 60_000_000),
        ("0.13080438340307526", 130_804_383),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("-1.5", -1_500_000_000),
        ("1000000000", 10**18),
        ("1000000001", None),
        ("1e300", None),
        ("1e999999999", None),
        ("NaN", None),
        ("sNaN", None),
        ("-Infinity", None),
    ],
)
def test_money_from_text(text: str, read: int | None) -> None:
    """To the last billionth; and what cannot be money is none, however it is written."""
    assert nano(Decimal(text)) == read


def test_days() -> None:
    """They are those of UTC, and the last one begins before the end."""
    assert days_between(start_of(MONDAY) + 5, start_of(WEDNESDAY)) == (MONDAY, TUESDAY)
    assert days_between(start_of(MONDAY), start_of(WEDNESDAY) + 0.5) == (MONDAY, TUESDAY, WEDNESDAY)
    assert days_between(start_of(TUESDAY), start_of(MONDAY)) == ()
    assert day_of(start_of(MONDAY) - 0.001) == "2026-11-15"


@pytest.mark.parametrize(
    ("booked", "billed", "flagged"),
    [
        (0, 0, False),
        (0, CENT, False),
        (0, CENT + 1, True),
        (10 * CENT, 11 * CENT, False),  # a cent is too little to be flagged, whatever its share
        (100 * DOLLAR, 101 * DOLLAR, False),  # 0.99 % of what is billed
        (100 * DOLLAR, 99 * DOLLAR, False),  # 1 %, and not more
        (100 * DOLLAR, 99 * DOLLAR - 1, True),
        (DOLLAR, -DOLLAR, True),  # a credit
        (10**21, 10**21 + 10**18, False),
    ],
)
def test_what_is_flagged(booked: int, billed: int, *, flagged: bool) -> None:
    """More than a cent and more than 1 % of the larger, either way round."""
    assert is_drift(booked, billed) is flagged
    assert is_drift(billed, booked) is flagged


def test_a_comparison() -> None:
    """Providers of one account are added up; a day that is not over is never flagged, and one not told neither."""
    booked = [
        Booked(MONDAY, "openai", DOLLAR, 10, 1, 2),
        Booked(MONDAY, "openai-2", DOLLAR, 5),
        Booked(TUESDAY, "openai", DOLLAR, 3),
        Booked(WEDNESDAY, "openai", DOLLAR, 3),
    ]
    books = Books((*booked, Booked(MONDAY, "groq", DOLLAR, 1)))
    billed = [Billed(MONDAY, 3 * DOLLAR, 20), Billed(WEDNESDAY, 9 * DOLLAR), Billed("2026-11-15", 0)]
    names = ("openai", "openai-2")
    assert compare("openai", names, books, billed, NOON) == (
        Comparison(MONDAY, "openai", Verdict.DRIFT, 2 * DOLLAR, 3 * DOLLAR, 15, 20, 1, 2),
        Comparison(TUESDAY, "openai", Verdict.NOT_TOLD, DOLLAR, None, 3),
        Comparison(WEDNESDAY, "openai", Verdict.EARLY, DOLLAR, 9 * DOLLAR, 3),
    )
    first, second, _ = compare("openai", names, books, billed, NOON)
    assert first.drift_nanousd == DOLLAR
    assert second.drift_nanousd is None
    assert [one.verdict for one in compare("openai", names, books, (), NOON)] == [Verdict.NOT_TOLD] * 3


@pytest.mark.parametrize(("hours", "verdict"), [(5.9, Verdict.EARLY), (6.0, Verdict.AGREES)])
def test_a_day_is_final_some_hours_after_its_end(hours: float, verdict: Verdict) -> None:
    now = start_of(TUESDAY) + hours * 3600
    (one,) = compare("x", ["x"], Books((Booked(MONDAY, "x", DOLLAR),)), [Billed(MONDAY, DOLLAR)], now)
    assert one.verdict is verdict


def test_what_is_billed_without_having_been_booked_is_seen() -> None:
    """It is traffic that did not come through the gateway."""
    (one,) = compare("x", ["x"], Books(()), [Billed(MONDAY, 5 * DOLLAR, 100)], NOON)
    assert (one.verdict, one.booked_nanousd) == (Verdict.DRIFT, 0)


@pytest.mark.parametrize(
    ("began", "verdicts"),
    [
        ("", [Verdict.DRIFT, Verdict.DRIFT, Verdict.EARLY]),
        (MONDAY, [Verdict.PARTIAL, Verdict.DRIFT, Verdict.EARLY]),
        (TUESDAY, [Verdict.PARTIAL, Verdict.EARLY]),
        (WEDNESDAY, [Verdict.PARTIAL]),
    ],
)
def test_what_was_billed_before_the_ledger_began_is_no_drift(began: str, verdicts: list[Verdict]) -> None:
    """On its first day it may have begun at any hour."""
    billed = [Billed(day, DOLLAR) for day in (MONDAY, TUESDAY, WEDNESDAY)]
    assert [one.verdict for one in compare("x", ["x"], Books((), began), billed, NOON)] == verdicts


def reading(day: str, hours: float, total: int, today: int) -> Meter:
    return Meter(start_of(day) + hours * 3600, total, today)


@pytest.mark.parametrize(
    ("before", "after", "billed"),
    [
        # 100 at Monday's midnight, 130 at Tuesday's: whatever came after the first reading is counted, too.
        (reading(MONDAY, 9, 104, 4), reading(TUESDAY, 23, 137, 7), Billed(MONDAY, 30)),
        (reading(MONDAY, 9, 104, 4), reading(TUESDAY, 1, 130, 0), Billed(MONDAY, 30)),
        (reading(MONDAY, 9, 104, 4), reading(MONDAY, 10, 110, 10), None),
        (reading(MONDAY, 9, 104, 4), reading(WEDNESDAY, 9, 140, 4), None),  # nobody looked on Tuesday
        (reading(MONDAY, 9, 104, 4), reading(TUESDAY, 9, 8, 4), None),  # another key
        (reading(MONDAY, 23.99, 104, 4), reading(TUESDAY, 9, 137, 7), None),  # whose Monday is it still?
        (reading(MONDAY, 9, 104, 4), reading(TUESDAY, 0.01, 137, 7), None),
    ],
)
def test_two_readings_tell_a_day(before: Meter, after: Meter, billed: Billed | None) -> None:
    """Exactly, or not at all."""
    assert billed_between(before, after) == billed


def row(**more: object) -> Row:
    known = {
        "attempt": "0123456789ab0001/1", "version": 3 << 20, "state": RowState.SETTLED, "at": NOON - 60.0,
        "provider": "router", "model": "m", "usage": Usage(input_tokens=10, output_tokens=5), "cost_nanousd": 700,
        "cost_source": CostSource.ESTIMATED, "provider_id": "gen-1", "call_status": 200, **more,
    }  # fmt: skip
    return Row(**known)  # type: ignore[arg-type]  # whichever fields a case is about


@pytest.mark.parametrize(
    ("one", "doubtful"),
    [
        (row(), True),
        (row(cost_source=CostSource.UNKNOWN, cost_nanousd=None), True),
        (row(state=RowState.IN_DOUBT, version=(1 << 20) - 1, call_status=0), True),
        (row(state=RowState.OPEN, version=3), False),  # it goes on
        (row(provider_id=""), False),
        (row(cost_source=CostSource.PROVIDER), False),
        (row(cost_source=CostSource.COMPUTED), False),
        (row(cost_source=CostSource.FREE), False),
        (row(at=NOON - 5.0), False),  # the provider does not know it yet
        (row(at=NOON - 20.0, duration_ms=15_000), False),
        (row(at=NOON - 20.0, duration_ms=1000), True),
        (row(call_status=0), False),  # its call may still go on elsewhere
        (row(call_status=0, at=NOON - 3601.0), True),
        (row(at=NOON - DAY_S), False),
    ],
)
def test_which_attempts_are_asked_after(one: Row, *, doubtful: bool) -> None:
    """Those whose cost is not certain, once they are over, for a day."""
    assert is_doubtful(one, NOON) is doubtful


def test_what_was_charged_takes_the_place_of_the_estimate() -> None:
    """Which is kept, and the row is newer than any that the journal can make."""
    before = row(state=RowState.IN_DOUBT, outcome="in_doubt", version=(1 << 20) - 1)
    after = corrected(before, Generation(900, Usage(input_tokens=12, output_tokens=6)))
    assert (after.cost_nanousd, after.cost_source, after.estimate_nanousd) == (900, CostSource.PROVIDER, 700)
    assert (after.usage, after.usage_is_estimate) == (Usage(input_tokens=12, output_tokens=6), False)
    assert (after.state, after.outcome) == (RowState.SETTLED, "in_doubt")
    assert after.version > max(before.version, 3 << 20)
    assert after.version & RECONCILED
    assert not is_doubtful(after, NOON)
    assert before.cost_nanousd == 700


def test_what_is_known_better_is_kept() -> None:
    """An earlier estimate by price and usage; and a usage that the answer itself had told."""
    before = row(estimate_nanousd=650, usage_is_estimate=False)
    after = corrected(before, Generation(900, Usage(input_tokens=12, output_tokens=6)))
    assert (after.estimate_nanousd, after.usage) == (650, before.usage)
    silent = corrected(row(), Generation(900))
    assert (silent.usage, silent.usage_is_estimate) == (row().usage, True)
