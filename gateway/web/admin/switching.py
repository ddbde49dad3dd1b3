"""Switch a role or an alias to another model, after checks; a rehearsal says what they would come to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from gateway.control.refusals import WouldBreak
from gateway.control.switch import rehearsed, switched
from gateway.web.admin import shapes
from gateway.web.admin.table import Effect, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.edits import Edit
    from gateway.control.desk import View
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Switching:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "POST", "/switch", "routing", "Switch a role or an alias to another model, after checks.", self.switch,
            shapes.Switched, Effect.EDIT, body=shapes.Switch,
        )  # fmt: skip

    async def switch(self, asked: Asked) -> shapes.Switched:
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
        return shapes.Switched(
            **msgspec.structs.asdict(change),
            ok=found.ok,
            before=found.before,
            after=found.after,
            steps=[shapes.CheckInfo(step=one.step, ok=one.ok, detail=one.detail) for one in found.steps],  # type: ignore[arg-type]  # its names are the shape's
        )
