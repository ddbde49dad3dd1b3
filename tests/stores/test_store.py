"""What every store of the ledger does, whichever database it is."""

from __future__ import annotations

from contextlib import closing
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from gateway.core.ledger import Row, RowState
from gateway.stores.postgres import PostgresStore
from gateway.stores.rows import LARGEST
from gateway.stores.sqlite import SQLiteStore
from gateway.stores.store import Position, StoreError, Totals
from gateway.stores.sums import MOST_COUNTED, MOST_OF_A_CALL, short
from gateway.types import CostSource, Usage
from tests.stores.attempts import ALL, DAY_S, HOUR_S, WALL, WRITER, attempt, kept, recomputed, row, summed, versions
from tests.stores.databases import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.stores.store import Store

OTHER = "ba9876543210"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Return what opens the same new database each time."""
    if request.param == "sqlite":
        return lambda: SQLiteStore(tmp_path / "state" / "ledger.sqlite")
    url = request.getfixturevalue("server").database()
    return lambda: PostgresStore(url)


@pytest.fixture
def store(opener: Callable[[], Store]) -> Iterator[Store]:
    with closing(opener()) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(12))
def test_any_history_ends_in_the_same_ledger(store: Store, seed: int) -> None:
    """Whatever the order, the batches and the repetitions: each attempt counts once, as it was known last."""
    rng = Random(seed)
    known = [versions(rng, call) for call in range(60)]
    history = [one for ones in known for one in ones for _ in range(rng.choice((1, 1, 1, 2)))]
    rng.shuffle(history)
    while history:
        size = rng.randrange(1, 40)
        batch, history = history[:size], history[size:] + ([rng.choice(history)] if rng.random() < 0.1 else [])
        store.write(batch)
        rows = kept(store)
        assert summed(store) == recomputed(cut(one) for one in rows)
    assert rows == sorted((ones[-1] for ones in known), key=lambda one: one.attempt)
    assert list(store.totals()) == recomputed(rows, ())


@pytest.mark.parametrize("seed", range(6))
def test_any_period_has_the_sums_of_its_attempts(store: Store, seed: int) -> None:
    """Whole days and parts of days, in whatever order attempts became known, and what replaced them elsewhere."""
    rng = Random(seed)
    known = [versions(rng, call) for call in range(80)]
    known += [[replace(ones[-1], version=1 << 30, at=ones[-1].at + DAY_S / 2)] for ones in known[:20]]
    history = [one for ones in known for one in ones]
    rng.shuffle(history)
    for start in range(0, len(history), 7):
        store.write(history[start : start + 7])
    rows = [cut(one) for one in kept(store)]
    times = [WALL + rng.uniform(-4 * DAY_S, 4 * DAY_S) for _ in range(12)]
    days = [(WALL + shift) // DAY_S * DAY_S for shift in (-2 * DAY_S, -DAY_S, 0.0, DAY_S)]
    for since in (0.0, *days, *times):
        for until in (float("inf"), *days, *times[:4]):
            by = rng.choice(((), ("day",), ("hour",), ("day", "model"), ("hour", "day", "key"), ("provider",)))
            first, end = since // HOUR_S * HOUR_S, until // HOUR_S * HOUR_S
            wanted = recomputed((one for one in rows if first <= one.at and not one.at >= end), by)
            assert list(store.totals(by, since=since, until=until)) == (wanted or ([] if by else [Totals()]))
    for day in {str(one.group[0]) for one in store.totals(("day",))}:
        wanted = recomputed([one for one in rows if recomputed([one], ("day",))[0].group == (day,)], ("hour", "route"))
        assert list(store.totals(("hour", "route"), where={"day": day})) == wanted
        assert store.totals((), where={"day": day, "route": "main"})[0].attempts == sum(
            one.attempts for one in wanted if one.group[1] == "main"
        )


def cut(one: Row) -> Row:
    return replace(one, model=short(one.model))


def test_a_row_comes_back_as_it_was(store: Store) -> None:
    """Every field of it, and what is not known of it."""
    full = row(
        1, labels=("team=search", 'x="é\n'), hung_up=True, usage_is_estimate=True, cost_source=CostSource.PROVIDER,
        usage=Usage(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, "flex", is_suspect=True),
        outcome="broken_off", model="google/gemma-3-27b-it:free", at=WALL + 0.123456,
    )  # fmt: skip
    bare = Row(attempt=attempt(2))
    unpriced = row(3, cost_nanousd=None, estimate_nanousd=None, cost_source=CostSource.UNKNOWN, sha256=b"")
    store.write([full, bare, unpriced])
    found = store.rows([attempt(3), attempt(1), attempt(4), attempt(2)])
    assert found == {one.attempt: one for one in (full, bare, unpriced)}
    assert all(type(getattr(one, name)) is type(getattr(full, name)) for one in found.values() for name in FLAGS)


FLAGS = ("stream", "hung_up", "usage_is_estimate", "state", "cost_source", "sha256", "at")


def test_the_higher_version_stays(store: Store) -> None:
    """Also within one batch, and an equal one changes nothing."""
    store.write([row(1, version=2, cost_nanousd=2), row(1, version=3, cost_nanousd=3), row(1, version=1)])
    store.write([row(1, version=2, cost_nanousd=4), row(1, version=3, cost_nanousd=5)])
    assert [one.cost_nanousd for one in kept(store)] == [3]
    assert store.totals()[0].cost_nanousd == 3


def test_what_is_there_is_found_between_what_is_not(store: Store) -> None:
    """Attempts may come in any order, and of any writers."""
    store.write([row(5, version=2, cost_nanousd=1), row(5, writer=OTHER, version=2, cost_nanousd=2)])
    store.write([row(9), row(5, version=1), row(2), row(7, writer=OTHER), row(5, writer=OTHER, version=1)])
    store.write([row(5, version=1), row(3)])
    found = {(one.attempt, one.cost_nanousd) for one in kept(store)}
    assert found == {
        (attempt(2), 1000), (attempt(3), 1000), (attempt(5), 1), (attempt(9), 1000), (attempt(5, 1, OTHER), 2),
        (attempt(7, 1, OTHER), 1000),
    }  # fmt: skip
    assert summed(store) == recomputed(kept(store))


@pytest.mark.parametrize("count", [1, 6, 7, 8, 49, 50, 51, 58, 107, 1000])
def test_as_many_as_there_are(store: Store, count: int) -> None:
    """However many rows a statement takes."""
    rows = [row(call) for call in range(count)]
    store.write(rows)
    assert kept(store) == rows


def test_nothing_is_written_of_nothing(store: Store) -> None:
    """An empty ledger has sums of zero, and no groups."""
    store.write([])
    assert (store.rows([]), store.recent(9), store.open_rows(WRITER), store.purge(WALL)) == ({}, [], [], 0)
    assert list(store.totals()) == [Totals()]
    assert list(store.totals(("day",), where={"key": "x"})) == []
    assert list(store.recent(9, where={"key": "x"})) == []


def test_what_no_provider_means_is_clamped(store: Store) -> None:
    """Its row is kept, marked, and the sums go on: a ledger that refused it would never get past it."""
    huge, below = 1 << 80, -5
    store.write(
        [
            row(1, usage=Usage(huge, below, images=huge), cost_nanousd=huge, saved_nanousd=below),
            row(2, cost_nanousd=below, estimate_nanousd=below, duration_ms=huge, status=below),
            row(3, at=float("nan")),
            row(4, at=float("inf")),
            row(5),
            row(6, usage=Usage(1, web_searches=3, images=huge, audio_input_tokens=below)),
        ]
    )
    first, second, third, fourth, fifth, sixth = kept(store)
    assert first.usage == Usage(LARGEST, 0, images=LARGEST, is_suspect=True)
    assert (first.cost_nanousd, first.saved_nanousd) == (LARGEST, 0)
    assert (second.cost_nanousd, second.estimate_nanousd, second.duration_ms, second.status) == (0, 0, LARGEST, 0)
    assert second.usage.is_suspect
    assert (third.at, fourth.at) == (0.0, 0.0)
    assert fifth == row(5)
    assert sixth == row(6, usage=Usage(1, web_searches=3, images=LARGEST, is_suspect=True))
    assert store.totals()[0].cost_nanousd == MOST_COUNTED + 4000


def test_what_was_absurd_leaves_no_trace_in_the_sums(store: Store) -> None:
    """What it was counted with can be taken off again to the last nano-dollar."""
    calls = range(1, 100)
    store.write([row(call, version=1, cost_nanousd=1 << 80, usage=Usage(1 << 80)) for call in calls])
    store.write([row(call) for call in calls])
    assert summed(store) == recomputed(row(call) for call in calls)


def test_an_attempt_that_turns_out_to_be_elsewhere(store: Store) -> None:
    """Where it was counted before, nothing is left of it, and nobody looks for it there."""
    store.write([row(1, version=1, at=WALL + DAY_S, model="a"), row(2, model="a")])
    store.write([row(1, version=2, at=WALL, model="b")])
    assert [one.group for one in store.totals(("model", "day"))] == [("a", "2026-09-21"), ("b", "2026-09-21")]
    assert [one.attempt for one in store.recent(1, where={"model": "a"})] == [attempt(2)]
    assert list(store.recent(9, where={"day": "2026-09-22"})) == []


def test_sums_do_not_overflow(store: Store) -> None:
    """More than 64 bits hold can be summed up, in one batch, in many, over many hours and over many days."""
    count, batch = 131_080, 6_554
    usage = Usage(LARGEST)
    for start in range(0, count, batch):
        later = (0.0, HOUR_S, DAY_S, DAY_S + HOUR_S)
        store.write([row(call, at=WALL + later[call % 4], usage=usage) for call in range(start, start + batch)])
    (total,) = store.totals()
    assert total.attempts == count
    assert total.input_tokens == 2 * LARGEST > 1 << 62
    assert sum(one.input_tokens for one in store.totals(("hour",))) == 4 * (count // 4) * MOST_COUNTED
    store.write([row(count, at=WALL)])
    assert store.totals()[0].attempts == count + 1


def test_names_are_the_clients_to_choose(store: Store) -> None:
    """Long ones and odd ones are kept, counted, and told apart."""
    names = ["x" * 5000 + end for end in "ab"] + ["\U0001f600" * 3000, "a'b\";--", "%s ? \\u0000", "\u2028"]
    store.write([row(call, model=name, route=name, request_id=name) for call, name in enumerate(names)])
    assert {one.model for one in kept(store)} == set(names)
    assert [one.attempts for one in store.totals(("model",))] == [1] * len(names)
    for name in names:
        assert [one.model for one in store.recent(9, where={"model": name})] == [name]
        assert store.totals(where={"model": name, "route": name})[0].attempts == 1


def test_a_character_of_code_zero_is_survived(store: Store) -> None:
    """PostgreSQL has none; what is looked up with it is found all the same."""
    store.write([row(1, model="a\0b", provider_id="\0", labels=("x=\0",))])
    store.write([replace(row(1, model="a\0b", cost_nanousd=3), version=1 << 21)])
    (found,) = kept(store)
    assert (found.model.replace("\ufffd", "\0"), found.cost_nanousd) == ("a\0b", 3)
    assert [one.attempts for one in store.totals(("model",), where={"model": "a\0b"})] == [1]


def test_how_far_a_journal_has_been_imported(store: Store) -> None:
    """It goes forward with the rows, never back, and is forgotten when the journal is."""
    assert store.position(WRITER) is None
    store.write([row(1)], Position(WRITER, 2, 500))
    store.write([], Position(OTHER, 1, 1))
    store.write([row(2)], Position(WRITER, 1, 900))
    assert store.position(WRITER) == Position(WRITER, 2, 500)
    store.write([], Position(WRITER, 3, 0))
    assert store.position(WRITER) == Position(WRITER, 3, 0)
    store.forget_writer(WRITER)
    store.forget_writer(WRITER)
    assert (store.position(WRITER), store.position(OTHER)) == (None, Position(OTHER, 1, 1))
    assert len(kept(store)) == 2


def test_attempts_that_have_not_ended(store: Store) -> None:
    """Those of one writer, or all; one that ends is no more among them."""
    going = [row(call, state=RowState.OPEN, version=1) for call in (1, 2)]
    others = row(4, state=RowState.OPEN, version=1, writer=OTHER)
    store.write([*going, row(3), others])
    assert list(store.open_rows(WRITER)) == going
    assert sorted(store.under_way(), key=lambda one: one.attempt) == sorted(
        [*going, others], key=lambda one: one.attempt
    )
    store.write([row(1), row(2, state=RowState.IN_DOUBT, version=5)])
    assert list(store.open_rows(WRITER)) == []
    assert list(store.under_way()) == [others]
    assert store.totals()[0].in_doubt == 1


ROWS = (
    row(1, at=WALL),
    row(2, at=WALL + HOUR_S, key="key_2", cost_nanousd=None),
    row(2, 2, at=WALL + HOUR_S, key="key_2", model="b"),
    row(3, at=WALL + DAY_S, model="b", call_status=502, hung_up=True),
)


@pytest.mark.parametrize(
    "by, asked, groups",
    [
        ((), {}, {(): 4}),
        (("day",), {}, {("2026-09-21",): 3, ("2026-09-22",): 1}),
        (("hour",), {"where": {"day": "2026-09-21"}}, {("2026-09-21T14",): 1, ("2026-09-21T15",): 2}),
        (("model", "key"), {}, {("b", "key_1"): 1, ("b", "key_2"): 1, ("gpt-5", "key_1"): 1, ("gpt-5", "key_2"): 1}),
        (("key",), {"where": {"model": "b"}}, {("key_1",): 1, ("key_2",): 1}),
        (("key",), {"where": {"hour": "2026-09-21T14"}}, {("key_1",): 1}),
        (("endpoint", "provider", "route"), {}, {("chat", "openai", "role:rlm"): 4}),
        ((), {"since": WALL + HOUR_S}, {(): 3}),
        ((), {"since": WALL + HOUR_S, "until": WALL + DAY_S}, {(): 2}),
        ((), {"until": WALL}, {(): 0}),
        ((), {"since": WALL + 800.0, "until": WALL + 900.0}, {(): 0}),
        ((), {"since": WALL + 800.0, "until": WALL + HOUR_S}, {(): 1}),
        ((), {"since": -1.0, "until": 1e300}, {(): 4}),
        ((), {"since": float("inf")}, {(): 0}),
        (("key",), {"where": {"key": "key_3"}}, {}),
    ],
)
def test_what_usage_is_summed_by(store: Store, by: tuple[str, ...], asked: Any, groups: dict[Any, int]) -> None:
    """Hours are whole, days are those of UTC, and groups come sorted."""
    store.write(ROWS)
    found = store.totals(by, **asked)
    assert [(one.group, one.attempts) for one in found] == list(groups.items())


@pytest.mark.parametrize(
    "by, where, said",
    [
        (("weekday",), {}, 'usage cannot be grouped or filtered by "weekday"; choose among hour, day, key'),
        ((), {"x": "1"}, 'usage cannot be grouped or filtered by "x"'),
        ((), {"day": "yesterday"}, '"yesterday" is not a valid day; write it as 2026-11-21'),
        ((), {"hour": "2026-11-21"}, '"2026-11-21" is not a valid hour; write it as 2026-11-21T05'),
    ],
)
def test_what_cannot_be_asked(store: Store, by: tuple[str, ...], where: dict[str, str], said: str) -> None:
    """It is the asker's mistake, not the store's, which goes on."""
    with pytest.raises(ValueError, match=said):
        store.totals(by, where=where)
    assert list(store.totals()) == [Totals()]


@pytest.mark.parametrize(
    "limit, where, expected",
    [
        (9, None, [3, 2, 1, 0]),
        (2, None, [3, 2]),
        (0, None, []),
        (9, {"key": "key_2"}, [2, 1]),
        (1, {"key": "key_2"}, [2]),
        (9, {"model": "b", "day": "2026-09-21"}, [2]),
        (9, {"hour": "2026-09-21T14"}, [0]),
        (9, {"hour": "2026-09-21T14", "key": "key_2"}, []),
        (9, {"model": "c"}, []),
    ],
)
def test_the_latest_attempts(store: Store, limit: int, where: Any, expected: list[int]) -> None:
    """The newest first, and of one call the later attempt."""
    store.write(ROWS)
    assert list(store.recent(limit, where=where)) == [ROWS[number] for number in expected]


def test_a_call(store: Store) -> None:
    """Its attempts in their order, and no others; of an id that a client reuses, the latest."""
    store.write(
        [row(call, at=WALL + call, request_id="reused" if call else "once") for call in range(MOST_OF_A_CALL + 3)]
    )
    assert [one.attempt for one in store.call("once")] == [attempt(0)]
    assert [one.attempt for one in store.call("reused")] == [attempt(call) for call in range(3, MOST_OF_A_CALL + 3)]
    assert list(store.call("none")) == []


def test_what_is_old_is_purged(store: Store) -> None:
    """A batch at a time and the oldest first, with what was said; the sums stay."""
    store.write([row(call, at=WALL + call * HOUR_S, key=f"key_{call % 3}") for call in range(10)])
    for call in range(10):
        store.keep_content(attempt(call), b"asked", b"answered")
    before = summed(store)
    assert [store.purge(WALL + 7 * HOUR_S, batch=3) for _ in range(4)] == [3, 3, 1, 0]
    assert [one.attempt for one in kept(store)] == [attempt(call) for call in (7, 8, 9)]
    assert [call for call in range(10) if store.content(attempt(call))] == [7, 8, 9]
    assert summed(store) == before
    assert [one.attempt for one in store.recent(9, where={"key": "key_1"})] == [attempt(7)]
    assert list(store.recent(9, where={"key": "key_1", "hour": "2026-09-21T15"})) == []


def test_what_was_said(store: Store) -> None:
    """Bytes as they were; said twice, it is kept once. It may come before its attempt."""
    store.keep_content(attempt(1), b"asked", b"")
    store.write([row(1)])
    store.keep_content(attempt(1), b"asked\0\xff", b"answered")
    assert store.content(attempt(1)) == (b"asked\0\xff", b"answered")
    assert store.content(attempt(2)) is None


def test_it_is_still_there(opener: Callable[[], Store]) -> None:
    """Another process that opens it finds everything, and adds to it."""
    with closing(opener()) as store:
        store.write(ROWS, Position(WRITER, 1, 2))
        store.keep_content(ROWS[0].attempt, b"asked", b"answered")
    with closing(opener()) as store:
        store.write([row(9)])
        assert len(kept(store)) == len(ROWS) + 1
        assert summed(store) == recomputed(kept(store), ALL)
        assert store.position(WRITER) == Position(WRITER, 1, 2)
        assert store.content(ROWS[0].attempt) == (b"asked", b"answered")


def test_nothing_is_left_half_done(store: Store) -> None:
    """A position that is none is found out after the rows have been written; nothing is there of them."""
    with pytest.raises(StoreError):
        store.write([row(1)], Position(WRITER, None, 1))  # type: ignore[arg-type]  # the last thing to go wrong
    assert (kept(store), list(store.totals()), store.position(WRITER)) == ([], [Totals()], None)
    store.write([row(1)], Position(WRITER, 1, 1))
    assert store.totals()[0].attempts == 1


def test_the_attempts_of_an_experiment(store: Store) -> None:
    """Only of this one, the newest first, and only so many. Names that begin alike are others."""
    arms = ("x/a", "x/b", "xy/a", "w/a", "", "x/a")
    store.write([row(number, arm=arm) for number, arm in enumerate(arms)])
    assert [one.attempt for one in store.tried("x", 9)] == [attempt(5), attempt(1), attempt(0)]
    assert [one.attempt for one in store.tried("x", 1)] == [attempt(5)]
    assert [one.attempt for one in store.tried("x", 9, since=WALL + 1, until=WALL + 5)] == [attempt(1)]
    assert store.tried("nobody", 9) == []


def test_the_arms_that_were_tried(store: Store) -> None:
    """Each once, however often."""
    assert store.arms() == []
    store.write([row(number, arm=arm) for number, arm in enumerate(("x/b", "", "x/a", "é/a", "x/b", "w/a"))])
    assert store.arms() == ["w/a", "x/a", "x/b", "é/a"]


def test_sums_by_what_single_attempts_have(store: Store) -> None:
    """By tag and arm, alone and beside other dimensions; as plain sums would count them."""
    said = {"user": ["u1", "u2", "u1", "", "u1"], "arm": ["x/a", "x/b", "x/a", "", "x/b"]}
    rows = [
        row(number, arm=arm, tags=f'{{"user":"{user}","metadata.source":"i\'de"}}' if user else "", model="gpt-5")
        for number, (user, arm) in enumerate(zip(said["user"], said["arm"], strict=True))
    ]
    rows[1] = replace(rows[1], call_status=500, hung_up=True, cost_nanousd=None, cost_source=CostSource.UNKNOWN)
    rows[2] = replace(rows[2], cost_source=CostSource.ESTIMATED, version=1 << 20 | 1 << 19 | 1 << 18)
    rows[4] = replace(rows[4], state=RowState.IN_DOUBT, cost_nanousd=1 << 61)
    store.write(rows)
    found = store.totals(("user",))
    assert [(one.group, one.attempts, one.calls) for one in found] == [
        (("",), 1, 1),
        (("u1",), 3, 3),
        (("u2",), 1, 1),
    ]
    assert (found[1].fallbacks, found[1].estimated, found[1].in_doubt, found[1].cost_nanousd) == (
        1,
        1,
        1,
        2000 + (1 << 61),
    )
    assert (found[2].errors, found[2].hung_up, found[2].unpriced, found[2].cost_nanousd) == (1, 1, 1, 0)
    for field in ("attempts", "calls", "errors", "fallbacks", "hung_up", "in_doubt", "unpriced", "input_tokens"):
        assert sum(getattr(one, field) for one in found) == getattr(store.totals()[0], field), field
    assert [one.group for one in store.totals(("arm", "model"))] == [("", "gpt-5"), ("x/a", "gpt-5"), ("x/b", "gpt-5")]
    assert [one.group for one in store.totals(("day", "metadata.source"))] == [
        ("2026-09-21", ""),
        ("2026-09-21", "i'de"),
    ]
    (only,) = store.totals((), where={"user": "u1", "day": "2026-09-21", "key": "key_1"}, since=WALL)
    assert only.attempts == 3
    assert store.totals(("user",), until=WALL - HOUR_S) == []
    assert [one.attempt for one in store.recent(2, where={"user": "u1"})] == [attempt(4), attempt(2)]
    assert [one.attempt for one in store.recent(9, where={"arm": "x/b", "metadata.source": "i'de"})] == [
        attempt(4),
        attempt(1),
    ]
    for wrong in ("metadata.a b", "metadata.'; --", "colour"):
        with pytest.raises(ValueError, match="cannot be grouped or filtered"):
            store.totals(("user", wrong))
