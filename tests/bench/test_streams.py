"""How events are counted and delays are ranked."""

from __future__ import annotations

import pytest

from bench.streams import event_ends, percentile


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ([b"data: a\n\n"], 1),
        ([b"data: a\n\ndata: b\n\n"], 2),
        ([b"data: a\n", b"\n"], 1),
        ([b"data: a", b"\n\n"], 1),
        ([b"data: a\n", b"\ndata: b\n", b"\n"], 2),
        ([b"data: a\n", b"data: b"], 0),
    ],
)
def test_an_event_ends_with_a_blank_line_however_it_is_cut(pieces: list[bytes], events: int) -> None:
    """Proxies cut streams anywhere."""
    found, last = 0, 0
    for piece in pieces:
        found += event_ends(last, piece)
        last = piece[-1]
    assert found == events


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_percentile_is_by_nearest_rank(share: float, value: float) -> None:
    """Of 1 to 100."""
    assert percentile([float(n) for n in range(1, 101)], share) == value


def test_a_percentile_of_nothing_is_zero() -> None:
    """A run without chunks reports an error, not a crash."""
    assert percentile([], 0.5) == 0.0
