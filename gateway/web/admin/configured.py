"""The sections of the configuration as resources: read, replaced, patched and deleted, by one set of handlers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.config import edits, shields
from gateway.config.edits import Edit
from gateway.control.aliases import objection, renamed
from gateway.control.refusals import Invalid
from gateway.core.names import nearest, quoted
from gateway.errors import NotFound
from gateway.web.admin import shapes  # noqa: TC001  # msgspec reads the annotations
from gateway.web.admin.shapes import Changed, Named, NamedList
from gateway.web.admin.table import Effect, Row, Strict, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.source import Path
    from gateway.control.desk import View
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Rename(Strict, frozen=True, kw_only=True):
    """Where a name goes."""

    to: shapes.Name


class Whole(msgspec.Struct, kw_only=True, frozen=True):
    """A section that is changed as a whole."""

    value: Any
    set_in: Literal["file", "run_time", "both"]
    version: str


def set_in(view: View, path: Path) -> Literal["file", "run_time", "both"]:
    """Return which of the two files says something about a path."""
    if edits.at(view.over, path) is None:
        return "file"
    return "run_time" if edits.at(view.base, path) is None else "both"


@dataclass(frozen=True, slots=True)
class Entries:
    """A section with named entries."""

    control: Control
    section: str
    """Its key in gateway.yaml."""
    plural: str
    """Its name in paths."""
    noun: str
    definition: str
    """The name of an entry's definition in the schema."""

    def rows(self) -> Iterator[Row]:
        """Yield the routes that change entries."""
        one, tag = f"/{self.plural}/{{name:path}}", self.plural
        value = Value(self.definition)
        patch = Value(self.definition, is_patch=True)
        yield Row(
            "PUT", one, tag, f"Create or replace one {self.noun}; secrets left out stay.", self.put, Changed,
            Effect.EDIT, body=value,
        )  # fmt: skip
        yield Row("PATCH", one, tag, f"Change fields of one {self.noun}.", self.patch, Changed, Effect.EDIT, body=patch)
        yield Row("DELETE", one, tag, f"Remove one {self.noun}.", self.delete, Changed, Effect.EDIT)

    def reading_rows(self) -> Iterator[Row]:
        """Yield the routes that read entries."""
        yield Row("GET", f"/{self.plural}", self.plural, f"List every {self.noun}.", self.every, NamedList)
        yield Row("GET", f"/{self.plural}/{{name:path}}", self.plural, f"Return one {self.noun}.", self.one, Named)

    async def every(self, _: Asked) -> NamedList:
        view = await self.control.look()
        names = view.merged.get(self.section) or {}
        return NamedList(data=[self._named(view, name) for name in names], version=view.version)

    async def one(self, asked: Asked) -> tuple[Named, str]:
        view = await self.control.look()
        name = asked.path["name"]
        self._object_to_absence(view, name)
        return self._named(view, name), view.version

    async def put(self, asked: Asked) -> Changed:
        path = self._path(asked)

        def wishes(view: View) -> Sequence[Edit]:
            return [Edit(path, _some(shields.kept_back(view.at(path), asked.body, path), path))]

        return await self.control.change(asked, wishes)

    async def patch(self, asked: Asked) -> Changed:
        path = self._path(asked)

        def wishes(view: View) -> Sequence[Edit]:
            self._object_to_absence(view, path[1])
            now = view.at(path)
            if not isinstance(now, dict) and self.definition in _SHORT:  # written short: `main: openai/gpt-5`
                now = {_SHORT[self.definition]: now}
            return [Edit(path, _some(edits.patched(now, asked.body), path))]

        return await self.control.change(asked, wishes)

    async def delete(self, asked: Asked) -> Changed:
        path = self._path(asked)

        def wishes(view: View) -> Sequence[Edit]:
            self._object_to_absence(view, path[1])
            return [Edit(path)]

        return await self.control.change(asked, wishes)

    def _path(self, asked: Asked) -> tuple[str, str]:
        name = asked.path["name"]
        if self.section == "models" and (wrong := objection(name)) is not None:
            raise Invalid(wrong, param="name")
        return self.section, name

    def _object_to_absence(self, view: View, name: str) -> None:
        known = view.merged.get(self.section) or {}
        if name not in known:
            raise NotFound(f"there is no {self.noun} {quoted(name[:200])}{nearest(name, known)}", param="name")

    def _named(self, view: View, name: str) -> Named:
        path = (self.section, name)
        return Named(name=name, value=shields.shown(view.at(path), path), set_in=set_in(view, path))


# The field that a value stands for where an entry is not a mapping.
_SHORT = {"Alias": "model", "Role": "models"}


def _some(value: Any, path: Path) -> Any:
    if value is None:
        raise Invalid(f'"{edits.written(path)}" cannot be null; DELETE removes it', param=edits.written(path))
    return value


@dataclass(frozen=True, slots=True)
class Section:
    """A section that is changed as a whole."""

    control: Control
    section: str
    definition: str
    is_list: bool

    def rows(self) -> Iterator[Row]:
        """Yield its routes."""
        path, tag = f"/{self.section}", self.section
        value = Value(self.definition, is_list=self.is_list)
        yield Row("GET", path, tag, f"Return the section `{self.section}`.", self.get, Whole)
        yield Row(
            "PUT", path, tag, f"Replace the section `{self.section}`.", self.put, Changed, Effect.EDIT, body=value
        )
        yield Row(
            "DELETE",
            path,
            tag,
            f"Revert the section `{self.section}` to gateway.yaml.",
            self.revert,
            Changed,
            Effect.EDIT,
        )

    async def get(self, _: Asked) -> Whole:
        view = await self.control.look()
        path = (self.section,)
        value = view.at(path)
        empty: Any = [] if self.is_list else {}
        shown = empty if value is None else shields.shown(value, path)
        return Whole(value=shown, set_in=set_in(view, path), version=view.version)

    async def put(self, asked: Asked) -> Changed:
        return await self.control.change(asked, lambda _: [Edit((self.section,), _some(asked.body, (self.section,)))])

    async def revert(self, asked: Asked) -> Changed:
        return await self.control.change(asked, lambda _: [Edit((self.section,), reverts=True)])


def rows(control: Control) -> Iterator[Row]:
    """Yield the routes of all sections but the providers."""
    aliases = Entries(control, "models", "aliases", "alias", "Alias")
    sections = (
        aliases,
        Entries(control, "roles", "roles", "role", "Role"),
        Entries(control, "fallback", "fallbacks", "fallback", ""),
        Entries(control, "presets", "presets", "preset", ""),
        Entries(control, "experiments", "experiments", "experiment", "Experiment"),
    )

    async def rename(asked: Asked) -> Changed:
        old, new = asked.path["name"], asked.body.to
        return await control.change(asked, lambda view: renamed(view.merged, old, new))

    yield Row(
        "POST", "/aliases/{name:path}/rename", "aliases", "Rename an alias wherever it is used.", rename, Changed,
        Effect.EDIT, body=Rename,
    )  # fmt: skip
    for one in sections:
        yield from one.reading_rows()
        yield from one.rows()
    yield from Section(control, "rules", "Rule", is_list=True).rows()
    yield from Section(control, "budgets", "Budget", is_list=True).rows()
    yield from Section(control, "defaults", "Defaults", is_list=False).rows()
