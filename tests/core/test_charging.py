"""What an attempt is charged: nothing that no model worked on, and never nothing because nobody counted."""

from __future__ import annotations

import pytest

from gateway.core import outcome as o
from gateway.core.charging import NOTHING, REFUSALS, Bill, charge, usage_of_attempt
from gateway.types import CostSource, Outcome, Price, Then, Usage

USD = 1_000_000_000
PRICE = Price(2 * USD, 8 * USD)
GUESS = Usage(30, 4)
SAID = Usage(100, 10)
SUSPECT = Usage(is_suspect=True)
OUTCOMES: list[Outcome] = [one for one in vars(o).values() if isinstance(one, Outcome)]
# A model may have been at work.
AT_WORK = [
    o.BROKEN, o.MALFORMED, o.STALLED, o.EMPTY, o.WRONG_CONTENT, o.FIRST_BYTE_TIMEOUT, o.FIRST_TOKEN_TIMEOUT,
    o.TOTAL_TIMEOUT, o.TRUNCATED, o.IDLE_TIMEOUT, o.STREAM_ERROR, o.STREAM_REFUSED, o.HUNG_UP,
    o.SHUT_DOWN,
    o.CANCELLED,
]  # fmt: skip
NEVER_ASKED = [o.NO_CONNECT, o.CONNECT_TIMEOUT, o.STALE, o.NO_BUDGET, o.OVER_BUDGET, o.AT_LIMIT]


def used(
    outcome: Outcome,
    reported: Usage | None = None,
    *,
    status: int = 200,
    sent: bool = True,
    finished: bool = False,
    writes: bool = True,
    guess: Usage | None = GUESS,
) -> tuple[Usage | None, bool]:
    return usage_of_attempt(outcome, status, reported, sent=sent, finished=finished, writes=writes, guess=lambda: guess)


def test_every_outcome_has_been_thought_of() -> None:
    """A new one must say whether a model may have worked on it; until it does, it is charged for."""
    assert set(OUTCOMES) == {*REFUSALS, *NEVER_ASKED, *AT_WORK, o.OK}
    assert len(OUTCOMES) == len(REFUSALS) + len(NEVER_ASKED) + len(AT_WORK) + 1


def test_a_dead_connection_costs_nothing() -> None:
    """It brings nothing to anybody, however much was written to it."""
    assert used(o.STALE, status=0) == (NOTHING, False)
    assert used(o.STALE, SAID, status=0) == (NOTHING, False)
    assert [one for one in OUTCOMES if one.then is Then.AGAIN] == [o.STALE]


@pytest.mark.parametrize("outcome", NEVER_ASKED, ids=lambda one: one.name)
def test_who_was_never_asked_is_owed_nothing(outcome: Outcome) -> None:
    """Whatever else is known of the attempt."""
    assert used(outcome, status=0) == (NOTHING, False)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda one: one.name)
def test_what_was_not_sent_costs_nothing(outcome: Outcome) -> None:
    assert used(outcome, sent=False) == (NOTHING, False)


@pytest.mark.parametrize("outcome", [one for one in OUTCOMES if one in REFUSALS], ids=lambda one: one.name)
@pytest.mark.parametrize("status", [200, 400, 402, 413, 429, 500, 503])
def test_a_refusal_costs_nothing(outcome: Outcome, status: int) -> None:
    """With a status, or as an error inside a 200; unless it says itself that it took something."""
    assert used(outcome, status=status) == (NOTHING, False)
    assert used(outcome, SUSPECT, status=status) == (NOTHING, False)
    assert used(outcome, SAID, status=status) == (SAID, False)


@pytest.mark.parametrize("outcome", AT_WORK, ids=lambda one: one.name)
@pytest.mark.parametrize("status", [0, 200])
def test_what_failed_after_it_was_sent_is_estimated(outcome: Outcome, status: int) -> None:
    """The request has gone, and may be billed."""
    assert used(outcome, status=status) == (GUESS, True)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (SAID, (SAID, False)),
        (Usage(7, 2, cost_nanousd=0), (Usage(7, 2, cost_nanousd=0), False)),
        (None, (GUESS, True)),
        # zeros are what a server says that does not count
        (Usage(), (GUESS, True)),
        (Usage(service_tier="flex"), (GUESS, True)),
        # and all that is absurd was made zero
        (SUSPECT, (Usage(30, 4, is_suspect=True), True)),
        (Usage(0, 10, is_suspect=True), (Usage(30, 10, is_suspect=True), True)),
        (Usage(100, 0, is_suspect=True), (Usage(100, 4, is_suspect=True), True)),
        (Usage(100, 10, is_suspect=True), (Usage(100, 10, is_suspect=True), True)),
        (Usage(100, 10, 50, is_suspect=True), (Usage(100, 10, 50, is_suspect=True), True)),
        # half of it was counted
        (Usage(100, 0), (Usage(100, 4), True)),
        # a bill needs no count
        (Usage(cost_nanousd=5), (Usage(0, 4, cost_nanousd=5), True)),
        # pictures are no words, sound and characters have been counted
        (Usage(images=1), (Usage(images=1), False)),
        (Usage(50, 0, images=1), (Usage(50, 0, images=1), False)),
    ],
)
def test_a_whole_answer(reported: Usage | None, expected: tuple[Usage, bool]) -> None:
    """What was counted counts, as far as it can be true; the rest is estimated, and never nothing."""
    assert used(o.OK, reported) == expected


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (Usage(100), (Usage(100), False)),  # embeddings write nothing
        (Usage(audio_ms=27_000), (Usage(audio_ms=27_000), False)),
        (Usage(), (Usage(30, 4), True)),
    ],
)
def test_an_answer_without_words(reported: Usage, expected: tuple[Usage, bool]) -> None:
    assert used(o.OK, reported, writes=False) == expected


