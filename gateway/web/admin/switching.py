"""Switch a role or an alias to another model, after checks; a rehearsal says what they would come to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.control.refusals import WouldBreak
from gateway.control.switch import rehearsed, switched
from gateway.web.admin import shapes
from gateway.web.admin.table import Effect, Row, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.edits import Edit
    from gateway.control.desk import View
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Switch(Strict, frozen=True, kw_only=True):
    """A role or alias, and its new target. `call`: also ask for one tiny answer. `force`: even if a check fails."""

    name: shapes.Name
    to: shapes.Name
    call: bool = False
    force: bool = False


class CheckInfo(msgspec.Struct, kw_only=True, frozen=True):
    """One check of a switch. `ok` is null if it cannot be told, or is only worth knowing."""

    step: Literal["key", "reachable", "key_accepted", "listed", "capabilities", "context", "price", "call"]
    ok: bool | None
    detail: str


class Switched(shapes.Changed, kw_only=True, frozen=True):
    """A switch, with its checks. `before`, `after`: the upstreams that come first."""

    ok: bool
    before: str
    after: str
    steps: list[CheckInfo]


class Switching:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "POST", "/switch", "routing", "Switch a role or an alias to another model, after checks.", self.switch,
            Switched, Effect.EDIT, body=Switch,
        )  # fmt: skip

    async def switch(self, asked: Asked) -> Switched:
        from gateway.upstream.ask import Asker  # httpx takes a tenth of a second to import

        body = asked.body

        def wishes(view: View) -> Sequence[Edit]:
            return switched(view, body.name, body.to)

        # A wrong version or a wrong value is refused before anybody is asked.
        change = await self._control.change(replace(asked, dry_run=True), wishes)
        gateway = self._control.gateway
        async with Asker(gateway.client) as asker:
            found = await rehearsed(asker, gateway.directory, body.name, body.to, call=body.call)
        if not asked.dry_run:
            if found.objection and not body.force:
                raise WouldBreak(f'{found.objection}; {{"force": true}} switches all the same', param="to")
            change = await self._control.change(asked, wishes)
        return Switched(
            **msgspec.structs.asdict(change),
            ok=found.ok,
            before=found.before,
            after=found.after,
            steps=[CheckInfo(step=one.step, ok=one.ok, detail=one.detail) for one in found.steps],  # type: ignore[arg-type]  # its names are the shape's
        )
