"""Intervals, compared with values that are published."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from gateway.core.statistics import (
    Interval,
    Sample,
    difference_of_means,
    difference_of_shares,
    median_of,
    of_mean,
    of_median,
    of_share,
    sample_of,
    t_quantile,
)

# Student's table, as every textbook has it.
QUANTILES = [
    (0.95, 8, 2.3060),
    (0.95, 10, 2.2281),
    (0.95, 30, 2.0423),
    (0.95, 100, 1.9840),
    (0.99, 10, 3.1693),
    (0.99, 30, 2.7500),
    (0.90, 60, 1.6706),
    (0.95, 1e9, 1.9600),
]

# The first example of https://en.wikipedia.org/wiki/Welch%27s_t-test: t = -2.46 with 25.0 degrees of freedom.
ONE = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
OTHER = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]


@pytest.mark.parametrize(("confidence", "degrees", "quantile"), QUANTILES)
def test_students_distribution(confidence: float, degrees: float, quantile: float) -> None:
    assert t_quantile(confidence, degrees) == pytest.approx(quantile, rel=1e-3)


@pytest.mark.parametrize(
    ("part", "count", "expected"),
    [
        # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (20, 20, (0.8389, 1.0)),
    ],
)
def test_shares(part: int, count: int, expected: tuple[float, float]) -> None:
    assert tuple(of_share(part, count, 0.95)) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # Newcombe 1998 (Statistics in Medicine 17, 873-890), table II, method 10.
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
    ],
)
def test_differences_of_shares(one: tuple[int, int], other: tuple[int, int], expected: tuple[float, float]) -> None:
    assert difference_of_shares(*one, *other, 0.95) == pytest.approx(expected, abs=5e-5)


def test_differences_of_means() -> None:
    one, other = sample_of(ONE), sample_of(OTHER)
    assert [one.mean, other.mean] == pytest.approx([20.82, 22.9867], abs=1e-4)
    found = difference_of_means(one, other, 0.95)
    error = ((one.variance + other.variance) / 15) ** 0.5
    assert (one.mean - other.mean) / error == pytest.approx(-2.46, abs=0.005)
    assert (found.high - found.low) / 2 / error == pytest.approx(2.0597, abs=0.002)  # of 25.0 degrees of freedom
    assert found.excludes_zero
    assert not difference_of_means(one, other, 0.99).excludes_zero
    assert difference_of_means(Sample(5, 2.0, 0.0), Sample(5, 1.0, 0.0), 0.95) == (1.0, 1.0)


def test_moments() -> None:
    assert list(sample_of([2, 4, 4, 4, 5, 5, 7, 9])) == pytest.approx([8, 5.0, 32 / 7])
    assert sample_of([3.0]) == (1, 3.0, 0.0)
    assert sample_of([]) == (0, 0.0, 0.0)
    assert (median_of([1, 2, 9]), median_of([1, 2, 3, 9])) == (2, 2.5)


def test_medians() -> None:
    """Between the 40th and the 61st of a hundred, as every table of ranks has it."""
    assert of_median([float(number) for number in range(1, 101)], 0.95) == (40.0, 61.0)
    assert of_median([7.0], 0.95) == (7.0, 7.0)


def test_intervals_hold_what_they_promise() -> None:
    """Of skewed values, as latencies are, about 95 of 100 intervals hold the true mean and the true median."""
    rng = Random(7)
    held = {"mean": 0, "median": 0, "difference": 0}
    for _ in range(400):
        values = sorted(rng.expovariate(1.0) for _ in range(200))
        others = [rng.expovariate(1.0) for _ in range(120)]
        mean, median = of_mean(sample_of(values), 0.95), of_median(values, 0.95)
        difference = difference_of_means(sample_of(values), sample_of(others), 0.95)
        held["mean"] += mean.low <= 1.0 <= mean.high
        held["median"] += median.low <= 0.6931 <= median.high
        held["difference"] += not difference.excludes_zero
    assert all(0.92 <= count / 400 <= 0.98 for count in held.values()), held


def test_zero() -> None:
    assert [Interval(*ends).excludes_zero for ends in ((-1, 1), (0, 1), (0.1, inf), (-2, -1))] == [
        False,
        False,
        True,
        True,
    ]
