"""The configuration as a whole: shown, compared, edited at any path, reverted, exported, reloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.config import edits, shields
from gateway.config.edits import Edit
from gateway.control.desk import ANY
from gateway.control.export import exported
from gateway.control.refusals import Invalid
from gateway.errors import BadRequest
from gateway.stores.overlay import Line  # noqa: TC001  # msgspec reads the annotations
from gateway.web.admin import shapes
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.control.desk import View
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Wish(Strict, frozen=True, kw_only=True):
    """One edit: the value that the merged configuration is to have at a path. null: the path is to be absent."""

    path: shapes.Name
    value: Any = None


class Edits(Strict, frozen=True, kw_only=True):
    """Edits that are made together or not at all."""

    changes: Annotated[list[Wish], Meta(min_length=1, max_length=1000)]


class Reverts(Strict, frozen=True, kw_only=True):
    """Paths of which gateway.yaml is to count again. `all`: every change, even if the overlay cannot be read."""

    paths: tuple[shapes.Name, ...] = ()
    all: bool = False


class ConfigQuery(Strict, frozen=True, kw_only=True):
    """`layer`: both files merged, gateway.yaml alone, or the overlay alone."""

    layer: Literal["merged", "file", "overlay"] = "merged"


class LimitQuery(Strict, frozen=True, kw_only=True):
    """`limit`: how many, the newest first."""

    limit: shapes.Limit = 50


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """One entry of the overlay. null: it removes what gateway.yaml has there."""

    path: str
    value: Any


class Configuration(msgspec.Struct, kw_only=True, frozen=True):
    """The configuration as it is written."""

    source: str
    version: str
    running_version: int
    layer: str
    value: Any
    error: str = ""
    waits: list[str] = []


class Difference(msgspec.Struct, kw_only=True, frozen=True):
    """What the overlay changes."""

    version: str
    entries: list[Entry]
    diff: str
    warnings: list[str]


class Text(msgspec.Struct, kw_only=True, frozen=True):
    """A gateway.yaml with all changes in it."""

    version: str
    yaml: str


class History(msgspec.Struct, kw_only=True, frozen=True):
    """Changes, the newest first."""

    data: list[Line]
    object: Literal["list"] = "list"


class Reloaded(msgspec.Struct, kw_only=True, frozen=True):
    """The result of a reading of the configuration."""

    version: int
    error: str
    waits: list[str]
    done: bool


class Overlay:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row(
            "GET", "/config", "config", "Show the configuration as it is written.", self.show, Configuration,
            query=ConfigQuery,
        )  # fmt: skip
        yield Row(
            "PATCH", "/config", "config", "Make edits at any paths, together or not at all.", self.edit, shapes.Changed,
            Effect.EDIT, body=Edits,
        )  # fmt: skip
        yield Row("GET", "/config/diff", "config", "List what was changed at run time.", self.diff, Difference)
        yield Row("GET", "/config/export", "config", "Return one gateway.yaml with all changes.", self.export, Text)
        yield Row(
            "POST", "/config/revert", "config", "Revert changes to gateway.yaml.", self.revert, shapes.Changed,
            Effect.EDIT, body=Reverts,
        )  # fmt: skip
        yield Row(
            "GET", "/history", "config", "Tell who changed what, and when.", self.history, History,
            query=LimitQuery,
        )  # fmt: skip
        yield Row("POST", "/reload", "config", "Read the files again.", self.reload, Reloaded, Effect.ACT)

    async def show(self, asked: Asked) -> Configuration:
        view = await self._control.look()
        layer = asked.query.layer
        value = {"merged": view.merged, "file": view.base, "overlay": view.over}[layer]
        gateway = self._control.gateway
        return Configuration(
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

    async def diff(self, _: Asked) -> Difference:
        view = await self._control.look()
        shown = shields.shown(view.over)
        file = str(view.layer.file)
        return Difference(
            version=view.version,
            entries=[Entry(path=edits.written(path), value=value) for path, value in edits.entries(shown)],
            diff=edits.diff(shields.shown(view.base), shields.shown(view.merged), names=(view.ground.name, file)),
            warnings=[one for one in self._control.gateway.now.config.warnings if one.startswith(file)],
        )

    async def export(self, _: Asked) -> Text:
        view = await self._control.look()
        return Text(version=view.version, yaml=exported(view))

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

    async def history(self, asked: Asked) -> History:
        return History(data=list(await in_thread(self._control.desk.history, asked.query.limit)))

    async def reload(self, _: Asked) -> Reloaded:
        done, note = await self._control.in_use()
        gateway = self._control.gateway
        return Reloaded(
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
