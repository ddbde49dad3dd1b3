"""How rounds become a row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.streams import Result
from bench.table import JsonRound, Measured, StreamRound, markdown, remarks, row

# 1,000 chunks in 20 ms of CPU.
_STREAMED = Result(
    streams=10, chunks=1000, steady=True, window_chunks=1000, window_s=1.0, window_cpu_s=0.02,
    first_chunk_p50_ms=1, first_chunk_p99_ms=2, gap_p50_ms=10, gap_p99_ms=12, reads=1000,
)  # fmt: skip


def _round(cpu_us: float, yardstick_cpu_us: float, busy: float = 0.99) -> JsonRound:
    return JsonRound(cpu_us, 1000.0, 1.0, 2.0, busy, yardstick_cpu_us)


def test_a_ratio_is_taken_between_neighbours() -> None:
    """A round that was slow for both leaves the ratio alone; a ratio of medians would not."""
    measured = Measured("x", json_rounds=[_round(40, 10), _round(80, 20), _round(44, 11)])
    found = row(measured)
    assert found.cpu_us_per_request == 44
    assert found.request_ratio == 4


def test_streams_side_by_side_and_alone_have_their_own_figures() -> None:
    """The same 20 µs a chunk are 1.25 times a neighbour's 16, and twice what the yardstick takes alone."""
    measured = Measured(
        "x", stream_rounds=[StreamRound(_STREAMED, 16.0)], alone_rounds=[StreamRound(_STREAMED, 10.0)] * 3
    )
    found = row(measured)
    assert (found.cpu_us_per_chunk, found.chunk_ratio) == (20, 1.25)
    assert (found.alone_cpu_us_per_chunk, found.alone_chunk_ratio) == (20, 2)
    assert "| 20.0 | 1.25 | 20.0 | 2.00 |" in markdown([found])


@pytest.mark.parametrize(
    ("result", "remark"),
    [
        (replace(_STREAMED, reads=800), "20% of its events arrived together"),
        (replace(_STREAMED, steady=False), "not all open at once"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_streams_that_were_not_as_planned_are_remarked(result: Result, remark: str, alone: bool) -> None:
    """Also where only the rounds side by side, or only those alone, were disturbed."""
    good, bad = [StreamRound(_STREAMED, 10.0)] * 3, [StreamRound(result, 10.0)] * 3
    measured = Measured("x", stream_rounds=good if alone else bad, alone_rounds=bad if alone else good)
    assert remark in remarks([measured], {})
    assert remark not in remarks([Measured("x", stream_rounds=good, alone_rounds=good)], {})


def test_what_was_not_measured_is_a_dash() -> None:
    """A failed target still has its row."""
    measured = Measured("x", version="1.2", errors=["streams: broken"])
    table = markdown([row(measured)])
    assert table.splitlines()[-1] == "| x | " + " | ".join(["-"] * 12) + " |"
    text = remarks([measured], {"y": "not installed"})
    assert "x FAILED: streams: broken" in text
    assert "y skipped: not installed" in text


@pytest.mark.parametrize(("busy", "cell"), [(0.99, "1,000 |"), (0.5, "1,000* |")])
def test_a_rate_that_the_target_did_not_limit_is_marked(busy: float, cell: str) -> None:
    """Otherwise the load generator's limit would read as the target's."""
    assert cell in markdown([row(Measured("x", json_rounds=[_round(40, 10, busy)]))])
