"""Durations, in both ways of writing them."""

from __future__ import annotations

from math import inf

import pytest

from gateway.core.durations import duration_s, period_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("20ms", 0.02),
        ("0.5ms", 0.0005),
        ("10m", 600.0),
        ("6m0s", 360.0),
        ("1h30m", 5400.0),
        ("1m500ms", 60.5),
        ("9" * 400 + "h", inf),
        ("", None),
        ("5", None),
        ("s", None),
        ("5 s", None),
        ("-5s", None),
        ("1e3s", None),
        ("5s10m", None),
        ("1d", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Units stand from large to small, each at most once."""
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("15m", 900.0),
        ("1h", 3600.0),
        ("30d", 2_592_000.0),
        ("30 d", 2_592_000.0),
        ("2w", 1_209_600.0),
        ("999999w", 604_799_395_200.0),
        ("1000000w", None),
        ("1h30m", None),
        ("1.5h", None),
        ("5ms", None),
        ("-1h", None),
        ("1y", None),
        ("", None),
    ],
)
def test_periods(text: str, seconds: float | None) -> None:
    """A period is one whole number of one unit."""
    assert period_s(text) == seconds
