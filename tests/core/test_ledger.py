"""What records of an attempt come to."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from gateway.core.ledger import Ended, Intent, Judged, Progress, Row, RowState, Settle, decode, encode, fold, in_doubt
from gateway.types import CostSource, Usage

# No two fields of one type have the same value.
INTENT = Intent(
    "0123456789ab0000000001/1",
    5.0,
    "req_1",
    "key_1",
    "role:rlm",
    "chat",
    "openai",
    "gpt-5",
    True,
    ("team=a",),
    100,
    500,
    "cooler/cool",
    "req_0",
    '{"user":"u1"}',
)
PROGRESS = Progress("0123456789ab0000000001/1", 10, 510, "chatcmpl-1")
SETTLE = Settle(
    "0123456789ab0000000001/1", 9.0, "ok", 201, Usage(1, 2, 3, 4), False, 1000, CostSource.COMPUTED, 1100, 7, "curated",
    b"digest", 310, 4000, "chatcmpl-2", True, 202,
)  # fmt: skip
ENDED = Ended("0123456789ab0000000001/1", 502)

BEGUN = Row(
    attempt="0123456789ab0000000001/1", version=1, state=RowState.OPEN, at=5.0, request_id="req_1", key="key_1",
    route="role:rlm", endpoint="chat", provider="openai", model="gpt-5", stream=True, labels=("team=a",),
    usage=Usage(input_tokens=100), usage_is_estimate=True, cost_nanousd=500, cost_source=CostSource.ESTIMATED,
    arm="cooler/cool", parent="req_0", tags='{"user":"u1"}',
)  # fmt: skip
SETTLED = Row(
    attempt="0123456789ab0000000001/1", version=1 << 20, state=RowState.SETTLED, at=5.0, request_id="req_1",
    key="key_1", route="role:rlm", endpoint="chat", provider="openai", model="gpt-5", stream=True, labels=("team=a",),
    outcome="ok", status=201, usage=Usage(1, 2, 3, 4), usage_is_estimate=False, cost_nanousd=1000,
    cost_source=CostSource.COMPUTED, estimate_nanousd=1100, saved_nanousd=7, price_source="curated", sha256=b"digest",
    first_token_ms=310, duration_ms=4000, provider_id="chatcmpl-2", hung_up=True, call_status=202,
    arm="cooler/cool", parent="req_0", tags='{"user":"u1"}',
)  # fmt: skip


def test_every_field_comes_to_its_place() -> None:
    """Rows are made without the names of their fields."""
    assert fold(None, INTENT) == BEGUN
    assert fold(BEGUN, SETTLE) == SETTLED


@pytest.mark.parametrize("record", [INTENT, PROGRESS, SETTLE, ENDED])
def test_an_intent_stands_for_its_row(record: Intent | Progress | Settle | Ended) -> None:
    """Whatever comes next."""
    assert fold(INTENT, record) == fold(BEGUN, record)


@pytest.mark.parametrize("known", [INTENT, BEGUN])
def test_what_the_settlement_does_not_say_is_as_it_was(known: Intent | Row) -> None:
    """The provider's name for the answer, if it was heard of before; an absent usage is none."""
    silent = Settle(
        "0123456789ab0000000001/1", 9.0, "broken_off", 200, None, True, None, CostSource.UNKNOWN, None, 0, "", b"", 0,
        1, "", False, 0,
    )  # fmt: skip
    row = fold(fold(known, PROGRESS), silent)
    assert (row.provider_id, row.usage, row.cost_nanousd, row.at) == ("chatcmpl-1", Usage(), None, 5.0)
    assert fold(known, silent).provider_id == ""


def test_records_that_come_again_change_nothing() -> None:
    """Nor do those that come too late; the end of the call is known last."""
    row = fold(SETTLED, ENDED)
    assert (row.version, row.call_status) == (1 << 20 | 1 << 21, 502)
    for record in (INTENT, PROGRESS, SETTLE, ENDED):
        assert fold(row, record) is row
    assert in_doubt(SETTLED) is SETTLED
    assert in_doubt(BEGUN).version == (1 << 20) - 1


def test_what_is_settled_without_an_intent() -> None:
    """What the end says is kept, and that is when it was."""
    row = fold(None, SETTLE)
    assert (row.attempt, row.at, row.key, row.cost_nanousd, row.state) == (
        SETTLE.attempt,
        9.0,
        "",
        1000,
        RowState.SETTLED,
    )


def test_an_intent_without_a_price() -> None:
    """Costs nobody knows what."""
    unpriced = Intent("0123456789ab0000000001/1", 5.0, "", "", "", "", "", "", False, (), 100, None)
    row = fold(None, unpriced)
    assert (row.cost_nanousd, row.cost_source) == (None, CostSource.UNKNOWN)


@pytest.mark.parametrize("fallback, attempt, expected", [
    (-1, "call/1", False),  # an earlier version's record
    (-1, "call/2", True),
    (0, "call/1", False),
    (0, "call/2", False),  # the first choice, asked again
    (1, "call/1", True),  # the first choice was out of use
    (1, "call/3", True),
])  # fmt: skip
def test_what_is_a_fallback(fallback: int, attempt: str, expected: bool) -> None:
    """What the settlement says, also once the call has ended and whatever order the records come in."""
    settle = replace(SETTLE, attempt=attempt, fallback=fallback)
    row = fold(None, settle)
    assert row.is_fallback is expected
    assert fold(row, Ended(attempt, 200)).is_fallback is expected
    assert fold(row, settle).version == row.version
    assert decode(encode(settle)) == settle


def test_a_settlement_of_an_earlier_version_is_read() -> None:
    """It has a field less."""
    assert decode(encode(SETTLE)[:-1].replace(b"\xdc\x00\x13", b"\xdc\x00\x12", 1)) == SETTLE


def test_an_intent_of_an_earlier_version_is_still_read() -> None:
    """Its journal may have been left by a gateway that knew no experiments."""
    earlier = msgspec.msgpack.encode(msgspec.msgpack.decode(encode(INTENT))[:13])
    assert decode(earlier) == msgspec.structs.replace(INTENT, arm="", parent="", tags="")


def test_the_latest_verdict_is_right() -> None:
    """The same again changes nothing. A verdict keeps what the version says of the choice, and an end may follow."""
    fallback = fold(INTENT, replace(SETTLE, fallback=1))
    good, bad = Judged(INTENT.attempt, 1.0, ""), Judged(INTENT.attempt, 0.0, "wrong")
    once = fold(fallback, good)
    assert (once.score, once.verdict, once.is_fallback) == (1.0, "", True)
    assert fold(once, good) is once
    twice = fold(once, bad)
    assert (twice.score, twice.verdict, twice.is_fallback) == (0.0, "wrong", True)
    assert twice.version > once.version > fallback.version
    assert fold(twice, ENDED).call_status == 502
    assert fold(twice, SETTLE) is twice
