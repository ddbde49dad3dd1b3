"""Sums in words: money to the last digit it takes, shares that never lie about nothing and all, times, groups."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.control.report import as_record, cost, groups, instant, labels, percent, sought, stored, total
from gateway.stores.store import Totals

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        (Totals(attempts=3, cost_nanousd=1_230_000_000), "$1.23"),
        (Totals(attempts=3), "$0.00"),
        (Totals(attempts=20, estimated=1, cost_nanousd=1_230_000_000), "$1.23 ~5%"),
        (Totals(attempts=8, unpriced=3, cost_nanousd=1_230_000_000), "$1.23 + 3 unpriced"),
        (Totals(attempts=10, unpriced=3, estimated=1, cost_nanousd=10_000_000), "$0.01 ~10% + 3 unpriced"),
        (Totals(attempts=3, unpriced=3), "3 unpriced"),
    ],
)
def test_a_cost_says_what_is_not_known_of_it(sums: Totals, said: str) -> None:
    assert cost(sums) == said


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "-"),
        (0, 7, "0%"),
        (7, 7, "100%"),
        (1, 2, "50%"),
        (1, 3, "33.3%"),
        (1, 10**9, "0.1%"),
        (10**9 - 1, 10**9, "99.9%"),
        (9, 7, "128.6%"),
    ],
)
def test_shares(part: int, whole: int, shown: str) -> None:
    """A little is not nothing, and nearly all is not all."""
    assert percent(part, whole) == shown


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("7d", "2026-11-14T05:30"),
        (" 24H ", "2026-11-20T05:30"),
        ("30 m", "2026-11-21T05:00"),
        ("2w", "2026-11-07T05:30"),
        ("now", "2026-11-21T05:30"),
        ("today", "2026-11-21"),
        ("Yesterday", "2026-11-20"),
        ("2026-11-01", "2026-11-01"),
        ("2026-11-01T05", "2026-11-01T05:00"),
        ("2026-11-01 05:30", "2026-11-01T05:30"),
        ("2026-11-01T05:30Z", "2026-11-01T05:30"),
        ("2026-11-01T05:30+02:00", "2026-11-01T03:30"),
        ("999999w", "1970-01-01"),
    ],
)
def test_times(text: str, meant: str) -> None:
    """Everything is in UTC unless it says otherwise."""
    assert instant(text, NOW) == datetime.fromisoformat(meant).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "7", "7y", "2026-13-01", "-7d", "d", "0001-01-01T00:00+23:00" * 3])
def test_what_is_no_time(text: str) -> None:
    """The remedy is in the message."""
    with pytest.raises(ValueError, match="is not a time; write 7d, 24h, today"):
        instant(text, NOW)


def test_roles_are_routes() -> None:
    assert [stored(one) for one in ("role", "route", "day")] == ["route", "route", "day"]
    assert [sought("role", one) for one in ("rlm", "role:rlm")] == ["role:rlm", "role:rlm"]
    assert sought("route", "rlm") == "rlm"


A = Totals(group=("role:a", "2026-11-20"), attempts=3, calls=2, cost_nanousd=5, unpriced=1)
B = Totals(group=("role:b", "2026-11-20"), attempts=1, calls=1, cost_nanousd=9)
C = Totals(group=("role:a", "2026-11-21"), attempts=1, calls=1, cost_nanousd=1)
ALIAS = Totals(group=("main", "2026-11-19"), attempts=9, calls=9, cost_nanousd=100)


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (("role", "day"), [B, A, C]),
        (("route", "day"), [ALIAS, B, A, C]),
        (("role", "model"), [B, A, C]),
        (("route", "model"), [ALIAS, B, A, C]),
    ],
)
def test_groups(by: tuple[str, ...], order: list[Totals]) -> None:
    """Time goes forward, then the dearest first; by role, what is none is left out."""
    assert groups([A, ALIAS, C, B], by) == order


def test_a_total() -> None:
    assert total(Totals(), [A, B, C]) == Totals(attempts=5, calls=4, cost_nanousd=15, unpriced=1)
    assert total(Totals(), []) == Totals()


def test_for_people_keys_have_names() -> None:
    """A caller without a key has none."""
    assert labels(("key_1", "m"), ("key", "model"), {"key_1": "ci"}.__getitem__) == ["ci", "m"]
    assert labels(("", "m"), ("key", "model"), str.upper) == ["-", "m"]


def test_for_programs() -> None:
    """Counts are integers, and money is both an integer and its decimal text."""
    record = as_record(A)
    assert (record["requests"], record["attempts"], record["unpriced"]) == (2, 3, 1)
    assert (record["cost_nanousd"], record["cost_usd"]) == (5, "0.000000005")
    assert {type(value) for value in record.values()} == {int, str}
