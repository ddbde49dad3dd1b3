"""What a store of the ledger can do, whichever database it is. Everything blocks: it is called from threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.ledger import Row

DIMENSIONS = ("hour", "day", "key", "route", "endpoint", "provider", "model")
"""What usage can be summed by."""


class StoreError(Exception):
    """The database cannot do it now: it is away, full, locked or not ours. The message says which and the remedy."""


class Totals(msgspec.Struct, kw_only=True):
    """Sums over attempts."""

    group: tuple[str, ...] = ()
    """Its values of the dimensions that were asked for; hours and days as `2026-11-21T05`, `2026-11-21`."""
    attempts: int = 0
    calls: int = 0
    """Attempts that were the last of their call."""
    errors: int = 0
    """Calls that were answered with 400 or more."""
    fallbacks: int = 0
    """Calls that were answered by another upstream than the first."""
    hung_up: int = 0
    in_doubt: int = 0
    unpriced: int = 0
    """Attempts whose cost is not known. They are not in `cost_nanousd`."""
    estimated: int = 0
    """Attempts whose cost is an estimate."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0
    saved_nanousd: int = 0


class Position(NamedTuple):
    """How far a journal has been imported."""

    writer: str
    segment: int
    offset: int


class Store(Protocol):
    """The ledger in a database. Every method may raise StoreError; none leaves anything half done."""

    def write(self, rows: Sequence[Row], position: Position | None = None) -> None:
        """Insert or replace rows, where theirs is the higher version, and remember how far that has come.

        One transaction; the sums that `totals` returns are kept in it too. Durable when it returns.
        """

    def rows(self, attempts: Iterable[str]) -> Mapping[str, Row]:
        """Return those of these attempts that are known."""

    def open_rows(self, writer: str) -> Sequence[Row]:
        """Return the attempts of a writer that have not come to an end."""

    def under_way(self) -> Sequence[Row]:
        """Return the attempts of all writers that have not come to an end. What they cost so far is in `totals`."""

    def position(self, writer: str) -> Position | None:
        """Return how far a writer's journal has been imported."""

    def forget_writer(self, writer: str) -> None:
        """Its journal is gone, and so is the need for its position."""

    def totals(
        self,
        by: Sequence[str] = (),
        *,
        since: float = 0.0,
        until: float = float("inf"),
        where: Mapping[str, str] | None = None,
    ) -> Sequence[Totals]:
        """Return sums over the attempts that began from `since` to before `until` (both rounded down to an hour).

        `by`: some of DIMENSIONS. `where`: dimension -> the value it must have.
        """

    def recent(self, limit: int, *, where: Mapping[str, str] | None = None) -> Sequence[Row]:
        """Return the latest attempts, the newest first."""

    def purge(self, before: float, *, batch: int = 5000) -> int:
        """Delete at most `batch` attempts that began earlier, and return how many; their sums stay."""

    def content(self, attempt: str) -> tuple[bytes, bytes] | None:
        """Return the request and the response of an attempt, if they were kept."""

    def keep_content(self, attempt: str, request: bytes, response: bytes) -> None:
        """Keep the request and the response of an attempt."""

    def damage(self, within_s: float) -> str:
        """Look for damage for at most so long, and return what was found first; empty: nothing was. Reads only."""

    def close(self) -> None:
        """Let go of the database."""
