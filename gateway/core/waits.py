"""Read when to come back: `retry-after` and the ways providers write a wait."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.types import Header

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?")

# A hostile or broken provider must not park an upstream for longer than a daily quota would.
LONGEST_WAIT_S = 86_400.0


def retry_after_s(headers: Iterable[Header], now: float) -> float | None:
    """Return how long to wait, in seconds from `now` (wall clock), or None if the headers do not say.

    `retry-after-ms` wins if it is above zero: Azure sends `retry-after-ms: 0` beside `retry-after: 1`. Ask this only
    of refusals: Anthropic sends `retry-after` with successful answers too, where it means nothing.

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
    """Return a wait in seconds: from a number of seconds, a duration ("6m0s", "20ms") or an HTTP date.

    Never negative and at most LONGEST_WAIT_S; None for what is none of these.
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
