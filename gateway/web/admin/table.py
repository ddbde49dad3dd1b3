"""The vocabulary of the table of routes: from its rows come the places, the checks of requests, and the document."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.types import Key

PREFIX = "/admin/v1"


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query or a body. A field that it does not have is a mistake of the client's."""


class NoQuery(Strict, frozen=True, kw_only=True):
    """A request without parameters."""


class Effect(StrEnum):
    """What a route does."""

    READ = "read"
    EDIT = "edit"
    """It changes the configuration: `If-Match` is needed, and `dry_run=true` changes nothing."""
    ACT = "act"
    """It does something else, such as a test. `dry_run=true`, where it has one, changes nothing."""


@dataclass(frozen=True, slots=True)
class Value:
    """A body that is a value of the configuration, in its own shape. The configuration's own checks read it."""

    definition: str
    """The name of its definition in the schema of gateway.yaml."""
    is_list: bool = False
    is_patch: bool = False
    """A JSON merge patch (RFC 7396) of such a value."""
    is_optional: bool = False
    """No body is the same as an empty object."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has been read and checked."""

    path: dict[str, str]
    """The parameters in the path."""
    query: Any
    """A value of the row's `query`."""
    body: Any
    """A value of the row's `body`; plain values for a `Value`."""
    key: Key
    expected: str | None
    """The version in `If-Match`; `*` for any."""
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One route."""

    method: str
    path: str
    """Below `prefix`."""
    tag: str
    summary: str
    handle: Callable[[Asked], Awaitable[Any]]
    answer: Any
    """The type of the answer."""
    effect: Effect = Effect.READ
    query: type[Strict] = NoQuery
    body: type[Strict] | Value | None = None
    rehearses: bool = False
    """An ACT that takes `dry_run`."""
    prefix: str = PREFIX

    @property
    def place(self) -> str:
        """The whole path."""
        return self.prefix + self.path

    @property
    def takes_dry_run(self) -> bool:
        """Whether `dry_run` is a parameter."""
        return self.effect is Effect.EDIT or self.rehearses
