"""How rounds become a row."""

from __future__ import annotations

import pytest

from bench.table import JsonRound, Measured, markdown, remarks, row


def _round(cpu_us: float, yardstick_cpu_us: float, busy: float = 0.99) -> JsonRound:
    return JsonRound(cpu_us, 1000.0, 1.0, 2.0, busy, yardstick_cpu_us)


def test_a_ratio_is_taken_between_neighbours() -> None:
    """A round that was slow for both leaves the ratio alone; a ratio of medians would not."""
    measured = Measured("x", json_rounds=[_round(40, 10), _round(80, 20), _round(44, 11)])
    found = row(measured)
    assert found.cpu_us_per_request == 44
    assert found.request_ratio == 4


def test_what_was_not_measured_is_a_dash() -> None:
    """A failed target still has its row."""
    measured = Measured("x", version="1.2", errors=["streams: broken"])
    table = markdown([row(measured)])
    assert table.splitlines()[-1] == "| x | " + " | ".join(["-"] * 10) + " |"
    text = remarks([measured], {"y": "not installed"})
    assert "x FAILED: streams: broken" in text
    assert "y skipped: not installed" in text


@pytest.mark.parametrize(("busy", "cell"), [(0.99, "1,000 |"), (0.5, "1,000* |")])
def test_a_rate_that_the_target_did_not_limit_is_marked(busy: float, cell: str) -> None:
    """Otherwise the load generator's limit would read as the target's."""
    assert cell in markdown([row(Measured("x", json_rounds=[_round(40, 10, busy)]))])
