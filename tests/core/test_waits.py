"""What providers say about when to come back, in every way they write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.waits import LONGEST_WAIT_S, come_back_s, date_in, parse_wait, retry_after_s, wait_in
from gateway.types import UpstreamError

# Wed, 12 Nov 2026 08:00:00 GMT
NOW = 1_794_470_400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("1.34", 1.34),
        ("86400", 86_400.0),
        ("86401", LONGEST_WAIT_S),
        ("1000000000", LONGEST_WAIT_S),
        ("999999999999999", LONGEST_WAIT_S),
        # Go's durations
        ("12ms", 0.012),
        ("0s", 0.0),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("1h", 3600.0),
        ("6m", 360.0),
        ("20m52.666s", 1252.666),
        ("17.399999999s", 17.399999999),
        ("1m30s500ms", 90.5),
        ("999999h", LONGEST_WAIT_S),
        # dates (RFC 9110 section 5.6.7)
        ("Thu, 12 Nov 2026 08:00:30 GMT", 30.0),
        ("Thu, 12 Nov 2026 08:00:30 -0000", 30.0),
        ("Thu, 12 Nov 2026 10:00:30 +0200", 30.0),
        ("Thursday, 12-Nov-26 08:00:30 GMT", 30.0),
        ("Thu, 12 Nov 2026 07:59:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 12 Nov 2099 08:00:00 GMT", LONGEST_WAIT_S),
        # nothing of these
        ("", None),
        ("   ", None),
        ("-1", None),
        ("+7", None),
        ("1e9", None),
        ("1_0", None),
        ("0x10", None),
        ("nan", None),
        ("inf", None),
        ("Infinity", None),
        ("soon", None),
        ("7 seconds", None),
        ("s", None),
        ("6m0", None),
        (".5", None),
        ("1234567890123456", None),
        ("9" * 400, None),
        ("9" * 400 + "h", None),
        ("Thu, 99 Nov 2026 08:00:30 GMT", None),
        ("Thu, 12 Nov 99999 08:00:30 GMT", None),
    ],
)
def test_waits(value: str, seconds: float | None) -> None:
    """Never negative, never longer than a day."""
    assert parse_wait(value, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "2", "retry-after-ms": "1340"}, 1.34),
        ({"retry-after-ms": "1340", "retry-after": "2"}, 1.34),
        ({"retry-after": "1", "retry-after-ms": "0"}, 1.0),  # Azure
        ({"retry-after-ms": "0"}, None),
        ({"retry-after-ms": "20"}, 0.02),
        ({"retry-after-ms": "20.5"}, 0.0205),
        ({"retry-after-ms": "120000"}, 120.0),
        ({"retry-after-ms": "999999999999"}, LONGEST_WAIT_S),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "6m0s", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "-1", "retry-after": "3"}, 3.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "\xff"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"x-ratelimit-reset-requests": "12ms"}, None),
    ],
)
def test_headers(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds win if there are any."""
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert retry_after_s(lines, NOW) == (None if seconds is None else pytest.approx(seconds))


MIDNIGHT_IN_S = 57_600.0


def said(remaining: str, reset: str, *more: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return (b"x-ratelimit-remaining", remaining.encode()), (b"x-ratelimit-reset", reset.encode()), *more


@pytest.mark.parametrize(
    ("headers", "error", "seconds"),
    [
        ([], UpstreamError("no"), None),
        ([(b"retry-after", b"7")], UpstreamError("x", retry_after_s=9.0), 7.0),  # the headers count before the body
        ([], UpstreamError("x", retry_after_s=9.0), 9.0),
        # the headers that a body repeats, in milliseconds, seconds, or from now
        ([], UpstreamError("x", headers=said("0", "1794470445000")), 45.0),
        ([], UpstreamError("x", headers=said("0", "1794470445")), 45.0),
        ([], UpstreamError("x", headers=said("0", "45")), 45.0),
        ([], UpstreamError("x", headers=said("0", "45", (b"retry-after", b"3"))), 3.0),
        ([], UpstreamError("x", headers=said("0", "1794470445000"), retry_after_s=9.0), 45.0),
        # absurd: over already, a year ahead, no number, or of a limit that is not used up
        ([], UpstreamError("x", headers=said("0", "1794470399000")), None),
        ([], UpstreamError("x", headers=said("0", "1826006400000")), None),
        ([], UpstreamError("x", headers=said("0", "soon"), retry_after_s=9.0), 9.0),
        ([], UpstreamError("x", headers=said("7", "1794470445000")), None),
        # dates
        ([], UpstreamError("x", resets_at=NOW + 30.0), 30.0),
        ([], UpstreamError("x", resets_at=NOW - 30.0), None),
        ([], UpstreamError("x", resets_at=NOW + 400 * 86_400.0), None),
        # a day that ends at midnight
        ([], UpstreamError("x", until_midnight=True), MIDNIGHT_IN_S),
        ([], UpstreamError("x", until_midnight=True, headers=said("0", "1794528000000")), MIDNIGHT_IN_S),
        ([], UpstreamError("x", until_midnight=True, retry_after_s=9.0), 9.0),
    ],
)
def test_when_a_refusal_says_to_come_back(
    headers: list[tuple[bytes, bytes]], error: UpstreamError, seconds: float | None
) -> None:
    """By its headers, else by its body; what is absurd says nothing."""
    assert come_back_s(headers, error, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Your limit resets at 2026-11-12T08:00:30Z.", 30.0),
        ("try again at 2026-11-12 08:00:30 UTC", 30.0),
        ("Try again after 2026-11-12T10:00:30+02:00", 30.0),
        ("reset time: 2026-11-12T08:00:30.5Z", 30.5),
        ("available again at 2026-11-12T08:01", 60.0),
        ("resets at 2026-99-12T08:00:30Z", None),
        ("resets at noon", None),
        ("on 2026-11-12T08:00:30Z you wrote", None),
    ],
)
def test_dates(text: str, at: float | None) -> None:
    """In UTC where nothing else is said."""
    assert date_in(text) == (None if at is None else NOW + at)


@given(text=st.text(max_size=80) | st.from_regex(r"(resets at|try again in|wait) [0-9a-z:.T -]{0,40}"))
def test_any_text(text: str) -> None:
    """No message is an exception, or longer than a day."""
    wait = wait_in(text)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S
    date_in(text)


@given(value=st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ \S*"))
def test_anything_at_all(value: str) -> None:
    """A provider's nonsense is no wait, and never an exception."""
    wait = parse_wait(value, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S


@given(value=st.binary(max_size=40), name=st.sampled_from([b"retry-after", b"retry-after-ms"]))
def test_any_header(value: bytes, name: bytes) -> None:
    """Nor are bytes that are no text."""
    wait = retry_after_s([(name, value)], NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S
