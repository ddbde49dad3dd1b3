"""Reload the configuration when its files change or a signal asks, and switch new calls to it.

Rule: a version with mistakes changes nothing. Reading and building happen in a thread; only the swap happens in the
loop. With several workers, their supervisor reads, and sends the same news to each worker.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.errors import ConfigError
from gateway.proxy.ruleset import Reading, fingerprint, make_ruleset

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gateway.config import Config
    from gateway.proxy.gateway import Gateway

_log = logging.getLogger("gateway.configuration")

LOOK_EVERY_S = 1.0
LOADED, UNCHANGED, FAILED = "loaded", "unchanged", "failed"


class Source(Protocol):
    """A source of the configuration."""

    def stamp(self) -> Hashable:
        """Return a value that differs once the files have changed. Blocks."""

    def load(self) -> tuple[Config, tuple[str, ...]]:
        """Return the configuration, and a sentence for each change that needs a restart. Blocks.

        Raises:
            ConfigError: the configuration has mistakes.
        """


@dataclass(frozen=True, slots=True)
class News:
    """The result of one reading of the configuration. A supervisor sends it to its workers."""

    version: int = 1
    """The version to use after this reading."""
    loaded_at: float = 0.0
    """When that version was read, in wall-clock seconds."""
    result: str = LOADED
    reading: Reading = field(default_factory=Reading)
    config: Config | None = None
    """The new version; None if the one in use stays."""

    def sentences(self) -> tuple[str, ...]:
        """Return the sentences to log or print, the most important first."""
        if self.result == FAILED:
            first = f"the configuration is not taken over, and version {self.version} stays in use:"
            return "\n  ".join((first, *self.reading.error.splitlines())), *self.reading.waits
        is_new = "in use" if self.result == LOADED else "in use as before: nothing has changed"
        return f"version {self.version} of the configuration is {is_new}", *self.reading.waits


class Reader:
    """Reads the configuration repeatedly, and counts its versions. Not safe for several threads at once."""

    def __init__(
        self, source: Source, config: Config, stamp: Hashable, news: News, now: Callable[[], float] = time.time
    ) -> None:
        """`config`, `news`: as they were at the start. `stamp`: of the files, taken before they were read."""
        self._source = source
        self._fingerprint = fingerprint(config)
        self._acted_on = self._seen = stamp
        self._now = now
        self._results: Counter[str] = Counter()
        self.watches = config.server.watch
        """Whether to watch the files for changes."""
        self.news = news
        """The latest news."""

    def __repr__(self) -> str:
        return f"<Reader of version {self.news.version}, {self.news.reading.count} readings>"

    def has_changed(self) -> bool:
        """Tell whether the files differ from the last reading, and have not changed since the last look. Blocks.

        The second condition skips a file that is still being written, or is gone while an editor replaces it.
        """
        stamp = self._source.stamp()
        is_settled, self._seen = stamp == self._seen, stamp
        return is_settled and stamp != self._acted_on

    def read(self) -> News:
        """Read the configuration. Blocks."""
        at = self._now()
        before = self.news
        # Take the stamp first, so that a change during the reading causes another reading.
        self._acted_on = self._seen = self._source.stamp()
        config: Config | None = None
        waits, error = before.reading.waits, ""
        try:
            loaded, waits = self._source.load()
            digest = fingerprint(loaded)
        except ConfigError as mistakes:
            result, error = FAILED, "\n".join(mistakes.problems)
        except Exception as unexpected:  # noqa: BLE001  # no file may end a gateway that runs well
            _log.exception("the configuration cannot be read")
            result, error = FAILED, f"it cannot be read: {type(unexpected).__name__}; the log has the details"
        else:
            result = UNCHANGED if digest == self._fingerprint else LOADED
            if result == LOADED:
                config, self._fingerprint, self.watches = loaded, digest, loaded.server.watch
        self._results[result] += 1
        reading = Reading(before.reading.count + 1, error, waits, dict(self._results))
        is_new = config is not None
        self.news = News(before.version + is_new, at if is_new else before.loaded_at, result, reading, config)
        return self.news


class Feed:
    """A worker's queue of news from its supervisor. It keeps news that come before the worker listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects `_waiting` and `_tell`: a thread of its own calls `put`
        self._waiting: list[News] = []
        self._tell: Callable[[News], object] | None = None

    def put(self, news: News) -> None:
        """Pass news to the listener, or keep them until there is one. May be called in any thread."""
        with self._lock, suppress(RuntimeError):  # the loop is closed: the worker is about to end
            if self._tell is None:
                self._waiting.append(news)
            else:
                self._tell(news)

    def listen(self, tell: Callable[[News], object]) -> None:
        """Call `tell` with all waiting news now, and with each new one from now on."""
        with self._lock:
            for news in self._waiting:
                tell(news)
            self._waiting.clear()
            self._tell = tell


class Reloading:
    """Switches a gateway to configurations that the process itself or its supervisor reads."""

    def __init__(self, gateway: Gateway, reader: Reader | None, *, every_s: float = LOOK_EVERY_S) -> None:
        """`reader`: None in a worker, whose supervisor reads."""
        self._gateway = gateway
        self._reader = reader
        self._every_s = every_s
        self._wanted = asyncio.Event()

    def ask(self) -> None:
        """Request a reading of the configuration, even if its files have not changed. Called in the loop."""
        if self._reader is None:
            _log.info("SIGHUP is for the first process, which reads the configuration for all of its workers")
        self._wanted.set()

    async def run(self) -> None:
        """Read the configuration on request or when its files have changed, until cancelled."""
        reader = self._reader
        while reader is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._wanted.wait()
            if self._wanted.is_set() or (reader.watches and await asyncio.to_thread(reader.has_changed)):
                self._wanted.clear()
                news = await asyncio.to_thread(reader.read)
                await self.take(news)
                first, *others = news.sentences()
                _log.log(logging.ERROR if news.result == FAILED else logging.INFO, "%s", first)
                for sentence in others:
                    _log.info("%s", sentence)

    async def follow(self, feed: Feed) -> None:
        """Apply the supervisor's news, until cancelled."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[News] = asyncio.Queue()
        feed.listen(lambda news: loop.call_soon_threadsafe(queue.put_nowait, news))
        while True:
            news = await queue.get()
            await self.take(news)
            if news.result == LOADED:  # the supervisor itself logs all other results
                _log.info("%s", news.sentences()[0])

    async def take(self, news: News) -> None:
        """Switch new calls to the configuration in `news`. Calls under way keep theirs."""
        gateway = self._gateway
        if (config := news.config) is not None:
            known = set(gateway.now.config.warnings)
            while True:
                before = gateway.now
                found = gateway.found_still(config)
                ruleset = await asyncio.to_thread(
                    make_ruleset, config, found, version=news.version, loaded_at=news.loaded_at
                )
                if gateway.now is before:  # else discovery has replaced the ruleset meanwhile
                    break
            gateway.use(ruleset)
            for warning in config.warnings:
                if warning not in known:
                    _log.warning("%s", warning)
            if gateway.look is not None:
                gateway.look()  # new providers have not been asked for their models
        gateway.reading = news.reading
