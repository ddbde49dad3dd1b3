"""Read how long to wait after a refusal: from `retry-after`, other headers and the text of errors."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.types import Header, UpstreamError

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?")

# "try again in 6m0s", "in 1.5 seconds", "retry after 2 minutes", "wait 1 hour": a number and a unit, up to four times.
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_UNIT = r"(?:ms|milliseconds?|msecs?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|milli|msec|s|m|h|d)", re.IGNORECASE)
_WORDS = re.compile(
    r"\b(?:(?:re-?try|try|try again|retrying|come back|resets?|reset|available|wait)(?: again)?"
    r"(?: (?:in|after|for|within|at least|about|approximately|another))*"
    rf"):?\s+((?:\d+(?:\.\d+)? ?{_UNIT}[ ,]{{0,2}}(?:and )?){{1,4}})(?![a-z])",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\b(?:resets?|reset time|try again|retry|available|renew(?:s|ed))(?: again)?(?: (?:at|on|after|is))?:?\s+"
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)? ?(?:Z|UTC|[+-]\d\d:?\d\d)?)",
    re.IGNORECASE,
)

# A hostile or broken provider must not park an upstream for longer than a daily quota would.
LONGEST_WAIT_S = 86_400.0


def retry_after_s(headers: Iterable[Header], now: float) -> float | None:
    """Return how long to wait, in seconds from `now` (wall clock), or None if the headers do not say.

    `retry-after-ms` wins if it is above zero: Azure sends `retry-after-ms: 0` beside `retry-after: 1`. Use this only
    for refusals: Anthropic sends `retry-after` with successful answers too, where it has no meaning.

    Source: RFC 9110 section 10.2.3; recorded answers in tests/fixtures/{azure,openai,anthropic,groq}_429*.headers.
    """
    millis = seconds = None
    for name, value in headers:
        if name == b"retry-after-ms":
            text = value.decode("latin-1").strip()
            millis = float(text) if _NUMBER.fullmatch(text) else None
        elif name == b"retry-after":
            seconds = parse_wait(value.decode("latin-1"), now)
    if millis:
        return min(millis / 1000, LONGEST_WAIT_S)
    return seconds


def parse_wait(value: str, now: float) -> float | None:
    """Return a wait in seconds from a number of seconds, a duration ("6m0s", "20ms") or an HTTP date.

    The wait is between 0 and LONGEST_WAIT_S; None for any other text.
    """
    value = value.strip()
    if _NUMBER.fullmatch(value):
        wait = float(value)
    elif value and (found := _DURATION.fullmatch(value)):
        hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
        wait = hours * 3600 + minutes * 60 + seconds + millis / 1000
    else:
        try:
            date: datetime = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    return min(max(wait, 0.0), LONGEST_WAIT_S) if math.isfinite(wait) else None


def wait_in(text: str) -> float | None:
    """Return the wait in a message ("Please try again in 1m30s"), in seconds, at most LONGEST_WAIT_S; None: no wait."""
    found = _WORDS.search(text)
    if found is None:
        return None
    parts = _PART.findall(found[1])
    wait = sum(float(number) * _UNITS_S.get(unit.lower(), 0.001) for number, unit in parts)
    return min(wait, LONGEST_WAIT_S) if parts else None


def date_in(text: str) -> float | None:
    """Return the reset time in a message ("resets at 2026-11-12T08:00:00Z"), in wall-clock seconds; None: no time."""
    found = _DATE.search(text)
    if found is None:
        return None
    try:
        date = datetime.fromisoformat(found[1].upper().replace(" UTC", "Z").replace("UTC", "Z"))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def come_back_s(headers: Iterable[Header], error: UpstreamError, now: float) -> float | None:
    """Return the wait that a refusal asks for, in seconds from `now` (wall clock), or None.

    Headers count before the body. A date in the past, or further ahead than LONGEST_WAIT_S, is ignored.
    """
    wait_s = retry_after_s(headers, now)
    if wait_s is None and error.headers:
        wait_s = retry_after_s(error.headers, now)
        if wait_s is None:
            wait_s = _window_left_s(error.headers, now)
    if wait_s is None:
        wait_s = error.retry_after_s
    if wait_s is None and error.resets_at is not None and 0.0 < error.resets_at - now <= LONGEST_WAIT_S:
        wait_s = error.resets_at - now
    if wait_s is None and error.until_midnight:
        wait_s = LONGEST_WAIT_S - now % LONGEST_WAIT_S
    return wait_s


def _window_left_s(lines: Iterable[Header], now: float) -> float | None:
    """Return the time to the reset of an exhausted limit, from headers that a body repeats."""
    said = dict(lines)
    remaining, reset = (said.get(b"x-ratelimit-" + name, b"").decode("latin-1") for name in (b"remaining", b"reset"))
    if remaining not in ("", "0") or not _NUMBER.fullmatch(reset):
        return None
    number = float(reset)
    wait_s = number / 1000 - now if number > 1e11 else number - now if number > 1e9 else number
    return wait_s if 0.0 < wait_s <= LONGEST_WAIT_S else None
