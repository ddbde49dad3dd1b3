"""The protocol of the ledger's stores, for any database. Every method blocks, so call it from a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.ledger import Row

DIMENSIONS = ("hour", "day", "key", "route", "endpoint", "provider", "model")
"""Dimensions that usage can be summed by."""


class StoreError(Exception):
    """The database is unreachable, full, locked or not ours. The message says which, and the remedy."""


class NoLedgerYet(StoreError):
    """Nothing was ever recorded: no gateway has created the ledger yet, or one is just creating it."""


class Totals(msgspec.Struct, kw_only=True):
    """Sums over attempts."""

    group: tuple[str, ...] = ()
    """The values of the requested dimensions; hours and days as `2026-11-21T05`, `2026-11-21`."""
    attempts: int = 0
    calls: int = 0
    """Attempts that were the last of their call."""
    errors: int = 0
    """Calls answered with a status of 400 or more."""
    fallbacks: int = 0
    """Calls answered by an upstream other than the first."""
    hung_up: int = 0
    in_doubt: int = 0
    unpriced: int = 0
    """Attempts of unknown cost, which are not in `cost_nanousd`."""
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
    """The ledger in a database. Every method may raise StoreError, and then has changed nothing."""

    def write(self, rows: Sequence[Row], position: Position | None = None) -> None:
        """Insert rows, or replace those of a lower version, and store the journal's position.

        One transaction, which also updates the sums that `totals` returns. Durable when it returns.
        """

    def rows(self, attempts: Iterable[str]) -> Mapping[str, Row]:
        """Return the rows of these attempts that exist, by attempt."""

    def open_rows(self, writer: str) -> Sequence[Row]:
        """Return a writer's attempts that have not ended."""

    def under_way(self) -> Sequence[Row]:
        """Return all writers' attempts that have not ended. Their cost so far is in `totals`."""

    def position(self, writer: str) -> Position | None:
        """Return how far a writer's journal has been imported."""

    def forget_writer(self, writer: str) -> None:
        """Delete the position of a writer whose journal is gone."""

    def totals(
        self,
        by: Sequence[str] = (),
        *,
        since: float = 0.0,
        until: float = float("inf"),
        where: Mapping[str, str] | None = None,
    ) -> Sequence[Totals]:
        """Return sums over the attempts that began from `since` to before `until` (both rounded down to an hour).

        `by`: some of DIMENSIONS, `arm`, `user`, `metadata.NAME`. `where`: dimension -> the value it must have.
        """

    def recent(self, limit: int, *, where: Mapping[str, str] | None = None) -> Sequence[Row]:
        """Return the latest attempts, the newest first."""

    def tried(self, experiment: str, limit: int, *, since: float = 0.0, until: float = float("inf")) -> Sequence[Row]:
        """Return the latest attempts of an experiment's arms, the newest first."""

    def arms(self) -> Sequence[str]:
        """Return the names of all arms that have attempts: `experiment/arm`, sorted."""

    def call(self, request_id: str) -> Sequence[Row]:
        """Return the attempts of a call, the first one first; of a reused id, those of the latest calls."""

    def answer(self, provider_id: str) -> Row | None:
        """Return the latest attempt whose response the provider calls so."""

    def purge(self, before: float, *, batch: int = 5000) -> int:
        """Delete at most `batch` attempts that began earlier; return how many. Their sums stay."""

    def content(self, attempt: str) -> tuple[bytes, bytes] | None:
        """Return an attempt's request and response, if they were stored and not deleted."""

    def keep_content(self, attempt: str, request: bytes, response: bytes) -> None:
        """Store an attempt's request and response; empty ones in place of those that are to be deleted."""

    def damage(self, within_s: float) -> str:
        """Look for damage for at most `within_s`; return the first finding, or an empty text. Reads only."""

    def close(self) -> None:
        """Close the database."""
