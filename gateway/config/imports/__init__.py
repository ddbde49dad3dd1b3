"""Turn other programs' configurations into a gateway.yaml. Rule: text in, text out; a format is one module and one row.

A format carries what it knows, and every value that it does not take is named with its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.imports import agent, dotenv, litellm, router, tables
from gateway.config.imports.draft import Draft
from gateway.config.imports.foreign import Foreign, Unreadable, read
from gateway.core.names import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["FORMATS", "Imported", "Unreadable", "imported"]


@dataclass(frozen=True, slots=True)
class Format:
    """A program's way of writing its configuration."""

    title: str
    recognises: Callable[[Foreign], bool]
    carry: Callable[[Foreign, Draft], None]


# The first that recognises a file reads it.
FORMATS = tuple(Format(one.TITLE, one.recognises, one.carry) for one in (dotenv, litellm, router, agent, tables))


@dataclass(frozen=True, slots=True)
class Imported:
    """A gateway.yaml, and what it lacks of the files that it was made from."""

    text: str
    left: tuple[str, ...]
    """`file:line: name: reason`, for each value that was not carried over."""
    formats: tuple[str, ...]


def imported(files: Iterable[tuple[str, str]]) -> Imported:
    """Make one gateway.yaml from files, given as (name, text); later files may refer to providers of earlier ones.

    Raises:
        Unreadable: a file is in none of the formats.
    """
    draft, left, formats, names = Draft(), [], [], []
    for name, text in files:
        foreign = read(name, text)
        known = next((one for one in FORMATS if one.recognises(foreign)), None)
        if known is None:
            titles = "; ".join(one.title for one in FORMATS)
            raise Unreadable(f"{name}: not a configuration that can be imported; known are: {titles}")
        known.carry(foreign, draft)
        names.append(name)
        formats.append(known.title)
        left += [f"{name}:{line}: {_said(path)}: {reason}" for line, path, reason in foreign.left()]
    if not (draft.providers or draft.models or draft.roles):
        raise Unreadable(f"{' and '.join(names)}: no provider, model or role in it could be carried over")
    return Imported(draft.text(names, left), tuple(left), tuple(formats))


def _said(path: tuple[str | int, ...]) -> str:
    return quoted(".".join(map(str, path)))
