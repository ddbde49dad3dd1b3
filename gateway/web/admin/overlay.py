"""The configuration as a whole: shown, compared, edited at any path, reverted, exported, reloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import edits, shields
from gateway.config.edits import Edit
from gateway.control.desk import ANY
from gateway.control.export import exported
from gateway.control.refusals import Invalid
from gateway.errors import BadRequest
from gateway.web.admin import shapes
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.control.desk import View
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Overlay:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/config", "config", "Show the configuration as it is written.", self.show, shapes.Configuration,
            query=shapes.ConfigQuery,
        )  # fmt: skip
        yield Row(
            "PATCH", "/config", "config", "Make edits at any paths, together or not at all.", self.edit, shapes.Changed,
            Effect.EDIT, body=shapes.Edits,
        )  # fmt: skip
        yield Row("GET", "/config/diff", "config", "List what was changed at run time.", self.diff, shapes.Difference)
        yield Row(
            "GET", "/config/export", "config", "Return one gateway.yaml with all changes.", self.export, shapes.Text
        )
        yield Row(
            "POST", "/config/revert", "config", "Revert changes to gateway.yaml.", self.revert, shapes.Changed,
            Effect.EDIT, body=shapes.Reverts,
        )  # fmt: skip
        yield Row(
            "GET", "/history", "config", "Tell who changed what, and when.", self.history, shapes.History,
            query=shapes.LimitQuery,
        )  # fmt: skip
        yield Row("POST", "/reload", "config", "Read the files again.", self.reload, shapes.Reloaded, Effect.ACT)

    async def show(self, asked: Asked) -> shapes.Configuration:
        view = await self._control.look()
        layer = asked.query.layer
        value = {"merged": view.merged, "file": view.base, "overlay": view.over}[layer]
        gateway = self._control.gateway
        return shapes.Configuration(
            source=view.ground.name,
            version=view.version,
            running_version=gateway.now.version,
            layer=layer,
            value=shields.shown(value),
            error=gateway.reading.error,
            waits=list(gateway.reading.waits),
        )

    async def edit(self, asked: Asked) -> shapes.Changed:
        wishes = [Edit(_path(one.path), one.value) for one in asked.body.changes]
        return await self._control.change(asked, lambda _: wishes)

    async def diff(self, _: Asked) -> shapes.Difference:
        view = await self._control.look()
        shown = shields.shown(view.over)
        file = str(view.layer.file)
        return shapes.Difference(
            version=view.version,
            entries=[shapes.Entry(path=edits.written(path), value=value) for path, value in edits.entries(shown)],
            diff=edits.diff(shields.shown(view.base), shields.shown(view.merged), names=(view.ground.name, file)),
            warnings=[one for one in self._control.gateway.now.config.warnings if one.startswith(file)],
        )

    async def export(self, _: Asked) -> shapes.Text:
        view = await self._control.look()
        return shapes.Text(version=view.version, yaml=exported(view))

    async def revert(self, asked: Asked) -> shapes.Changed:
        said = asked.body
        if said.all == bool(said.paths):
            raise BadRequest('name "paths", or set "all" to true', param="paths")
        if said.all and not asked.dry_run and asked.expected == ANY:
            return await self._revert_all(asked)
        paths = [_path(one) for one in said.paths]

        def wishes(view: View) -> Sequence[Edit]:
            return [Edit(one, reverts=True) for one in paths or [(section,) for section in view.over]]

        return await self._control.change(asked, wishes)

    async def _revert_all(self, asked: Asked) -> shapes.Changed:
        """Revert everything, whatever the overlay is like: with `If-Match: *` it may be unreadable."""
        version = await in_thread(self._control.desk.revert_all, by=asked.key.name or asked.key.id, via="api")
        in_use, note = await self._control.in_use()
        return shapes.Changed(version=version, stored=True, in_use=in_use, diff="", breaks=[], problems=[], note=note)

    async def history(self, asked: Asked) -> shapes.History:
        return shapes.History(data=list(await in_thread(self._control.desk.history, asked.query.limit)))

    async def reload(self, _: Asked) -> shapes.Reloaded:
        done, note = await self._control.in_use()
        gateway = self._control.gateway
        return shapes.Reloaded(
            version=gateway.now.version,
            error=gateway.reading.error or ("" if done else note),
            waits=list(gateway.reading.waits),
            done=done,
        )


def _path(text: str) -> tuple[str, ...]:
    try:
        return edits.parsed(text)
    except ValueError as error:
        raise Invalid(f'"{text[:200]}" is {error}', param="path") from None
