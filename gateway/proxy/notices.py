"""Log and count each ejection, return and fallback of an upstream.

Rule: a storm does not flood the log. Equal lines are written once per AGAIN_S, with the number of lines left out.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from gateway.core.bounded import keep
from gateway.core.fallbacks import header
from gateway.core.names import quoted
from gateway.core.turns import What

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.fallbacks import Passed
    from gateway.core.names import Directory
    from gateway.core.turns import Turn
    from gateway.metrics import Metrics
    from gateway.types import Candidate, Route

_log = logging.getLogger("gateway.upstreams")

AGAIN_S = 60.0
"""Least time between two equal log lines, in seconds."""
MOST_REMEMBERED = 1024


def _shown(name: str) -> str:
    """Return a name with control characters escaped: a client's name must not forge a log line."""
    return quoted(name)[1:-1]


class Notices:
    """Writes the log lines, and remembers when it wrote each."""

    def __init__(
        self, metrics: Metrics, directory: Callable[[], Directory], now: Callable[[], float] = monotonic
    ) -> None:
        """`directory`: returns the configured names; only these may be metric labels."""
        self._metrics = metrics
        self._directory = directory
        self._now = now
        self._told: dict[tuple[str, ...], tuple[float, int]] = {}
        """Identity of a line -> when it was written, and how often it was left out since."""
        self.followers: tuple[Callable[[Turn], None], ...] = ()
        """Told of every turn, also of those without a line. A follower returns at once and does not raise."""
        self.degraded: Callable[[str, str], None] = lambda _name, _reason: None
        """Told of an upstream that has become much worse than usual, and why; without a reason, as usual again."""

    def turned(self, turn: Turn) -> None:
        """Report that an upstream, an account or an allowance has gone out of use, or is back."""
        for follow in self.followers:
            follow(turn)
        name = _shown(turn.name)
        if turn.what is What.RETURNED:
            if (more := self._due("returned", turn.name, turn.reason)) is not None:
                _log.info("%s is back in use after %s%s", name, turn.reason or "a failure", more)
            return
        self._metrics.ejected(self._label(turn.name), turn.reason)
        if (more := self._due(turn.what, turn.name, turn.reason)) is None:
            return
        if turn.what is What.EJECTED:
            _log.warning("%s is ejected: %s; next probe in %.0f s%s", name, turn.reason, turn.for_s, more)
        else:
            _log.warning("%s is set aside for %.0f s: %s%s", name, turn.for_s, turn.reason, more)

    def fell_back(self, route: Route, answered: Candidate, passed: Sequence[Passed]) -> None:
        """Report that another candidate than the first choice answered a call."""
        first = passed[0]
        self._metrics.fell_back(route, self._label(first.label), first.reason)
        if (more := self._due("fallback", first.label, first.reason)) is not None:
            why = header(passed).decode()
            _log.info("%s fell back to %s (%s)%s", _shown(route.name), _shown(answered.label), why, more)

    def _due(self, *what: str) -> str | None:
        """Return the suffix of a line that may be written now; None if the line was written lately."""
        now = self._now()
        told_at, missed = self._told.get(what, (-AGAIN_S, 0))
        if now - told_at < AGAIN_S:
            self._told[what] = (told_at, missed + 1)
            return None
        keep(self._told, what, (now, 0), MOST_REMEMBERED)
        return f" ({missed} more like this since the last line)" if missed else ""

    def _label(self, name: str) -> str:
        """Return a name as a metric label; "other" for a model name that a client made up."""
        directory = self._directory()
        if name.partition("#")[0] in directory.routes:
            return name
        provider = name.partition("/")[0].partition(":")[0]
        if name.removesuffix(":free") in directory.providers:  # an account, or its free allowance
            return name
        return f"{provider}/other" if provider in directory.providers else "other"
