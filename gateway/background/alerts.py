"""Report that a share of a budget has been spent: a line in the log, and a post to the budget's webhook.

Rule: the URL of a webhook is a secret, because everyone who knows it can post there. Only its host is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.background.probes import connected
from gateway.core.spend import NANO

if TYPE_CHECKING:
    import httpx

    from gateway.core.spend import Alert
    from gateway.upstream.client import Client

_log = logging.getLogger("gateway.alerts")

WITHIN_S = 5.0
TRIES = 3
BACK_OFF_S = 1.0
"""The pause after the first try; it doubles after each further one."""
MOST_WAITING = 256


class Alerts:
    """Logs and posts alerts about budgets. The queue of posts is bounded; when it is full, the oldest is dropped."""

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
        """Posts that were never tried, because the queue was full."""

    def __repr__(self) -> str:
        return f"<Alerts {len(self._waiting)} waiting, {self.posted} posted, {self.failed} failed>"

    def tell(self, alert: Alert) -> None:
        """Log an alert, and queue it for `run` to post. Never blocks."""
        _log.warning("%s", alert.sentence)
        if not alert.budget.webhook:
            return
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(alert)
        self._arrived.set()

    async def run(self) -> None:
        """Post queued alerts until cancelled."""
        # Most gateways never post an alert, so the HTTP client is made only when one arrives.
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
        _log.error("the webhook at %s did not get this alert: %s: %s", host, alert.sentence, problem)

    async def _try(self, http: httpx.AsyncClient, url: str, message: dict[str, Any]) -> tuple[str | None, bool]:
        """Post once. Return what went wrong (None: nothing), and whether a retry may help."""
        import httpx

        try:
            async with asyncio.timeout(self._within_s), http.stream("POST", url, json=message) as response:
                status = response.status_code
        except (httpx.HTTPError, TimeoutError) as error:
            # Only the type of the error: its text may quote the URL.
            return type(error).__name__, True
        if status < 300:
            return None, False
        return f"HTTP {status}", status == 429 or status >= 500


def message_of(alert: Alert) -> dict[str, Any]:
    """Return the JSON to post: Slack shows `text`, Discord shows `content`, and programs read the rest."""
    budget = alert.budget
    return {
        "text": alert.sentence,
        "content": alert.sentence,
        # Discord: names of models and labels must not mention (and so notify) anyone.
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
