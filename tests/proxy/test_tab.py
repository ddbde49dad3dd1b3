"""A call holds what its key is limited in, gives it back once, and tells the ledger what the client was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.ledger import Content, Ended
from gateway.errors import Refusal
from gateway.metrics import Metrics
from gateway.proxy.books import Books
from gateway.proxy.tab import Tab
from gateway.stores.journal import Journal
from gateway.stores.limits import Unavailable
from gateway.types import Key, Needs
from tests.stores.journal_records import A, all_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.core.ledger import Record
    from gateway.types import Charge, Price, Upstream

ID = "key_0123456789ab"
FREE = Key(id=ID)
LIMITED = Key(id=ID, requests_per_min=9, tokens_per_min=5000, max_streams=3)
NEEDS = Needs(input_tokens=100, output_tokens=50)


class Priceless:
    """No upstream has a price."""

    def price_of(self, upstream: Upstream, now: float, tier: str = "") -> Price | None:
        raise AssertionError("a tab asks for no price")


class Scripted:
    """Limits that answer `hold` as told, and note what is asked of them."""

    def __init__(self, *, away: bool = False, full: bool = False, counted: int = 0) -> None:
        self.away = away
        self.full = full
        self.held: list[tuple[str, list[int]]] = []
        self.settled: list[tuple[str, list[int]]] = []
        self._counted = counted

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        if self.away:
            raise Unavailable("no answer")
        self.held.append((lease, [one.amount for one in charges]))
        return charges[0] if self.full else None

    def settle(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int], now: float) -> None:
        assert len(charges) == len(amounts)
        self.settled.append((lease, list(amounts)))

    def renew(self, leases: Sequence[str], now: float) -> None:
        pass

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        return self._counted, 1

    def seed(self, account: str, window_start: int, amount: int) -> None:
        pass

    def close(self) -> None:
        pass


def tab_of(limits: Scripted, key: Key = LIMITED) -> Tab:
    return Tab(Books(A, Priceless(), limits, Metrics()), key)


@pytest.mark.parametrize(
    ("key", "limited"),
    [
        (FREE, False),
        (Key(id=ID, budget_nanousd=1), False),  # budgets are held by attempts
        (Key(id=ID, requests_per_min=1), True),
        (Key(id=ID, tokens_per_min=1), True),
        (Key(id=ID, max_streams=0), True),
        (LIMITED, True),
    ],
)
def test_which_keys_are_limited(key: Key, limited: bool) -> None:
    assert tab_of(Scripted(), key).is_limited() is limited


@pytest.mark.parametrize(
    ("key", "held", "settled"),
    [
        (FREE, [], []),
        (Key(id=ID, requests_per_min=9), [1], [1]),
        (Key(id=ID, tokens_per_min=5000), [150], [42]),  # the worst case is held, the used tokens are counted
        (Key(id=ID, max_streams=3), [1], [1]),
        (LIMITED, [1, 150, 1], [1, 42, 1]),
    ],
)
async def test_what_is_held_is_settled_once(key: Key, held: list[int], settled: list[int]) -> None:
    """Under the name of the call, which is renewed as the lease while something is held."""
    limits = Scripted()
    tab = tab_of(limits, key)
    assert tab.lease == ""
    await tab.admit(NEEDS)
    assert limits.held == [(tab.identity, held)]
    assert tab.lease == (tab.identity if held else "")
    tab.used_tokens = 42
    tab.end(200)
    tab.end(200)
    assert limits.settled == ([(tab.identity, settled)] if settled else [])
    assert tab.lease == ""


async def test_limits_of_rates_are_not_worth_an_outage() -> None:
    """While the counters are away the call passes, holds nothing and settles nothing."""
    limits = Scripted(away=True)
    tab = tab_of(limits)
    await tab.admit(NEEDS)
    tab.end(200)
    assert (tab.lease, limits.settled) == ("", [])


@pytest.mark.parametrize(
    ("counted", "left"),
    [
        (5, b"3"),  # nine, less five counted and one held
        (8, b"0"),
        (30, b"0"),  # a limit that was lowered: never a negative number
    ],
)
async def test_a_key_without_room(counted: int, left: bytes) -> None:
    """The refusal says what is left; nothing is held, and the metrics count it."""
    limits = Scripted(full=True, counted=counted)
    tab = tab_of(limits)
    with pytest.raises(Refusal) as refused:
        await tab.admit(NEEDS)
    assert refused.value.status == 429
    assert (b"x-ratelimit-remaining-requests", left) in refused.value.headers
    tab.end(429)
    assert (tab.lease, limits.settled) == ("", [])
    assert b'rate_limit"} 1.0' in tab.books.metrics.expose()


def test_each_call_has_a_name_of_its_own() -> None:
    books = tab_of(Scripted()).books
    one, two = Tab(books, FREE), Tab(books, FREE)
    assert one.identity != two.identity
    assert all(tab.identity.startswith(A) for tab in (one, two))
    one.number = 2
    assert repr(one) == f"<Tab {one.identity}, 2 attempts>"


class Journaled:
    """Books with a journal on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.books = Books(A, Priceless(), Scripted(), Metrics())
        self.journal = Journal(folder, A, segment_bytes=4096, reserve_bytes=1024)
        self.books.use(self.journal, soon=lambda _: None)

    def records(self) -> list[Record]:
        return all_of(self._folder, A)


@pytest.fixture()
def journaled(tmp_path: Path) -> Iterator[Journaled]:
    journaled = Journaled(tmp_path)
    yield journaled
    journaled.journal.close()


@pytest.mark.parametrize(
    ("number", "told", "answered", "recorded"),
    [
        (1, 200, 200, False),  # the settlement has it
        (2, 0, 502, True),  # the last attempt failed, and what the client was answered was decided after it
        (1, 200, 499, True),
        (1, 200, 0, False),  # the client was answered nothing
        (0, 0, 404, False),  # there was no attempt
    ],
)
def test_the_ledger_learns_what_the_client_was_answered(
    journaled: Journaled, number: int, told: int, answered: int, recorded: bool
) -> None:
    """In a record of its own, where the settlement of the last attempt says something else."""
    tab = Tab(journaled.books, FREE)
    tab.number, tab.told = number, told
    tab.end(answered)
    assert journaled.records() == ([Ended(f"{tab.identity}/{number}", answered)] if recorded else [])


@pytest.mark.parametrize(
    ("too_long", "kept"),
    [
        (False, True),
        (True, False),
    ],
)
def test_prompt_and_answer_are_kept_as_far_as_a_record_goes(journaled: Journaled, too_long: bool, kept: bool) -> None:
    tab = Tab(journaled.books, FREE)
    tab.number = 3
    answer = bytes(journaled.journal.largest if too_long else 100)
    tab.keep(b"{}", answer)
    assert journaled.records() == ([Content(f"{tab.identity}/3", b"{}", answer)] if kept else [])


def test_without_a_journal_nothing_is_written() -> None:
    tab = tab_of(Scripted(), FREE)
    tab.number = 1
    tab.keep(b"{}", b"{}")
    tab.end(502)
    assert tab.books.unrecorded == 0
