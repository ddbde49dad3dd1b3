"""What wrk reports, and when its report is an objection."""

from __future__ import annotations

import pytest

from bench import wrk
from bench.targets import NGINX, Endpoint

LINE = "BENCH-RESULT 1200 2000000 1500 9000 1200 0 0 0 0 0 "


def test_the_report_is_read_from_among_what_wrk_prints() -> None:
    """Durations arrive in microseconds."""
    load = wrk.read_output(f"Running 2s test\n{LINE}\nTransfer/sec: 1MB\n")
    assert (load.requests, load.per_second, load.p50_ms, load.p99_ms) == (1200, 600.0, 1.5, 9.0)
    assert load.objection() is None


def test_no_report_is_an_error() -> None:
    """wrk that could not connect prints no result."""
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.read_output("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ("0 1000000 0 0 0 0 0 0 0 0 ", "no request"),
        ("9 1000000 1 1 9 2 0 0 0 0 503 busy now", "2 of 9 requests wrongly, first: 503 busy now"),
        ("9 1000000 1 1 9 0 0 1 0 2 ", "broke 3 connections"),
        ("9 1000000 1 1 7 0 0 0 0 0 ", "only 7 of 9"),
    ],
)
def test_anything_but_checked_answers_is_an_objection(numbers: str, words: str) -> None:
    """A fast wrong answer must not become a result."""
    objection = wrk.read_output("BENCH-RESULT " + numbers).objection()
    assert objection is not None
    assert words in objection


def test_the_script_carries_the_request_and_the_answer() -> None:
    """Quotes in JSON bodies survive the way into Lua."""
    script = wrk.script(Endpoint(NGINX, 1, 2))
    assert 'wrk.headers["User-Agent"] = "OpenAI/Python' in script
    assert r"{\"model\": \"bench-model\"" in script
    assert "exact = true" in script
