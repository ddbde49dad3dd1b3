"""What the ledger keeps of a call: records as they are journalled, and the row that they come to.

An attempt leaves an intent before the first byte goes upstream, progress while it streams, and one settlement. A row
is what has been recorded of an attempt so far; folding a record in twice changes nothing.
"""

from __future__ import annotations

from copy import copy
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from gateway.types import CostSource, Usage


class State(StrEnum):
    """What is known of the end of an attempt."""

    OPEN = "open"
    SETTLED = "settled"
    IN_DOUBT = "in_doubt"
    """Its process ended before it did. What it cost is an estimate."""


class Intent(msgspec.Struct, frozen=True, gc=False, tag="i", array_like=True):
    """An attempt is about to begin."""

    attempt: str
    """`call/n`, n from 1. The first 12 digits of the call are its writer."""
    at: float
    """Wall-clock seconds."""
    request_id: str
    """What the client knows the call by."""
    key: str
    route: str
    endpoint: str
    provider: str
    model: str
    stream: bool
    labels: tuple[str, ...]
    """`name=value`."""
    input_tokens: int
    """An estimate."""
    cost_nanousd: int | None
    """What it costs if nothing is ever heard of it: its input, or null without a price."""


class Progress(msgspec.Struct, frozen=True, gc=False, tag="p", array_like=True):
    """What has come of an attempt so far."""

    attempt: str
    output_tokens: int
    """An estimate."""
    cost_nanousd: int | None
    provider_id: str
    """What the provider calls the answer, empty if it has not said."""


class Settle(msgspec.Struct, frozen=True, gc=False, tag="s", array_like=True):
    """An attempt is over."""

    attempt: str
    at: float
    outcome: str
    status: int
    """Of the upstream's answer, 0 if there was none."""
    usage: Usage | None
    usage_is_estimate: bool
    cost_nanousd: int | None
    cost_source: CostSource
    estimate_nanousd: int | None
    """By usage and price, whatever the provider says that it charges."""
    saved_nanousd: int
    """What the same usage would have cost at the first paid model of the route, less what it did cost."""
    price_source: str
    sha256: bytes
    """Of the body that went to the client; empty if none did."""
    first_token_ms: int
    """0 if there was none."""
    duration_ms: int
    provider_id: str
    hung_up: bool
    call_status: int
    """What the client was answered, if this was the call's last attempt; else 0."""


class Ended(msgspec.Struct, frozen=True, gc=False, tag="e", array_like=True):
    """The call ended with an attempt that had been settled before that was known."""

    attempt: str
    call_status: int


class Content(msgspec.Struct, frozen=True, gc=False, tag="c", array_like=True):
    """Prompt and answer, where the configuration wants them kept."""

    attempt: str
    request: bytes
    response: bytes


Record = Intent | Progress | Settle | Ended | Content

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Record).decode


class Row(msgspec.Struct, kw_only=True, gc=False):
    """All that is known of one attempt."""

    attempt: str
    version: int = 0
    """Grows with what is known; of two rows the one with the higher is right."""
    state: State = State.OPEN
    at: float = 0.0
    request_id: str = ""
    key: str = ""
    route: str = ""
    endpoint: str = ""
    provider: str = ""
    model: str = ""
    stream: bool = False
    labels: tuple[str, ...] = ()
    outcome: str = ""
    status: int = 0
    usage: Usage = Usage()
    usage_is_estimate: bool = True
    cost_nanousd: int | None = None
    cost_source: CostSource = CostSource.ESTIMATED
    estimate_nanousd: int | None = None
    saved_nanousd: int = 0
    price_source: str = ""
    sha256: bytes = b""
    first_token_ms: int = 0
    duration_ms: int = 0
    provider_id: str = ""
    hung_up: bool = False
    call_status: int = 0

    @property
    def writer(self) -> str:
        """The process that made it."""
        return writer_of(self.attempt)


def writer_of(attempt: str) -> str:
    """Return the process that made an attempt or call."""
    return attempt[:12]


def number_of(attempt: str) -> int:
    """Return which attempt of its call it is, from 1."""
    return int(attempt.rpartition("/")[2])


# Settlement beats progress, however often that came; the end of the call is known last.
_SETTLED = 1 << 20
_ENDED = 1 << 21


def fold(row: Row | None, record: Intent | Progress | Settle | Ended) -> Row:
    """Return the row of an attempt after one more of its records. The row it was is left as it is."""
    if isinstance(record, Intent):
        return _begun(record) if row is None else row
    known = Row(attempt=record.attempt) if row is None else row
    if isinstance(record, Settle):
        return known if known.version >= _SETTLED else _settled(known, record)
    if isinstance(record, Progress):
        if known.version >= _SETTLED:
            return known
        usage = Usage(input_tokens=known.usage.input_tokens, output_tokens=record.output_tokens)
        return replace(
            known, version=known.version + 1, usage=usage, cost_nanousd=record.cost_nanousd,
            provider_id=record.provider_id or known.provider_id,
        )  # fmt: skip
    if known.version >= _ENDED:
        return known
    return replace(known, version=known.version | _ENDED, call_status=record.call_status)


def _begun(record: Intent) -> Row:
    return Row(
        attempt=record.attempt, version=1, at=record.at, request_id=record.request_id, key=record.key,
        route=record.route, endpoint=record.endpoint, provider=record.provider, model=record.model,
        stream=record.stream, labels=record.labels, usage=Usage(input_tokens=record.input_tokens),
        cost_nanousd=record.cost_nanousd,
        cost_source=CostSource.ESTIMATED if record.cost_nanousd is not None else CostSource.UNKNOWN,
    )  # fmt: skip


def _settled(known: Row, record: Settle) -> Row:
    # One copy that is changed: `replace` with so many names takes three times as long, and every call comes by here.
    row = copy(known)
    row.version = _SETTLED
    row.state = State.SETTLED
    row.at = known.at or record.at
    row.outcome = record.outcome
    row.status = record.status
    row.usage = record.usage or Usage()
    row.usage_is_estimate = record.usage_is_estimate
    row.cost_nanousd = record.cost_nanousd
    row.cost_source = record.cost_source
    row.estimate_nanousd = record.estimate_nanousd
    row.saved_nanousd = record.saved_nanousd
    row.price_source = record.price_source
    row.sha256 = record.sha256
    row.first_token_ms = record.first_token_ms
    row.duration_ms = record.duration_ms
    row.provider_id = record.provider_id or known.provider_id
    row.hung_up = record.hung_up
    row.call_status = record.call_status
    return row


def in_doubt(row: Row) -> Row:
    """Return the row of an attempt whose process ended before it did."""
    if row.version >= _SETTLED:
        return row
    return replace(row, version=_SETTLED - 1, state=State.IN_DOUBT, outcome="in_doubt")