def test_where_nothing_can_be_guessed() -> None:
    """Nobody knows, which is not nothing."""
    assert used(o.OK, None, writes=False, guess=None) == (None, True)
    assert used(o.OK, SUSPECT, writes=False, guess=None) == (None, True)
    assert used(o.HUNG_UP, None, writes=False, guess=None) == (None, True)
    assert used(o.OK, Usage(5, 0, is_suspect=True), writes=False, guess=None) == (Usage(5, is_suspect=True), True)


@pytest.mark.parametrize(
    "outcome", [o.TRUNCATED, o.IDLE_TIMEOUT, o.STREAM_ERROR, o.HUNG_UP, o.SHUT_DOWN, o.CANCELLED, o.TOTAL_TIMEOUT]
)
@pytest.mark.parametrize(
    ("reported", "finished", "expected"),
    [
        (Usage(25, 1), False, (Usage(25, 4), True)),  # the count of the beginning
        (Usage(25, 9), False, (Usage(25, 9), False)),
        (Usage(25, 1), True, (Usage(25, 1), False)),  # it was done
        (Usage(25, 0), False, (Usage(25, 4), True)),
    ],
)
def test_an_answer_that_broke_off(
    outcome: Outcome, reported: Usage, finished: bool, expected: tuple[Usage, bool]
) -> None:
    """A count from before the end is right about the input, and about the output so far at least."""
    assert used(outcome, reported, finished=finished) == expected


def test_nothing_is_guessed_in_vain() -> None:
    """Nearly every answer says what it took, and a guess takes a third of a millisecond."""

    def never() -> Usage:
        raise AssertionError("asked")

    for outcome, reported, status in ((o.OK, SAID, 200), (o.SERVER_ERROR, None, 500), (o.STALE, None, 0)):
        usage_of_attempt(outcome, status, reported, sent=True, finished=True, writes=True, guess=never)


@pytest.mark.parametrize(
    ("usage", "price", "free", "is_estimate", "expected"),
    [
        (SAID, PRICE, False, False, Bill(280_000, CostSource.COMPUTED, 280_000)),
        (GUESS, PRICE, False, True, Bill(92_000, CostSource.ESTIMATED, 92_000)),
        (NOTHING, PRICE, False, False, Bill(0, CostSource.COMPUTED, 0)),
        (NOTHING, None, False, False, Bill(0, CostSource.COMPUTED, 0)),  # that much is known without a price
        (NOTHING, None, True, False, Bill(0, CostSource.FREE, 0)),
        (None, PRICE, False, True, Bill(None, CostSource.UNKNOWN, None)),
        (None, None, True, True, Bill(0, CostSource.FREE, 0)),
        (SAID, None, False, False, Bill(None, CostSource.UNKNOWN, None)),
        (Usage(), PRICE, False, False, Bill(0, CostSource.COMPUTED, 0)),
        (Usage(images=1), PRICE, False, False, Bill(None, CostSource.UNKNOWN, None)),
        (SAID, Price(0, 0, request=2_000_000), False, False, Bill(2_000_000, CostSource.COMPUTED, 2_000_000)),
        (SAID, None, True, False, Bill(0, CostSource.FREE, 0, 280_000)),
        # a price by the call, the picture or the character is exact, whatever the tokens were
        (GUESS, Price(0, 0, request=2_000_000), False, True, Bill(2_000_000, CostSource.COMPUTED, 2_000_000)),
        (Usage(30, images=2), Price(0, 0, image=7), False, True, Bill(14, CostSource.COMPUTED, 14)),
        (Usage(30, characters=2), Price(0, 0, characters=USD), False, True, Bill(2000, CostSource.COMPUTED, 2000)),
        (GUESS, Price(USD, 0, request=2_000_000), False, True, Bill(2_030_000, CostSource.ESTIMATED, 2_030_000)),
        (Usage(audio_ms=3_600_000), Price(0, 0, audio_hour=USD), False, True, Bill(USD, CostSource.ESTIMATED, USD)),
    ],
)
def test_what_a_usage_costs(
    usage: Usage | None, price: Price | None, free: bool, is_estimate: bool, expected: Bill
) -> None:
    """At its price; free ones say what they saved."""
    assert (
        charge(usage, price, is_estimate=is_estimate, free=free, baseline=PRICE if usage is SAID else None) == expected
    )
