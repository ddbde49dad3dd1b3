"""What the handlers of the admin API share: the desk, the gateway, and the way from a stored change to its use."""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.control.refusals import Unstored
from gateway.web.admin.shapes import Changed, Flaw

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.background.balances import Balance
    from gateway.catalog import Refresh
    from gateway.config.edits import Edit
    from gateway.control.desk import Change, Desk, View
    from gateway.core.reconcile import Statement
    from gateway.proxy.gateway import Gateway
    from gateway.stores.keyring import Keyring
    from gateway.stores.overlay import Step
    from gateway.types import Upstream
    from gateway.web.admin.table import Asked

T = TypeVar("T")
_log = logging.getLogger("gateway.admin")

# A reload of a large configuration takes a tenth of a second; several workers wait for their supervisor's look.
IN_USE_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Control:
    """The parts of one process that administration needs."""

    desk: Desk
    gateway: Gateway
    keyring: Keyring
    tell_reader: Callable[[], None]
    """Has the configuration read again, in this process or in its supervisor."""
    refreshed: Callable[[], Mapping[str, Refresh]]
    """Returns the last request for each provider's list of models."""
    refresh: Callable[[], Awaitable[None]]
    """Asks all providers for their models now."""
    balances: Callable[[], Mapping[str, Balance]]
    """Returns the last statement of each account, where the provider has an API for it."""
    deprecated_by: Callable[[Upstream], str]
    """Returns the table of prices that marks a model as deprecated; empty: none does."""
    statements: Callable[[], Sequence[Statement]]
    """Returns the last comparison of the ledger with providers' bills. Blocks."""
    ask_bills: Callable[[], Awaitable[Sequence[Statement]]]
    """Asks all providers for their bills now, and compares."""

    async def look(self) -> View:
        """Return the configuration as it is written."""
        return await in_thread(self.desk.look)

    def key_names(self) -> Mapping[str, str]:
        """Return the name of each virtual key, by its id."""
        ring = self.keyring.ring
        holders = ring.holders.values() if ring is not None else ()
        return {one.key.id: one.key.name or one.key.id for one in holders}

    async def change(self, asked: Asked, wishes: Callable[[View], Sequence[Edit]]) -> Changed:
        """Make the change that a request wants, and answer once new calls use it."""
        change: Change = await in_thread(
            self.desk.change, wishes, by=asked.key.name or asked.key.id, via="api", expected=asked.expected,
            dry_run=asked.dry_run,
        )  # fmt: skip
        in_use, note = await self.in_use() if change.stored else (not asked.dry_run, "")
        return Changed(
            version=change.version,
            stored=change.stored,
            in_use=in_use,
            diff=change.diff,
            breaks=list(change.breaks),
            problems=[Flaw(path=one.path, message=one.message) for one in change.problems],
            note=note,
        )

    async def note(self, asked: Asked, step: Step) -> None:
        """Note in the history what a request did that is no change of the configuration.

        It is done by then, and perhaps its answer has the only copy of a secret. So a failure goes to the log.
        """
        try:
            await in_thread(self.desk.note, step, by=asked.key.name or asked.key.id, via="api")
        except Unstored as error:
            _log.error(
                "%s was %s by %s, and the history cannot say so: %s", step.path, step.action, asked.key.name, error
            )

    async def in_use(self) -> tuple[bool, str]:
        """Have the configuration read, and return whether it is in use now, and why not."""
        gateway = self.gateway
        before = gateway.reading.count
        self.tell_reader()
        try:
            async with asyncio.timeout(IN_USE_WITHIN_S):
                while gateway.reading.count == before:  # noqa: ASYNC110  # a reading comes from several places
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            return False, f"it is stored, and was not read within {IN_USE_WITHIN_S:g} s; `gateway reload` says why"
        if error := gateway.reading.error:
            return False, f"it is stored, but the configuration has mistakes: {error}"
        return True, ""


async def in_thread(do: Callable[..., T], *args: Any, **more: Any) -> T:
    """Call something that blocks in a thread, so that streams go on meanwhile."""
    return await asyncio.to_thread(functools.partial(do, *args, **more))
