"""Copies of clients' calls for experiments: made after the client's answer, without a client, and bounded in number.

Rule: a copy never touches the call that it is a copy of. It waits for nothing, takes no detour, and its answer is
dropped; the ledger has what it cost, under the key of the original.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from gateway.dialects.traces import leaves_traces
from gateway.errors import Refusal
from gateway.proxy.admission import Admission
from gateway.proxy.crossing import crossing_of
from gateway.proxy.exchange import Exchange
from gateway.proxy.outlet import Outlet
from gateway.proxy.tab import Tab
from gateway.proxy.within import Unread, Within

if TYPE_CHECKING:
    from gateway.metrics import Metrics
    from gateway.types import Arm

DRAIN_S = 5.0
"""How long copies under way may go on when the gateway stops."""


class Mirrors:
    """Makes the copies of one process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()
        """By experiment."""
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Mirrors {len(self._tasks)} copies under way>"

    def offer(self, admission: Admission) -> None:
        """Copy a call that is over, if an experiment wants that. Returns at once."""
        experiment = admission.ruleset.directory.experiments.get(admission.route.name)
        if experiment is None or experiment.mirror is None or self._is_closed:
            return
        if admission.parent or admission.route.arm != experiment.arms[0].route.arm:
            return
        name, terms = experiment.name, admission.terms
        if not terms.replayable or not terms.repeats or leaves_traces(admission.call):
            self._metrics.mirrored(name, "unsafe")
        elif self._under_way[name] >= experiment.most_copies:
            self._metrics.mirrored(name, "full")
        else:
            self._metrics.mirrored(name, "made")
            self._under_way[name] += 1
            task = asyncio.get_running_loop().create_task(self._copy(admission, name, experiment.mirror))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, original: Admission, experiment: str, mirror: Arm) -> None:
        gateway, call, route, crossing = original.gateway, original.call, mirror.route, None
        terms = msgspec.structs.replace(original.terms, order=(), explain=False, max_wait_s=0.0, retries=0)
        try:
            if call.endpoint.dialect not in original.ruleset.straight or gateway.memory.unspoken:
                crossing = crossing_of(call, route, gateway.spoken)
                route = route if crossing is None else await crossing.over(route)
            within = Within()
            admission = Admission(
                gateway, original.key, call, route, terms, original.ruleset, original.request_id + b".copy",
                original.forwarded, within.received_at, crossing, original.query,
                original.request_id.decode("latin-1"),
            )  # fmt: skip
            await Exchange(admission, within, Outlet(Unread()), Tab(gateway.books, original.key)).run()
        except Refusal:
            pass  # a spent budget, or an upstream that failed: the ledger has it
        finally:
            self._under_way[experiment] -= 1

    async def close(self, within_s: float = DRAIN_S) -> None:
        """Make no more copies, let those under way end within the time, and cut off the others."""
        self._is_closed = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
