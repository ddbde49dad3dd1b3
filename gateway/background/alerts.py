"""Tell somebody when a share of a budget has been spent: a line in the log, and a post to the budget's webhook.

Rule: the address of a webhook is a secret (whoever knows it can post there), so no more of it than its host is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.background.asking import connected
from gateway.core.money import NANO

if TYPE_CHECKING:
    import httpx

    from gateway.core.spend import Alert
    from gateway.upstream.client import Client

_log = logging.getLogger("gateway.alerts")

WITHIN_S = 5.0
TRIES = 3
BACK_OFF_S = 1.0
"""After the first try; twice as long after each other."""
MOST_WAITING = 256


class Alerts:
    """Tells of budgets that are being used up. What waits to be posted is bounded; the oldest goes first."""

    def __init__(
        self,
        client: Client,
        *,
        within_s: float = WITHIN_S,
        back_off_s: float = BACK_OFF_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._client = client
        self._within_s = within_s
        self._back_off_s = back_off_s
        self._waiting: deque[Alert] = deque(maxlen=most_waiting)
        self._arrived = asyncio.Event()
        self.posted = 0
        self.failed = 0
        """Posts that were given up."""
        self.dropped = 0
        """Posts that were never tried, because too many were waiting."""

    def __repr__(self) -> str:
        return f"<Alerts {len(self._waiting)} waiting, {self.posted} posted, {self.failed} failed>"

    def tell(self, alert: Alert) -> None:
        """Log it, and have it posted by `run`. Never blocks."""
        _log.warning("%s", alert.sentence)
        if not alert.budget.webhook:
            return
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(alert)
        self._arrived.set()

    async def run(self) -> None:
        """Post what there is to tell, until cancelled."""
        # Most gateways never have one to post, and need nothing of what it takes.
        await self._arrived.wait()
        async with await connected(self._client, self._within_s) as http:
            while True:
                while self._waiting:
                    await self._post(http, self._waiting.popleft())
                self._arrived.clear()
                await self._arrived.wait()

    async def _post(self, http: httpx.AsyncClient, alert: Alert) -> None:
        message = message_of(alert)
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(self._back_off_s * 2 ** (tried - 1))
            problem, again = await self._try(http, alert.budget.webhook, message)
            if problem is None:
                self.posted += 1
                return
            if not again:
                break
        self.failed += 1
        host = urlsplit(alert.budget.webhook).hostname
        _log.error("the webhook at %s was not told that %s: %s", host, alert.sentence, problem)

    async def _try(self, http: httpx.AsyncClient, url: str, message: dict[str, Any]) -> tuple[str | None, bool]:
        """Return what went wrong, and whether it may go better the next time."""
        import httpx

        try:
            async with asyncio.timeout(self._within_s), http.stream("POST", url, json=message) as response:
                status = response.status_code
        except (httpx.HTTPError, TimeoutError) as error:
            # Not its words: they may quote the address.
            return type(error).__name__, True
        if status < 300:
            return None, False
        return f"HTTP {status}", status == 429 or status >= 500


def message_of(alert: Alert) -> dict[str, Any]:
    """Return what is posted: Slack shows `text`, Discord shows `content`, and programs read the rest."""
    budget = alert.budget
    return {
        "text": alert.sentence,
        "content": alert.sentence,
        # Discord: whatever a model or a label is called, it calls nobody.
        "allowed_mentions": {"parse": []},
        "event": "budget_alert",
        "account": alert.account,
        "scope": budget.scope.value,
        "name": budget.name,
        "window": budget.window.value,
        "share": alert.share,
        "spent_usd": alert.spent_nanousd / NANO,
        "limit_usd": budget.limit_nanousd / NANO,
        "window_start": _iso(alert.window_start),
        "resets_at": _iso(alert.resets_at),
    }


def _iso(at: float) -> str | None:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isfinite(at) else None
