"""Sums of money, read and written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.core.money import NANO, exact_usd, header_usd, in_nano, short_usd, usd


@pytest.mark.parametrize(
    ("nanousd", "shown", "exact"),
    [
        (0, "$0.00", "0.00"),
        (1, "$0.000000001", "0.000000001"),
        (123_000, "$0.000123", "0.000123"),
        (123_456, "$0.000123", "0.000123456"),
        (123_500, "$0.000124", "0.0001235"),
        (122_500, "$0.000122", "0.0001225"),
        (12_300_000, "$0.0123", "0.0123"),
        (50_000_000, "$0.05", "0.05"),
        (120_000_000, "$0.12", "0.12"),
        (123_456_789, "$0.123", "0.123456789"),
        (999_999_999, "$1.00", "0.999999999"),
        (1_005_000_000, "$1.00", "1.005"),
        (1_234_560_000_000, "$1,234.56", "1234.56"),
        (9_007_199_254_740_993_000_000_001, "$9,007,199,254,740,993.00", "9007199254740993.000000001"),
        (-1_500, "-$0.0000015", "-0.0000015"),
    ],
)
def test_money(nanousd: int, shown: str, exact: str) -> None:
    """Cents for large sums, three digits for small ones, all of them for programs; no float takes part."""
    assert (usd(nanousd), exact_usd(nanousd)) == (shown, exact)


@pytest.mark.parametrize(
    ("nanousd", "written"),
    [
        (0, "$0"),
        (1, "$0.000000001"),
        (420_000, "$0.00042"),
        (10_000_000, "$0.01"),
        (NANO // 2, "$0.50"),
        (NANO, "$1"),
        (1_999_900_000, "$2.00"),
        (2**62, "$4,611,686,018.43"),
    ],
)
def test_in_a_sentence(nanousd: int, written: str) -> None:
    """Whole dollars stand without cents, and only they."""
    assert short_usd(nanousd) == written


@pytest.mark.parametrize(
    ("nanousd", "header"), [(0, b"0"), (123_000, b"0.000123000"), (12 * NANO, b"12"), (NANO + 1, b"1.000000001")]
)
def test_in_a_header(nanousd: int, header: bytes) -> None:
    assert header_usd(nanousd) == header


@pytest.mark.parametrize(
    ("dollars", "nanousd"),
    [
        ("0", 0),
        ("0.15", 150_000_000),
        ("75.00", 75_000_000_000),
        ("0.039999999999999994", 40_000_000),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("-1.5", -1_500_000_000),
    ],
)
def test_dollars_become_nano_dollars(dollars: str, nanousd: int) -> None:
    """Exactly, but for what is smaller than one."""
    assert in_nano(Decimal(dollars)) == nanousd
