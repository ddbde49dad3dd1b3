"""Report that a share of a budget has been spent, in the log and to its webhook; and post the alerts of others.

Rule: the URL of a webhook is a secret, because everyone who knows it can post there. Only its host is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple
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
"""The pause after the first try; it doubles after each further one."""
MOST_WAITING = 256


class Post(NamedTuple):
    """Something to be posted."""

    webhook: str
    sentence: str
    message: dict[str, Any]


class Alerts:
    """Posts alerts, and logs those about budgets. The queue is bounded; when it is full, the oldest is dropped."""

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
        self._waiting: deque[Post] = deque(maxlen=most_waiting)
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
        if alert.budget.webhook:
            self._queue(Post(alert.budget.webhook, alert.sentence, message_of(alert)))

    def post(self, webhook: str, sentence: str, message: dict[str, Any]) -> None:
        """Queue a sentence for `run` to post, with what programs read beside it. Never blocks."""
        self._queue(Post(webhook, sentence, {**_shown(sentence), **message}))

    def _queue(self, post: Post) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(post)
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

    async def _post(self, http: httpx.AsyncClient, post: Post) -> None:
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(self._back_off_s * 2 ** (tried - 1))
            problem, again = await self._try(http, post.webhook, post.message)
            if problem is None:
                self.posted += 1
                return
            if not again:
                break
        self.failed += 1
        host = urlsplit(post.webhook).hostname
        _log.error("the webhook at %s did not get this alert: %s: %s", host, post.sentence, problem)

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
    """Return the JSON to post about a budget."""
    budget = alert.budget
    return {
        **_shown(alert.sentence),
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


def _shown(sentence: str) -> dict[str, Any]:
    """Return what people see: Slack shows `text`, Discord shows `content`; programs read the rest of a message."""
    # Discord: names of models and labels must not mention (and so notify) anyone.
    return {"text": sentence, "content": sentence, "allowed_mentions": {"parse": []}}


def _iso(at: float) -> str | None:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isfinite(at) else None
