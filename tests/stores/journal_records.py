"""Records as calls leave them in a journal, and what they come to by the plainest means."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.core.ledger import Content, Ended, Intent, Progress, Row, Settle, encode, fold, in_doubt
from gateway.stores.journal import Journal
from gateway.stores.journal_segments import journals, read, segment_path
from gateway.types import CostSource, Usage
from tests.stores.attempts import WALL, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from random import Random

    from gateway.core.ledger import Record

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
SEGMENT_BYTES, RESERVE_BYTES = 4096, 1024


def intent(of: str, *, at: float = WALL) -> Intent:
    return Intent(of, at, "req_1", "key_1", "role:rlm", "chat", "openai", "gpt-5", True, ("team=a",), 100, 500)


def progress(of: str, tokens: int = 10) -> Progress:
    return Progress(of, tokens, 500 + tokens, "chatcmpl-1")


def settle(of: str, *, cost: int = 1000, call_status: int = 200) -> Settle:
    return Settle(
        of, WALL + 4, "ok", 200, Usage(100, 20, 30, 5), False, cost, CostSource.COMPUTED, cost + 100, 7, "curated",
        bytes(range(32)), 310, 4000, "chatcmpl-1", False, call_status,
    )  # fmt: skip


def life(rng: Random, call: int, writer: str = A) -> list[Record]:
    """Return what a random call leaves, up to where its process may have ended."""
    first, second = attempt(call, 1, writer), attempt(call, 2, writer)
    records: list[Record] = [intent(first, at=WALL + call)]
    records += [progress(first, 10 * n) for n in range(rng.randrange(3))]
    if rng.random() < 0.3:
        records += [settle(first, cost=rng.randrange(9999), call_status=0), intent(second, at=WALL + call)]
        records += [settle(second), Content(second, b"{}", bytes(rng.randrange(300)))]
    elif rng.random() < 0.7:
        records += [settle(first, call_status=0), Ended(first, 200)]
    return records[: rng.choice((None, rng.randrange(1, 9)))]


def lives(rng: Random, calls: int, writer: str = A) -> list[Record]:
    """Return what random calls leave that go on at the same time."""
    under_way: list[list[Record]] = []
    records: list[Record] = []
    for call in range(calls):
        under_way.append(life(rng, call, writer))
        while len(under_way) > 5:
            one = rng.choice(under_way)
            records.append(one.pop(0))
            under_way = [one for one in under_way if one]
    return records + [record for one in under_way for record in one]


def folded(records: Iterable[Record]) -> list[Row]:
    """Return the rows that records come to while their process lives."""
    rows: dict[str, Row] = {}
    for record in records:
        if not isinstance(record, Content):
            rows[record.attempt] = fold(rows.get(record.attempt), record)
    return [rows[name] for name in sorted(rows)]


def ended(records: Iterable[Record]) -> list[Row]:
    """Return the rows that records come to once their process is dead."""
    return [in_doubt(row) for row in folded(records)]


def contents(records: Iterable[Record]) -> dict[str, tuple[bytes, bytes]]:
    """Return the prompts and answers in records."""
    return {one.attempt: (one.request, one.response) for one in records if isinstance(one, Content)}


def small(directory: Path, writer: str = A) -> Journal:
    """Return a journal whose segments hold about twenty records."""
    return Journal(directory, writer, segment_bytes=SEGMENT_BYTES, reserve_bytes=RESERVE_BYTES)


def write(journal: Journal, records: Iterable[Record]) -> None:
    """Append records, each as soon as there is a segment for it."""
    for record in records:
        payload = encode(record)
        if journal._offset + len(payload) + 8 > journal._limit:
            eventually(lambda: journal._spare is not None)
        journal.append(payload)


def leave(directory: Path, records: Iterable[Record], writer: str = A) -> None:
    """Leave a journal behind whose process has ended."""
    journal = small(directory, writer)
    write(journal, records)
    journal.close()


def all_of(directory: Path, writer: str = A) -> list[Record]:
    """Return all records of a journal."""
    found: list[Record] = []
    for number in journals(directory).get(writer, []):
        offset = 0
        while (chunk := read(segment_path(directory, writer, number), offset)).records:
            found += chunk.records
            offset = chunk.offset
    return found


def eventually(is_so: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)
