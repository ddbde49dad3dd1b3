"""Convert rows of the ledger to columns of a database and back. Any row can be stored.

A row that the database refuses would block the import for ever. So absurd values (a cost below zero, tokens beyond 64
bits) are clamped and marked as suspect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple, replace

from gateway.core.ledger import Row, RowState
from gateway.types import CostSource, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

_BITS = 62
# A quarter of what 64 bits hold.
LARGEST = 1 << _BITS
# The year 10000, which datetime cannot represent.
_LATEST = 253_402_300_800.0

COLUMNS = (
    "attempt", "version", "state", "started_at", "request_id", "key", "route", "endpoint", "provider", "model",
    "stream", "labels", "outcome", "status", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
    "usage", "usage_is_estimate", "cost_nanousd", "cost_source", "estimate_nanousd", "saved_nanousd", "price_source",
    "sha256", "first_token_ms", "duration_ms", "provider_id", "hung_up", "call_status", "arm",
    "parent", "score", "verdict", "tags",
)  # fmt: skip

# The first four fields of a usage have columns of their own. Of the others, those that are not zero go to `usage`.
_OTHERS = Usage.__struct_fields__[4:]
_NO_OTHERS = astuple(Usage())[4:]
_STATES = {str(state): state for state in RowState}
_SOURCES = {str(source): source for source in CostSource}

_encode = msgspec.json.Encoder().encode
_labels = msgspec.json.Decoder(tuple[str, ...]).decode
_others = msgspec.json.Decoder(dict[str, Any]).decode


def newest(rows: Iterable[Row]) -> dict[str, Row]:
    """Return each attempt's row of the highest version."""
    found: dict[str, Row] = {}
    for row in rows:
        if (other := found.get(row.attempt)) is None or other.version < row.version:
            found[row.attempt] = row
    return found


def storable(row: Row) -> Row:
    """Clamp the row's numbers to the range of their columns; `values_of` clamps those without a column."""
    usage = row.usage
    # If one number is negative or too large, so is the bitwise OR of all.
    numbers = (
        (row.cost_nanousd or 0) | (row.estimate_nanousd or 0) | row.saved_nanousd | row.status | row.call_status
        | row.first_token_ms | row.duration_ms | usage.input_tokens | usage.output_tokens | usage.cached_tokens
        | usage.reasoning_tokens
    )  # fmt: skip
    if not numbers >> _BITS and 0.0 <= row.at < _LATEST:
        return row
    clamped = Usage(*map(_clamp, astuple(usage)))
    cost, estimate = _clamp(row.cost_nanousd), _clamp(row.estimate_nanousd)
    if (clamped, cost, estimate) != (usage, row.cost_nanousd, row.estimate_nanousd):
        clamped = replace(clamped, is_suspect=True)
    return replace(
        row, at=row.at if 0.0 <= row.at < _LATEST else 0.0, usage=clamped, cost_nanousd=cost, estimate_nanousd=estimate,
        saved_nanousd=_clamp(row.saved_nanousd), status=_clamp(row.status), call_status=_clamp(row.call_status),
        first_token_ms=_clamp(row.first_token_ms), duration_ms=_clamp(row.duration_ms),
    )  # fmt: skip


def _clamp(value: Any) -> Any:
    return min(max(value, 0), LARGEST) if type(value) is int else value


def values_of(row: Row) -> tuple[Any, ...]:
    """Return the values of COLUMNS for a row from `storable`, flags as 0 and 1."""
    usage = row.usage
    others = astuple(usage)[4:]
    # sqlite3 looks for an adapter for every value that is not a plain int, float, str or bytearray. Converting here is
    # quicker.
    return (
        row.attempt, row.version, str(row.state), row.at, row.request_id, row.key, row.route, row.endpoint,
        row.provider, row.model, +row.stream, _encode(row.labels).decode() if row.labels else "[]", row.outcome,
        row.status, usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens,
        "" if others == _NO_OTHERS else _written(others), +row.usage_is_estimate, row.cost_nanousd,
        str(row.cost_source), row.estimate_nanousd, row.saved_nanousd, row.price_source,
        bytearray(row.sha256), row.first_token_ms, row.duration_ms, row.provider_id, +row.hung_up, row.call_status,
        row.arm, row.parent, row.score, row.verdict, row.tags,
    )  # fmt: skip


def _written(others: tuple[Any, ...]) -> str:
    clamped = dict(zip(_OTHERS, map(_clamp, others), strict=True))
    clamped["is_suspect"] |= tuple(clamped.values()) != others
    fields = zip(clamped.items(), _NO_OTHERS, strict=True)
    return _encode({name: value for (name, value), none in fields if value != none}).decode()


def row_of(values: tuple[Any, ...]) -> Row:
    """Return the row whose COLUMNS have these values."""
    (
        attempt, version, state, at, request_id, key, route, endpoint, provider, model, stream, labels, outcome, status,
        input_tokens, output_tokens, cached_tokens, reasoning_tokens, others, usage_is_estimate, cost_nanousd,
        cost_source, estimate_nanousd, saved_nanousd, price_source, sha256, first_token_ms, duration_ms, provider_id,
        hung_up, call_status, arm, parent, score, verdict, tags,
    ) = values  # fmt: skip
    usage = Usage(input_tokens, output_tokens, cached_tokens, reasoning_tokens, **(_others(others) if others else {}))
    # By position: passing the fields by name takes four times as long.
    return Row(
        attempt, version, _STATES[state], at, request_id, key, route, endpoint, provider, model, bool(stream),
        _labels(labels), outcome, status, usage, bool(usage_is_estimate), cost_nanousd, _SOURCES[cost_source],
        estimate_nanousd, saved_nanousd, price_source, sha256, first_token_ms, duration_ms, provider_id, bool(hung_up),
        call_status, arm, parent, score, verdict, tags,
    )  # fmt: skip
