"""Rows of the ledger for tests, and what they sum up to by the plainest means."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gateway.core.ledger import Row, RowState
from gateway.stores.store import Totals
from gateway.types import CostSource, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from gateway.stores.store import Store

WRITER = "0123456789ab"
# 2026-09-21T13:46:40Z
WALL = 1_790_000_000.0
HOUR_S, DAY_S = 3600.0, 86400.0
ALL = ("hour", "key", "route", "endpoint", "provider", "model")


def attempt(call: int, number: int = 1, writer: str = WRITER) -> str:
    return f"{writer}{call:020x}/{number}"


def row(call: int = 1, number: int = 1, *, writer: str = WRITER, **said: Any) -> Row:
    """Return the row of an attempt that went well."""
    usual: dict[str, Any] = {
        "version": 1 << 20, "state": RowState.SETTLED, "at": WALL + call, "request_id": f"req_{call}", "key": "key_1",
        "route": "role:rlm", "endpoint": "chat", "provider": "openai", "model": "gpt-5", "stream": True,
        "outcome": "ok", "status": 200, "usage": Usage(100, 20, 30, 5), "usage_is_estimate": False,
        "cost_nanousd": 1000, "cost_source": CostSource.COMPUTED, "estimate_nanousd": 1100, "saved_nanousd": 7,
        "price_source": "curated", "sha256": bytes(range(32)), "first_token_ms": 310, "duration_ms": 4000,
        "provider_id": f"chatcmpl-{call}", "call_status": 200, "arm": "cooler/cool", "parent": "req_0",
        "score": 0.5, "verdict": "pass", "tags": '{"user":"u1","metadata.source":"ide"}',
    }  # fmt: skip
    return Row(attempt=attempt(call, number, writer), **usual | said)


def versions(rng: Random, call: int) -> list[Row]:
    """Return what becomes known of a random attempt, in the order in which it does."""
    intent = row(
        call, rng.choice((1, 1, 2, 3)), version=1, state=RowState.OPEN, at=WALL + rng.uniform(-2 * DAY_S, 2 * DAY_S),
        key=rng.choice(("", "key_1", "key_2")), route=rng.choice(("main", "role:rlm")), outcome="", call_status=0,
        endpoint=rng.choice(("chat", "embeddings")), provider=rng.choice(("openai", "groq")), usage=Usage(100),
        model=rng.choice(("a", "b", "é" * 200)), cost_nanousd=rng.choice((None, 5)), cost_source=CostSource.ESTIMATED,
    )  # fmt: skip
    known = [intent]
    for _ in range(rng.randrange(3)):
        usage = Usage(100, known[-1].usage.output_tokens + rng.randrange(50))
        known.append(replace(known[-1], version=known[-1].version + 1, usage=usage, cost_nanousd=rng.randrange(10**6)))
    if rng.random() < 0.1:
        known.append(replace(known[-1], version=(1 << 20) - 1, state=RowState.IN_DOUBT, outcome="in_doubt"))
    if rng.random() < 0.8:
        usage = Usage(rng.randrange(10**5), rng.randrange(10**5), rng.randrange(100), rng.randrange(9))
        known.append(
            replace(
                known[-1], version=1 << 20, state=RowState.SETTLED, hung_up=rng.random() < 0.2, usage=usage,
                cost_nanousd=rng.choice((None, 0, 123_456)), cost_source=rng.choice(list(CostSource)),
                saved_nanousd=rng.randrange(1000),
            )
        )  # fmt: skip
        known.append(replace(known[-1], version=known[-1].version | 1 << 21, call_status=rng.choice((200, 404, 502))))
    return known


def recomputed(rows: Iterable[Row], by: tuple[str, ...] = ALL) -> list[Totals]:
    """Return what rows sum up to."""
    found: dict[tuple[str, ...], list[Totals]] = defaultdict(list)
    for one in rows:
        ended, cost = one.call_status != 0, one.cost_nanousd
        began = datetime.fromtimestamp(one.at, UTC)
        dates = {"hour": began.strftime("%Y-%m-%dT%H"), "day": began.strftime("%Y-%m-%d")}
        group = tuple(dates.get(name) or getattr(one, name) for name in by)
        found[group].append(
            Totals(
                group=group, attempts=1, calls=ended, errors=one.call_status >= 400,
                fallbacks=ended and one.call_status < 400 and one.attempt[-1] != "1", hung_up=one.hung_up,
                in_doubt=one.state is RowState.IN_DOUBT, unpriced=cost is None,
                estimated=cost is not None and one.cost_source is CostSource.ESTIMATED,
                input_tokens=one.usage.input_tokens, output_tokens=one.usage.output_tokens,
                cached_tokens=one.usage.cached_tokens, reasoning_tokens=one.usage.reasoning_tokens,
                cost_nanousd=cost or 0, saved_nanousd=one.saved_nanousd,
            )
        )  # fmt: skip
    summed = Totals.__struct_fields__[1:]
    return [
        Totals(group=group, **{name: sum(getattr(one, name) for one in ones) for name in summed})
        for group, ones in sorted(found.items())
    ]


def kept(store: Store) -> list[Row]:
    """Return all rows of a store."""
    return sorted(store.recent(1_000_000), key=lambda one: one.attempt)


def summed(store: Store) -> list[Totals]:
    """Return all sums of a store."""
    return list(store.totals(ALL))
