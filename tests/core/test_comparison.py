"""What a report says of an experiment's arms, and what it does not say."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.comparison import FEWEST, MEASURES, Compared, Report, Trial, report_of, trials_of
from gateway.types import Usage
from tests.stores.attempts import row

if TYPE_CHECKING:
    from collections.abc import Iterator


def trial(arm: str, **more: Any) -> Trial:
    usual: dict[str, Any] = {
        "failed": False, "left": False, "latency_s": 1.0, "first_token_s": 0.5, "cost_usd": 0.001, "output_tokens": 100,
    }  # fmt: skip
    return Trial(arm, **usual | more)


def trials(arm: str, count: int, seed: int, latency_s: float = 1.0, failing: float = 0.0) -> Iterator[Trial]:
    rng = Random(seed)
    for _ in range(count):
        yield trial(arm, latency_s=latency_s * rng.lognormvariate(0, 0.5), failed=rng.random() < failing)


def of(report: Report, measure: str) -> Compared:
    (found,) = [one for one in report.compared if one.measure == measure]
    return found


def test_rows_become_calls() -> None:
    """A call's cost and time are those of all its attempts; a call under way is none yet."""
    rows = [
        row(1, 1, arm="x/a", call_status=0, outcome="server_error", duration_ms=500, cost_nanousd=7),
        row(1, 2, arm="x/a", duration_ms=1000, first_token_ms=200, cost_nanousd=5, usage=Usage(1, 42)),
        row(2, 1, arm="x/b", call_status=502, outcome="server_error", cost_nanousd=None, first_token_ms=0),
        row(3, 1, arm="x/b", hung_up=True, outcome="hung_up"),
        row(4, 1, arm="x/b", outcome="broken"),  # its head was sent with 200
        row(5, 1, arm="x/b", call_status=0),
    ]
    assert trials_of(rows[::-1]) == [
        Trial("b", True, False, 4.0, 0.31, 1e-6, 20, 0.5, "pass"),
        Trial("b", False, True, 4.0, 0.31, 1e-6, 20, 0.5, "pass"),
        Trial("b", True, False, 4.0, None, None, 20, 0.5, "pass"),
        Trial("a", False, False, 1.5, 0.7, 1.2e-8, 42, 0.5, "pass"),
    ]


def test_a_clear_difference_is_named() -> None:
    found = report_of([*trials("a", 300, 1), *trials("b", 300, 2, latency_s=1.5)], ("a", "b"))
    latency = of(found, "latency_s")
    assert latency.verdict == "higher"
    assert latency.low is not None
    assert 0.3 < latency.low < latency.difference < 0.9
    assert latency.more is None
    assert [one.name for one in found.arms] == ["a", "b"]
    arm = found.arms[0].measures["latency_s"]
    assert (arm.calls, arm.low is not None, arm.median is not None) == (300, True, True)


def test_a_share_is_compared_as_one() -> None:
    found = report_of([*trials("a", 400, 1, failing=0.3), *trials("b", 400, 2, failing=0.05)], ("a", "b"))
    assert of(found, "errors").verdict == "lower"
    assert of(found, "errors").difference == pytest.approx(-0.25, abs=0.06)
    assert found.arms[1].measures["errors"].median is None


def test_nothing_is_said_of_few_calls() -> None:
    """However large the difference seems."""
    found = report_of([*trials("a", 100, 1), *trials("b", FEWEST - 7, 2, latency_s=50)], ("a", "b"))
    assert {(one.verdict, one.more) for one in found.compared} == {("too_few", 7)}
    assert {one.measure for one in found.compared} == set(MEASURES) - {"score"}  # nobody has judged


def test_an_undecided_difference_says_what_would_decide_it() -> None:
    """As many more calls as it says would do, if the difference stays what it seems to be."""
    found = of(report_of([*trials("a", 60, 1), *trials("b", 60, 2, latency_s=1.15)], ("a", "b")), "latency_s")
    assert (found.verdict, found.low is not None) == ("undecided", True)
    assert found.more is not None
    many = 60 + 2 * found.more
    later = of(report_of([*trials("a", many, 3), *trials("b", many, 4, latency_s=1.15)], ("a", "b")), "latency_s")
    assert later.verdict == "higher"


def test_equals_stay_equal() -> None:
    """Of arms that do not differ, about one report in twenty may say otherwise of any measure; not one measure in
    twenty."""
    wrong = 0
    for seed in range(150):
        arms = [*trials("a", 80, seed, failing=0.2), *trials("b", 80, 1000 + seed, failing=0.2)]
        wrong += any(one.verdict in ("higher", "lower") for one in report_of(arms, ("a", "b")).compared)
    assert wrong <= 12
    found = of(report_of([trial("a")] * 50 + [trial("b")] * 50, ("a", "b")), "cost_usd")
    assert (found.difference, found.verdict, found.more) == (0.0, "undecided", None)


def test_those_who_left_count_in_the_cost_only() -> None:
    arms = report_of([trial("a", left=True), trial("a")], ("a", "b")).arms
    assert (arms[0].calls, arms[0].left) == (2, 1)
    assert {name: one.calls for name, one in arms[0].measures.items()} == {
        "errors": 1, "latency_s": 1, "first_token_s": 1, "cost_usd": 2, "output_tokens": 1,
    }  # fmt: skip
    assert (arms[1].calls, arms[1].measures) == (0, {})


def test_verdicts() -> None:
    """Only judged calls have a score; words are counted."""
    arms = (
        [trial("a", score=0.25, verdict="fail")] * 40 + [trial("a")] * 9 + [trial("b", score=1.0, verdict="pass")] * 40
    )
    found = report_of([*arms, trial("b", verdict="fail")], ("a", "b"))
    assert of(found, "score").verdict == "higher"
    assert found.arms[0].measures["score"].calls == 40
    assert [one.verdicts for one in found.arms] == [{"fail": 40}, {"pass": 40, "fail": 1}]
