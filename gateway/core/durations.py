"""Read durations: `6m0s` and `20ms` as providers and the configuration write them, `30d` and `2w` as people do."""

from __future__ import annotations

import re

SECONDS_OF = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
"""The units."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_PERIOD = re.compile(r"(\d{1,6})\s*([smhdw])")


def duration_s(text: str) -> float | None:
    """Return the seconds of a duration (`1h30m`, `1.5s`, `20ms`), its units from large to small; None: it is none.

    Infinite where it has more digits than a float.
    """
    if not text or (found := _DURATION.fullmatch(text)) is None:
        return None
    hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def period_s(text: str) -> float | None:
    """Return the seconds of a whole number of one unit (`90s`, `15m`, `1h`, `30d`, `2w`); None: it is none."""
    found = _PERIOD.fullmatch(text)
    return None if found is None else int(found[1]) * SECONDS_OF[found[2]]
