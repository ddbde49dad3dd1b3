"""Money: sums are whole nano-USD, read and written here without a float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

NANO = 1_000_000_000
"""A dollar in nano-USD."""
CENT = NANO // 100
# Of a sum below a dollar so many digits are shown, from the first that is not 0.
DIGITS = 3


def in_nano(dollars: Decimal) -> int:
    """Return an amount in nano-USD. It is finite; half a nano-USD is rounded to the even one."""
    return int((dollars * NANO).to_integral_value(ROUND_HALF_EVEN))


def usd(nanousd: int) -> str:
    """Return a sum for people: `$1,234.56`, and below a dollar as many digits as it takes, `$0.000123`."""
    sign, amount = ("-", -nanousd) if nanousd < 0 else ("", nanousd)
    step = CENT
    if 0 < amount < NANO:
        step = min(step, 10 ** max(0, len(str(amount)) - DIGITS))
    dollars, rest = divmod(rounded(amount, step), NANO)
    return f"{sign}${dollars:,}.{_decimals(rest)}"


def short_usd(nanousd: int) -> str:
    """Return a sum for a sentence: `$20` without its cents, and any other as `usd` has it."""
    return usd(nanousd) if nanousd % NANO else f"${nanousd // NANO}"


def exact_usd(nanousd: int) -> str:
    """Return a sum for programs, to the last digit: `0.000123456`."""
    sign, amount = ("-", -nanousd) if nanousd < 0 else ("", nanousd)
    dollars, rest = divmod(amount, NANO)
    return f"{sign}{dollars}.{_decimals(rest)}"


def header_usd(nanousd: int) -> bytes:
    """Return a sum for a header, to the last digit: `0.000123000`, `12`. Every plain answer has one, so it is fast."""
    dollars, rest = divmod(nanousd, NANO)
    return b"%d.%09d" % (dollars, rest) if rest else b"%d" % dollars


def rounded(amount: int, step: int) -> int:
    """Return the nearest multiple of `step`, of two that are as near the even one."""
    whole, rest = divmod(amount, step)
    return (whole + (2 * rest > step or (2 * rest == step and whole % 2 == 1))) * step


def _decimals(rest: int) -> str:
    return f"{rest:09}".rstrip("0").ljust(2, "0")
