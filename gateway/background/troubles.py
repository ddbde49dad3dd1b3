"""Post to the webhook of the configuration that an upstream or an account is in trouble, and that it is over.

Rule: only the process that has met a trouble posts it, and equal posts come at most once per AGAIN_S.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

from gateway.core.bounded import keep
from gateway.core.names import quoted
from gateway.core.troubles import Trouble, sentence_of, trouble_of
from gateway.core.turns import What

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.background.alerts import Alerts
    from gateway.config.settings import AlertSettings
    from gateway.core.turns import Turn

AGAIN_S = 600.0
"""Least time between two equal posts, in seconds."""
MOST_REMEMBERED = 1024


class Troubles:
    """Follows turns and degradations, and has the alerts post them."""

    def __init__(
        self, alerts: Alerts, settings: Callable[[], AlertSettings], now: Callable[[], float] = monotonic
    ) -> None:
        """`settings`: returns those of the present configuration."""
        self._alerts = alerts
        self._settings = settings
        self._now = now
        self._told: dict[tuple[str, Trouble], float] = {}
        self._in_trouble: dict[str, Trouble] = {}

    def __repr__(self) -> str:
        return f"<Troubles of {len(self._in_trouble)}>"

    def turned(self, turn: Turn) -> None:
        """See `Notices.followers`."""
        if turn.is_hearsay:
            return
        if turn.what is What.RETURNED:
            if self._in_trouble.get(turn.name) not in (None, Trouble.DEGRADED):
                self._over(turn.name)
        elif (trouble := trouble_of(turn)) is not None:
            self._tell(trouble, turn.name, turn.reason, turn.for_s)

    def degraded(self, name: str, reason: str) -> None:
        """An upstream has become much worse than usual; without a reason, it is as usual again."""
        if reason:
            self._tell(Trouble.DEGRADED, name, reason, 0.0)
        elif self._in_trouble.get(name) is Trouble.DEGRADED:
            self._over(name)

    def _tell(self, trouble: Trouble, name: str, reason: str, for_s: float) -> None:
        settings, now = self._settings(), self._now()
        if not settings.webhook or trouble not in settings.on:
            return
        told_at = self._told.get((name, trouble))
        if told_at is not None and now - told_at < AGAIN_S:
            return
        keep(self._told, (name, trouble), now, MOST_REMEMBERED)
        keep(self._in_trouble, name, trouble, MOST_REMEMBERED)
        shown = quoted(name)[1:-1]
        sentence = sentence_of(trouble, shown, reason, for_s)
        self._post(settings.webhook, sentence, trouble.value, name, reason)

    def _over(self, name: str) -> None:
        trouble, settings = self._in_trouble.pop(name), self._settings()
        if settings.webhook:
            sentence = f"{quoted(name)[1:-1]} is back to normal (it was: {trouble.value})"
            self._post(settings.webhook, sentence, "recovered", name, trouble.value)

    def _post(self, webhook: str, sentence: str, event: str, name: str, reason: str) -> None:
        message: dict[str, Any] = {"event": event, "name": name, "reason": reason, "at": int(time())}
        self._alerts.post(webhook, sentence, message)
